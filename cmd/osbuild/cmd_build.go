// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/spf13/pflag"

	"osbuild/builder/realise"
	"osbuild/builder/system"
	"osbuild/store"
)

func buildVerb() verb {
	return verb{
		name:    "build",
		args:    "FILE[:NAME]",
		summary: "build a system, or any file that a declaration names, and print where it lies",
		help: `osbuild build system.star               # the system item
osbuild build system.star:config        # the file that "config" stands for
osbuild build --container system.star   # a script that boots it as a container
osbuild build -e 'plain_file("a", "b")' # an expression`,
		setup: func(fs *pflag.FlagSet) runFunc {
			var o buildOptions
			fs.BoolVar(&o.container, "container", false, "build the script that boots the system as a container")
			fs.BoolVarP(&o.derivation, "derivation", "d", false, "print the derivation's key instead of building it")
			fs.BoolVarP(&o.dryRun, "dry-run", "n", false, "print what would be built and fetched, and do neither")
			fs.BoolVar(&o.check, "check", false, "build again what is there already, and compare")
			fs.BoolVar(&o.keepFailed, "keep-failed", false, "keep the folder of a failed build")
			fs.StringVar(&o.gcRoot, "gc-root", "", "a link to make to the result, which protects it from `store gc`")
			fs.BoolVar(&o.locked, "locked", false, "fail where the lock of packages would have to change")
			fs.StringSliceVar(&o.sharing.substituters, "substituters", nil, "URLs of caches from which to fetch what was built elsewhere (OSBUILD_SUBSTITUTERS)")
			fs.StringSliceVar(&o.sharing.keys, "trusted-keys", nil, "public keys whose word on builds counts (OSBUILD_TRUSTED_KEYS)")
			fs.StringVarP(&o.expr, "expression", "e", "", "build what an expression stands for; FILE's names are known in it")
			return o.run
		},
	}
}

type buildOptions struct {
	container, derivation, dryRun, check, keepFailed, locked bool

	gcRoot, expr string

	sharing sharing
}

// built is the result of `build --json`.
type built struct {
	Path     store.Path `json:"path"`
	RealPath string     `json:"realPath"`
	Drv      string     `json:"drv,omitempty"`
}

func (o *buildOptions) run(ctx context.Context, a *app, args []string) error {
	a.sharing = o.sharing
	e, b, err := o.evaluate(ctx, a, args)
	if err != nil {
		return err
	}
	ref, _ := e.graph.Lookup(b.path)
	switch {
	case o.derivation:
		return o.printDerivation(a, b.path, string(ref.Drv))
	case o.dryRun:
		return a.printPlan(ctx, e, b.path)
	}
	r, err := a.realiser(ctx)
	if err != nil {
		return err
	}
	r.KeepFailed = o.keepFailed
	paths, err := r.Realise(ctx, e.graph, b.path)
	if err != nil {
		return err
	}
	if o.check {
		if err := r.Check(ctx, e.graph, b.path); err != nil {
			return err
		}
		a.say("built again: the same bytes")
	}
	if o.gcRoot != "" {
		link, err := filepath.Abs(o.gcRoot)
		if err != nil {
			return err
		}
		if err := a.store.AddRoot(link, paths[0]); err != nil {
			return err
		}
	}
	if a.json {
		return a.printJSON(built{Path: paths[0], RealPath: a.store.Physical(paths[0]), Drv: string(ref.Drv)})
	}
	fmt.Fprintln(a.stdout, a.store.Physical(paths[0]))
	return nil
}

// evaluate finds what to build: FILE[:NAME], or an expression.
func (o *buildOptions) evaluate(ctx context.Context, a *app, args []string) (e *evaluation, b buildable, err error) {
	if len(args) > 1 || len(args) == 0 && o.expr == "" || len(args) == 1 && args[0] == "" {
		return nil, buildable{}, usagef("build: give one FILE or FILE:NAME, or an expression with -e")
	}
	file, name := "", ""
	if len(args) == 1 {
		file, name = splitTarget(args[0])
	}
	a.locked = o.locked
	err = a.evaluate(ctx, file, func(now *evaluation) error {
		e = now
		if o.expr == "" {
			b, err = e.value(args[0], name, o.container)
			return err
		}
		value, err := e.program.Eval(o.expr)
		if err == nil {
			b, err = e.lower(o.expr, value, o.container)
		}
		return err
	})
	return e, b, err
}

func (o *buildOptions) printDerivation(a *app, path, key string) error {
	if a.json {
		return a.printJSON(map[string]string{"drv": key, "path": path})
	}
	if key == "" {
		// A plain text or a local file is known without a derivation.
		key = path
	}
	fmt.Fprintln(a.stdout, key)
	return nil
}

// printPlan says what would be built and fetched for a path.
func (a *app) printPlan(ctx context.Context, e *evaluation, path string) error {
	r, err := a.realiser(ctx)
	if err != nil {
		return err
	}
	plan, err := r.Plan(ctx, e.graph, path)
	if err != nil {
		return err
	}
	return a.showPlan(plan)
}

func (a *app) showPlan(plan realise.Plan) error {
	if a.json {
		return a.printJSON(plan)
	}
	for _, item := range plan.Build {
		fmt.Fprintln(a.stdout, "would build", item.Name)
	}
	for _, item := range plan.Fetch {
		if item.From != "" {
			fmt.Fprintln(a.stdout, "would fetch", item.Path.Name(), "from", item.From)
		}
	}
	if len(plan.Build) == 0 {
		fmt.Fprintln(a.stdout, "nothing to build")
	}
	return nil
}

// containerScript lowers a system to the script that boots it.
func (e *evaluation) containerScript(os *system.OperatingSystem) (string, error) {
	sys, err := e.containerSystem(os, system.ContainerOptions{})
	if err != nil {
		return "", err
	}
	return system.ContainerScript(e.env, sys)
}

// containerSystem lowers a system in its container form.
func (e *evaluation) containerSystem(os *system.OperatingSystem, o system.ContainerOptions) (system.System, error) {
	contained, err := system.Containerize(os, o)
	if err != nil {
		return system.System{}, err
	}
	return system.Lower(e.env, contained)
}
