// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package lang

import (
	"errors"

	"go.starlark.net/starlark"

	"osbuild/builder/derivation"
	"osbuild/builder/services"
)

type namedPackage struct {
	Name string `star:"name,required" doc:"The name of a binary package, such as \"nginx-light\"."`
}

func (l *loader) declarePackages() error {
	return function(l, "package", "A package of the distribution, by name. package(NAME) + \"/usr/bin/PROGRAM\" is a file of it. All packages of a declaration are chosen together and kept in its lock file.", namedPackage{}, l.namedPackage)
}

func (l *loader) namedPackage(thread *starlark.Thread, a *namedPackage) (starlark.Value, error) {
	env := l.options.Env
	if env == nil || env.Packages == nil {
		return nil, services.ErrNoPackageSource
	}
	return item(env.Packages.Package(a.Name, l.caller(thread)))
}

// root is what a builder program finds at /usr: what the packages make
// together that these strings mention, directly or through other items.
func (l *loader) root(d *derivation.Derivation) (string, error) {
	env := l.options.Env
	if env == nil || env.Packages == nil {
		return "", nil
	}
	var items []string
	var failed error
	add := func(s string) {
		deps, err := l.options.Graph.Deps(s)
		failed = errors.Join(failed, err)
		items = append(items, deps...)
	}
	add(d.Builder)
	for _, s := range d.Args {
		add(s)
	}
	for _, s := range d.Env {
		add(s)
	}
	for _, in := range d.Inputs {
		if in.Drv == "" {
			items = append(items, string(in.Path))
		} else if e, ok := l.options.Graph.Derivation(in.Drv); ok {
			items = append(items, derivation.Placeholder(in.Drv, in.Output, e.Name))
		}
	}
	if failed != nil {
		// Deriving finds the same, and says where it is.
		return "", nil
	}
	return env.Packages.Root(items, true, d.Pos)
}
