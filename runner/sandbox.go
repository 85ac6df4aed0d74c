// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"osbuild/runner/mount"
	"osbuild/runner/spec"
)

// Sandbox runs build programs; it is builder/realise's Executor. The zero value
// is ready for use, and several programs may run at once.
type Sandbox struct {
	// Hierarchy says how /usr and /opt are made of a program's inputs.
	Hierarchy Hierarchy
}

// buildNamespaces are those of a build program: all.
const buildNamespaces = unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP

// Run runs one build program to its end. It sees its inputs, its output folder
// and nothing else of the machine; log gets what it prints. When ctx ends, the
// program and all it started are killed.
func (s Sandbox) Run(ctx context.Context, b spec.Build, log io.Writer) (spec.Exit, error) {
	exit, err := s.run(ctx, b, log)
	if err != nil {
		return exit, fmt.Errorf("cannot run the builder of %s: %w", b.Name, err)
	}
	return exit, nil
}

func (s Sandbox) run(ctx context.Context, b spec.Build, log io.Writer) (_ spec.Exit, err error) {
	if err := ctx.Err(); err != nil {
		return spec.Exit{}, err
	}
	if len(b.Argv) == 0 {
		return spec.Exit{}, errors.New("it names no program")
	}
	who, err := buildIdentity()
	if err != nil {
		return spec.Exit{}, err
	}
	defer who.close()
	root, err := planBuild(ctx, b, s.Hierarchy)
	if err != nil {
		return spec.Exit{}, err
	}
	defer root.close()
	if base := who.base(); base != 0 {
		// The program's id owns the two writable folders while it runs.
		if err := ownTree(base, b.StoreDir, b.WorkDir); err != nil {
			return spec.Exit{}, err
		}
		defer func() { err = errors.Join(err, ownTree(0, b.StoreDir, b.WorkDir)) }()
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return spec.Exit{}, err
	}
	defer null.Close()
	out, drained, err := logPipe(log)
	if err != nil {
		return spec.Exit{}, err
	}
	p, err := root.start(ctx, &job{
		ids: who.ids, userNS: who.userNS, namespaces: buildNamespaces, hostName: "localhost",
		files: []*os.File{null, out, out}, argv: b.Argv, env: b.Env, dir: mount.BuildDir,
		reaper: true, noNewPrivileges: true,
	}, func(text string) { fmt.Fprintln(out, text) })
	out.Close()
	if err != nil {
		<-drained
		return spec.Exit{}, err
	}
	defer p.close()
	exit, err := p.waitOrKill(ctx)
	<-drained
	return exit, err
}

// planBuild looks at what a build program is to see, makes the mount points of
// its inputs and plans its root.
func planBuild(ctx context.Context, b spec.Build, h Hierarchy) (*laid, error) {
	items, err := inspectItems(b.Items)
	if err != nil {
		return nil, err
	}
	var hidden map[string]bool
	if b.Root != nil {
		hidden = mount.FHSItems(*b.Root)
	}
	for _, it := range items {
		if hidden[it.Logical] {
			continue
		}
		if err := mountPoint(b.StoreDir, it); err != nil {
			return nil, err
		}
	}
	var host []mount.Bind
	for _, m := range b.Host {
		bind, err := inspectMapping(m)
		if err != nil {
			return nil, err
		}
		host = append(host, bind)
	}
	writable := []mount.Bind{{Source: b.StoreDir}, {Source: b.WorkDir}}
	return h.lay(ctx, b.Root, func(v *views) (mount.Plan, error) {
		packages, err := packagesOf(b.Root, v, items)
		if err != nil {
			return mount.Plan{}, err
		}
		place, err := anchor(append(sourcesOf(items, host, writable), v.dirs()...))
		if err != nil {
			return mount.Plan{}, err
		}
		return mount.ForBuild(mount.Build{
			Items: items, Anchor: place, Packages: packages, Host: host, StoreDir: b.StoreDir, WorkDir: b.WorkDir,
		})
	})
}

// mountPoint makes the place of an input in the writable store folder.
func mountPoint(dir string, it mount.Item) error {
	at := filepath.Join(dir, filepath.Base(it.Logical))
	var err error
	switch {
	case it.Link != "":
		err = os.Symlink(it.Link, at)
	case it.Dir:
		err = os.Mkdir(at, 0o755)
	default:
		err = os.WriteFile(at, nil, 0o644)
	}
	if err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("cannot show item %s: %w", it.Logical, err)
	}
	return nil
}

// ownTree gives folders and all in them to an id. Nothing runs in them.
func ownTree(id int, dirs ...string) error {
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			return os.Lchown(path, id, id)
		})
		if err != nil {
			return fmt.Errorf("cannot hand the folder over: %w", err)
		}
	}
	return nil
}

// logPipe copies what is written to the returned file into log. The channel is
// closed when every copy of the file has been closed.
func logPipe(log io.Writer) (*os.File, <-chan struct{}, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer r.Close()
		if _, err := io.Copy(log, r); err != nil {
			// A log that cannot be written must not block the program.
			_, _ = io.Copy(io.Discard, r)
		}
	}()
	return w, done, nil
}
