// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"fmt"
	"slices"

	"osbuild/runner/spec"
)

// Places in the build sandbox.
const (
	// BuildDir is the build program's current folder and its TMPDIR.
	BuildDir = "/build"
)

// Build is what the root of a build program is planned from.
type Build struct {
	Items  []Item
	Anchor string
	// Packages are what packages among Items put on the root.
	Packages Packages
	// Host are the read-only trees of the host.
	Host []Bind
	// StoreDir stands writable at the store's place; the mount points of Items
	// exist in it. WorkDir stands writable at BuildDir.
	StoreDir, WorkDir string
}

// BuildID is the one user and group id of a build sandbox.
const BuildID = 1000

// ForBuild plans the root of a build program: everything but the outputs, the
// work folder and /tmp is read-only, and nothing depends on the machine.
func ForBuild(b Build) (Plan, error) {
	l := newLayout(len(b.Items))
	if err := l.small(b.Anchor, "build", BuildID, "/build"); err != nil {
		return Plan{}, err
	}
	// The writable folder takes the place of the store, the inputs stand in it.
	rw := Flags{NoSuid: true, NoDev: true}
	err := l.bind(Bind{Source: b.StoreDir, Target: spec.StoreDir, Dir: true, Flags: rw})
	if err != nil {
		return Plan{}, err
	}
	for _, it := range sortedItems(shown(b.Items, b.Packages.Root)) {
		if it.Link != "" {
			continue // the caller has made it in StoreDir
		}
		if err := l.item(it, false); err != nil {
			return Plan{}, err
		}
	}
	if err := l.packages(b.Packages, b.Items, false); err != nil {
		return Plan{}, err
	}
	if err := l.bind(Bind{Source: b.WorkDir, Target: BuildDir, Dir: true, Flags: rw}); err != nil {
		return Plan{}, err
	}
	for _, h := range b.Host {
		if err := checkTarget(h.Target); err != nil {
			return Plan{}, err
		}
		h.Flags = Flags{ReadOnly: true, NoSuid: true, NoDev: true}
		if err := l.bind(h); err != nil {
			return Plan{}, err
		}
	}
	l.finish(true)
	return Plan{Steps: l.steps}, nil
}

// Program is what the root of one program over its closure is planned from.
type Program struct {
	Items    []Item
	Anchor   string
	Packages Packages
	User     []Bind
	IDMap    bool
	// Proc says that the program has a PID namespace of its own, without which
	// it gets no /proc.
	Proc bool
}

// ForProgram plans the root of one program: its closure, what the user maps,
// and a read-only rest.
func ForProgram(p Program) (Plan, error) {
	l := newLayout(len(p.Items))
	if err := l.small(p.Anchor, "root", 0, "/root"); err != nil {
		return Plan{}, err
	}
	if err := l.store(shown(p.Items, p.Packages.Root), p.IDMap); err != nil {
		return Plan{}, err
	}
	if err := l.packages(p.Packages, p.Items, p.IDMap); err != nil {
		return Plan{}, err
	}
	user := slices.Clone(p.User)
	slices.SortStableFunc(user, func(a, b Bind) int { return depth(a.Target, b.Target) })
	for i, b := range user {
		if err := checkTarget(b.Target); err != nil {
			return Plan{}, err
		}
		if i > 0 && user[i-1].Target == b.Target {
			return Plan{}, fmt.Errorf("cannot mount both %s and %s on %s: give them different targets", user[i-1].Source, b.Source, b.Target)
		}
		if err := l.bind(b); err != nil {
			return Plan{}, err
		}
	}
	l.finish(p.Proc)
	return Plan{Steps: l.steps}, nil
}

// small is the root that builds and single programs share: one user, /dev,
// /tmp, and the few files without which the C library cannot name anybody.
func (l *layout) small(anchor, user string, id int, home string) error {
	l.add(Step{
		Stage: Outer, Op: OpRoot, Target: "/", Source: anchor,
		Options: []string{"mode=0755"}, Flags: Flags{NoSuid: true, NoDev: true},
	})
	passwd := fmt.Sprintf("%s:x:%d:%d::%s:/noshell\n", user, id, id, home)
	for _, f := range []Step{
		{Target: "/etc/group", Content: []byte(fmt.Sprintf("%s:x:%d:\nnogroup:x:65534:\n", user, id))},
		{Target: "/etc/hosts", Content: []byte("127.0.0.1 localhost\n::1 localhost\n")},
		{Target: "/etc/passwd", Content: []byte(passwd + "nobody:x:65534:65534::/:/noshell\n")},
	} {
		f.Op, f.Mode, f.UID, f.GID = OpFile, 0o444, id, id
		if err := l.leaf(f); err != nil {
			return err
		}
	}
	if err := l.dev(nil); err != nil {
		return err
	}
	for _, t := range []string{"/dev/shm", "/tmp"} {
		err := l.mount(Step{
			Stage: Outer, Op: OpMount, Target: t, FS: spec.MountTmpfs,
			Options: []string{"mode=1777"}, Flags: Flags{NoSuid: true, NoDev: true},
		}, true)
		if err != nil {
			return err
		}
	}
	return l.leaf(Step{Op: OpLink, Target: "/dev/ptmx", Source: "pts/ptmx"})
}

// Packages are what packages put on the root of a single program.
type Packages struct {
	Root  spec.Root
	Views Views
	// Etc are links to their configuration, which is not copied: the root is
	// read-only. A name that the root has already is left alone.
	Etc []spec.Link
}

// packages puts them there, and the links that lead to /usr from of old.
func (l *layout) packages(p Packages, items []Item, idmap bool) error {
	if err := l.hierarchy(p.Root, items, p.Views, idmap); err != nil {
		return err
	}
	links := slices.Clone(p.Etc)
	if len(p.Root.Usr) > 0 {
		for _, name := range []string{"bin", "lib", "lib64", "sbin"} {
			links = append(links, spec.Link{Path: "/" + name, Target: "usr/" + name})
		}
	}
	for _, k := range links {
		if l.made[k.Path] != nothing {
			continue
		}
		if err := l.leaf(Step{Op: OpLink, Target: k.Path, Source: k.Target}); err != nil {
			return err
		}
	}
	return nil
}

// finish seals the root and mounts what belongs to the namespaces.
func (l *layout) finish(proc bool) {
	all := Flags{NoSuid: true, NoDev: true, NoExec: true}
	var inner []Step
	if proc {
		inner = append(inner, Step{Stage: Inner, Op: OpMount, Target: "/proc", FS: spec.MountProc, Flags: all})
	}
	inner = append(inner, Step{
		Stage: Inner, Op: OpMount, Target: "/dev/pts", FS: spec.MountDevpts,
		Options: []string{"newinstance", "ptmxmode=0666", "mode=0620"}, Flags: Flags{NoSuid: true, NoExec: true},
	})
	for _, s := range inner {
		// Cannot fail: both lie on file systems of the plan itself.
		_ = l.directory(Step{Target: s.Target, Mode: 0o755})
	}
	l.add(Step{Stage: Outer, Op: OpReadOnly, Target: "/"})
	l.add(Step{Stage: Outer, Op: OpReadOnly, Target: "/dev"})
	for _, s := range inner {
		l.add(s)
	}
}
