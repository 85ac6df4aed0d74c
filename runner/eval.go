// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"osbuild/runner/mount"
	"osbuild/runner/spec"
)

// Eval runs one program over its closure, as root of a container that has one
// id, and returns how it ended. When ctx ends, it is killed, with a PID
// namespace all that it started too.
func Eval(ctx context.Context, p spec.Program, h Hierarchy, stdio Stdio) (spec.Exit, error) {
	exit, err := eval(ctx, p, h, stdio)
	if err != nil {
		return exit, fmt.Errorf("cannot evaluate: %w", err)
	}
	return exit, nil
}

func eval(ctx context.Context, p spec.Program, h Hierarchy, stdio Stdio) (spec.Exit, error) {
	if len(p.Argv) == 0 {
		return spec.Exit{}, errors.New("no program is named")
	}
	var namespaces uint64
	for _, name := range p.Namespaces {
		i := slices.IndexFunc(kinds, func(k kind) bool { return k.name == name })
		switch {
		case i >= 0:
			namespaces |= kinds[i].flag
		case name != "user" && name != "mnt":
			return spec.Exit{}, fmt.Errorf("unknown namespace %q: choose of pid, net, ipc, uts and cgroup", name)
		}
	}
	who, err := containerIdentity(1, 0, "", true)
	if err != nil {
		return spec.Exit{}, err
	}
	defer who.close()
	root, err := planProgram(ctx, p, who, h)
	if err != nil {
		return spec.Exit{}, err
	}
	defer root.close()
	files, done, err := stdio.files()
	if err != nil {
		return spec.Exit{}, err
	}
	defer done()
	proc, err := root.start(ctx, &job{
		ids: who.ids, userNS: who.userNS, namespaces: namespaces, hostName: "localhost",
		files: files, argv: p.Argv, env: p.Env, dir: p.Directory,
		reaper: slices.Contains(p.Namespaces, "pid"), noNewPrivileges: true,
	}, func(text string) { fmt.Fprintln(files[2], "osbuild: "+text) })
	if err != nil {
		return spec.Exit{}, err
	}
	defer proc.close()
	return proc.waitOrKill(ctx)
}

func planProgram(ctx context.Context, p spec.Program, who *identity, h Hierarchy) (*laid, error) {
	in := mount.Program{Proc: slices.Contains(p.Namespaces, "pid")}
	var err error
	if in.Items, err = inspectItems(p.Items); err != nil {
		return nil, err
	}
	if in.User, err = inspectMappings(p.Mappings); err != nil {
		return nil, err
	}
	if who.asRoot {
		in.IDMap = len(in.Items) > 0 && canIDMap(in.Items[0].Physical, who.userNS)
		for i := range in.User {
			in.User[i].Flags.IDMap = canIDMap(in.User[i].Source, who.userNS)
		}
	}
	return h.lay(ctx, p.Root, func(v *views) (mount.Plan, error) {
		var err error
		if in.Packages, err = packagesOf(p.Root, v, in.Items); err != nil {
			return mount.Plan{}, err
		}
		if in.Anchor, err = anchor(append(sourcesOf(in.Items, in.User), v.dirs()...)); err != nil {
			return mount.Plan{}, err
		}
		return mount.ForProgram(in)
	})
}
