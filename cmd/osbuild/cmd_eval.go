// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"osbuild/builder/debian/deb"
	"osbuild/builder/debian/recipe"
	"osbuild/builder/derivation"
	"osbuild/closure"
	"osbuild/closure/view"
	"osbuild/cmd/launch"
	"osbuild/runner"
	"osbuild/runner/spec"
	"osbuild/store"
)

func evalVerb() verb {
	return verb{
		name:    "eval",
		args:    "FILE:NAME or ITEM [ARGUMENT…]",
		summary: "run one program in a container in which exactly its closure is visible",
		help: `osbuild eval tools.star:report --year 2026
osbuild eval --share=$PWD=/data tools.star:format /data/a.txt`,
		raw: true, program: true,
		setup: func(fs *pflag.FlagSet) runFunc {
			var o evalOptions
			o.mappings.Declare(fs)
			fs.BoolVar(&o.locked, "locked", false, "fail where the lock of packages would have to change")
			fs.StringSliceVar(&o.namespaces, "namespaces", namespaces, "what the program does not share with the host")
			return o.run
		},
	}
}

// namespaces are those that eval makes besides user and mnt.
var namespaces = []string{"cgroup", "ipc", "net", "pid", "uts"}

type evalOptions struct {
	mappings   launch.Mappings
	namespaces []string
	locked     bool
}

func (o *evalOptions) run(ctx context.Context, a *app, args []string) error {
	if len(args) == 0 {
		return usagef("eval: give FILE:NAME of a program")
	}
	for _, ns := range o.namespaces {
		if !slices.Contains(namespaces, ns) {
			return usagef("eval: unknown namespace %q; one of %s", ns, strings.Join(namespaces, ", "))
		}
	}
	mappings, err := o.mappings.Parse()
	if err != nil {
		return err
	}
	a.locked = o.locked
	program, item, err := a.program(ctx, args[0])
	if err != nil {
		return err
	}
	infos, err := closure.Compute(a.store, item)
	if err != nil {
		return err
	}
	p := spec.Program{
		Mappings:   mappings,
		Namespaces: o.namespaces,
		Argv:       append([]string{program}, args[1:]...),
		Env:        []string{"HOME=/root", "TMPDIR=/tmp"},
	}
	if p.Root, infos, err = a.packageRoot(ctx, item, infos); err != nil {
		return err
	}
	for _, info := range infos {
		p.Items = append(p.Items, spec.Item{Logical: string(info.Path), Physical: a.store.Physical(info.Path)})
	}
	exit, err := runner.Eval(ctx, p, runner.Hierarchy{View: view.Func(a.store)}, runner.Stdio{In: os.Stdin, Out: os.Stdout, Err: os.Stderr})
	if err == nil && exit.Status() != 0 {
		err = exitError{code: exit.Status()}
	}
	return err
}

// program builds FILE:NAME and finds the program in it: the path that the
// value names, the item itself if it is a file, or bin/<name> in it. An item
// that is there already is taken as it is.
func (a *app) program(ctx context.Context, target string) (string, store.Path, error) {
	file, name := splitTarget(target)
	if !strings.HasSuffix(file, ".star") {
		s, lease, err := a.openLease()
		if err != nil {
			return "", "", err
		}
		item, inside, err := a.existingItem(s, target)
		if inside != "" {
			inside = "/" + inside
		}
		if err == nil {
			err = lease.Add(item)
		}
		if err != nil {
			return "", "", err
		}
		return a.programIn(target, item, inside)
	}
	var e *evaluation
	var text, declared string
	err := a.evaluate(ctx, file, func(now *evaluation) error {
		e = now
		value, err := e.program.Value(name)
		if err != nil {
			return err
		}
		text, _ = value.(string)
		deps, err := e.graph.Deps(text)
		if err == nil && (len(deps) != 1 || !strings.HasPrefix(text, deps[0])) {
			err = fmt.Errorf("cannot run %s: it is not a program, but %s", target, kindOf(value))
		}
		if err == nil {
			declared = deps[0]
		}
		return err
	})
	if err != nil {
		return "", "", err
	}
	item, err := a.realise(ctx, e, declared)
	if err != nil {
		return "", "", err
	}
	return a.programIn(target, item, strings.TrimPrefix(text, declared))
}

// programIn is the program at sub in an item, by its logical path.
func (a *app) programIn(target string, item store.Path, sub string) (string, store.Path, error) {
	st, err := os.Stat(a.store.Physical(item))
	if err != nil {
		return "", "", err
	}
	if st.IsDir() && sub == "" {
		sub = path.Join("/bin", item.Name())
		if _, err := os.Lstat(a.store.Physical(item) + sub); err != nil {
			return "", "", fmt.Errorf("cannot run %s: it is a folder without %s; name the program, as in NAME + \"/bin/PROGRAM\"", target, sub[1:])
		}
	}
	return string(item) + sub, item, nil
}

// packageRoot makes what the packages in an item's closure put at /usr, and
// gives the closure with it; without packages it changes nothing.
func (a *app) packageRoot(ctx context.Context, item store.Path, infos []store.Info) (*spec.Root, []store.Info, error) {
	if !slices.ContainsFunc(infos, func(i store.Info) bool { return deb.IsItem(a.store.Physical(i.Path)) }) {
		return nil, infos, nil
	}
	r, err := a.realiser(ctx)
	if err != nil {
		return nil, nil, err
	}
	g := derivation.NewGraph(hasher{a})
	g.AddItem(item)
	set, err := recipe.Set(g, "package-set", []string{string(item)}, derivation.Position{})
	if err != nil {
		return nil, nil, err
	}
	root, err := recipe.Root(g, "packages", set, []string{recipe.IgnoreAll}, nil, derivation.Position{})
	if err != nil {
		return nil, nil, err
	}
	paths, err := r.Realise(ctx, g, root)
	if err != nil {
		return nil, nil, err
	}
	data, err := os.ReadFile(filepath.Join(a.store.Physical(paths[0]), spec.PackagesRoot))
	if err != nil {
		return nil, nil, fmt.Errorf("cannot read what the packages of %s put at /usr: %w", item.Base(), err)
	}
	tree := &spec.Root{}
	if err := json.Unmarshal(data, tree); err != nil {
		return nil, nil, fmt.Errorf("cannot read what the packages of %s put at /usr: %w", item.Base(), err)
	}
	infos, err = closure.Compute(a.store, item, paths[0])
	return tree, infos, err
}
