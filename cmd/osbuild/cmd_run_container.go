// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"

	"osbuild/builder/system"
	"osbuild/closure"
	"osbuild/closure/view"
	"osbuild/cmd/launch"
	"osbuild/runner"
	"osbuild/runner/spec"
	"osbuild/store"
)

func runContainerVerb() verb {
	return verb{
		name:    "run-container",
		args:    "FILE[:NAME] or ITEM or SCRIPT [-- COMMAND…]",
		summary: "build a system and boot it as a container",
		help: `osbuild run-container system.star                      # until Ctrl-C
osbuild run-container system.star -- /usr/bin/hello    # boot, run, power off
osbuild run-container --share=$PWD=/mnt system.star
osbuild run-container --name web --detach --state ~/web system.star`,
		program: true,
		setup: func(fs *pflag.FlagSet) runFunc {
			var f launch.Flags
			f.Declare(fs)
			locked := fs.Bool("locked", false, "fail where the lock of packages would have to change")
			return func(ctx context.Context, a *app, args []string) error {
				a.locked = *locked
				return runContainer(ctx, a, &f, args)
			}
		},
	}
}

func runContainer(ctx context.Context, a *app, f *launch.Flags, args []string) error {
	before, command := splitCommand(args)
	if len(before) != 1 || before[0] == "" {
		return usagef("run-container: give one FILE, ITEM or SCRIPT, and a command only behind `--`")
	}
	o, err := f.Options(command)
	if err != nil {
		return err
	}
	if err := runner.CheckIDs(o); err != nil {
		return err
	}
	if f.Detach() {
		name, status, err := launch.Detach(ctx, os.Args[1:], a.stderr)
		if err != nil || status != 0 {
			return exitError{code: max(status, 1), err: err}
		}
		fmt.Fprintln(a.stdout, name)
		return nil
	}
	background := launch.Background()
	if background != nil {
		a.stderr = background
	}
	item, err := a.containerItem(ctx, before[0], f.Network())
	if err != nil {
		return err
	}
	if err := a.describe(&o, item); err != nil {
		return err
	}
	if f.DryRun() {
		plan, err := runner.Plan(o)
		if err != nil {
			return err
		}
		if a.json {
			return a.printJSON(plan)
		}
		fmt.Fprint(a.stdout, plan)
		return nil
	}
	if background != nil {
		background.Attach(&o)
	}
	return a.inOrder(func() error {
		exit, err := runner.Run(ctx, o)
		if err == nil && exit.Status() != 0 {
			err = exitError{code: exit.Status()}
		}
		return err
	})
}

// containerItem finds the system item to boot, building it if a declaration
// is named.
func (a *app) containerItem(ctx context.Context, target string, network bool) (store.Path, error) {
	file, name := splitTarget(target)
	if !strings.HasSuffix(file, ".star") {
		s, lease, err := a.openLease()
		if err != nil {
			return "", err
		}
		path, inside, err := a.existingItem(s, target)
		if err != nil {
			return "", err
		}
		if inside != "" {
			return "", fmt.Errorf("cannot use %s as a system: it lies inside an item; give the item %s", target, path.Base())
		}
		if err := lease.Add(path); err != nil {
			return "", err
		}
		return systemOf(s, path)
	}
	return a.buildContainer(ctx, target, file, name, network)
}

// buildContainer builds the container form of a declared system.
func (a *app) buildContainer(ctx context.Context, target, file, name string, network bool) (store.Path, error) {
	e, path, err := a.declareContainer(ctx, target, file, name, network)
	if err != nil {
		return "", err
	}
	return a.realise(ctx, e, path)
}

// declareContainer reads a declared system, and gives the path by which its
// container form can be built.
func (a *app) declareContainer(ctx context.Context, target, file, name string, network bool) (*evaluation, string, error) {
	var e *evaluation
	var sys system.System
	err := a.evaluate(ctx, file, func(now *evaluation) error {
		e = now
		value, err := e.program.Value(name)
		if err != nil {
			return err
		}
		declared, ok := value.(*system.OperatingSystem)
		if !ok {
			return fmt.Errorf("cannot use %s as a system: it is not an operating_system", target)
		}
		sys, err = e.containerSystem(declared, system.ContainerOptions{SharedNetwork: network})
		return err
	})
	return e, sys.Path, err
}

// systemOf is the system item itself, or the one that a run-container script
// refers to.
func systemOf(s *store.Store, path store.Path) (store.Path, error) {
	info, err := s.Info(path)
	if err != nil {
		return "", err
	}
	for _, p := range append([]store.Path{path}, info.References...) {
		if _, err := os.Lstat(filepath.Join(s.Physical(p), "container.json")); err == nil {
			return p, nil
		}
	}
	return "", fmt.Errorf("cannot use %s as a system: it is neither one nor a run-container script", path)
}

// describe adds the system and its closure to the options of a start.
func (a *app) describe(o *runner.Options, item store.Path) error {
	container, err := launch.ReadContainer(filepath.Dir(a.store.Physical(item)), string(item))
	if err != nil {
		return err
	}
	infos, err := closure.Compute(a.store, item)
	if err != nil {
		return err
	}
	var size int64
	for _, info := range infos {
		o.Items = append(o.Items, spec.Item{Logical: string(info.Path), Physical: a.store.Physical(info.Path)})
		size += info.NarSize
	}
	o.System, o.Container = string(item), container
	o.Hierarchy.View = view.Func(a.store)
	o.Message = func(text string) { a.say("%s", text) }
	a.say("system %s: %d items, %.1f MiB", item.Base(), len(infos), float64(size)/(1<<20))
	return nil
}

// existingItem finds an item by its logical path, name in the store or
// physical path, and the path inside it that the argument names.
func (a *app) existingItem(s *store.Store, arg string) (item store.Path, inside string, err error) {
	item, inside, err = s.Resolve(arg)
	if err == nil {
		_, err = s.Info(item)
	}
	if err != nil {
		return "", "", fmt.Errorf("cannot find %s: it is no declaration (FILE.star), and as an item: %w", arg, err)
	}
	return item, inside, nil
}
