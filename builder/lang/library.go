// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package lang

import (
	"fmt"
	"slices"
	"strings"

	"go.starlark.net/starlark"

	"osbuild/builder/service"
	"osbuild/builder/services"
)

// libraryPrefix begins the names of the modules that osbuild brings along.
const libraryPrefix = "@osbuild//"

// library is those modules, in the order of their names.
type library []services.Module

func newLibrary() library {
	lib := library(services.Modules())
	slices.SortFunc(lib, func(a, b services.Module) int { return strings.Compare(a.Name, b.Name) })
	return lib
}

// find gives the module with a name.
func (lib library) find(name string) (services.Module, error) {
	var names []string
	for _, m := range lib {
		if m.Name == name {
			return m, nil
		}
		names = append(names, m.Name)
	}
	hint := service.Meant(name, names)
	if hint == "" {
		hint = "; there are " + strings.Join(names, ", ")
	}
	return services.Module{}, fmt.Errorf("osbuild has no such module%s", hint)
}

// loadLibrary loads a module of osbuild: its types and lists, and what its
// text defines.
func (l *loader) loadLibrary(thread *starlark.Thread, name string) (starlark.StringDict, error) {
	m, err := l.library.find(name)
	if err != nil {
		return nil, err
	}
	globals, err := l.once(thread, name, name, func() ([]byte, error) { return []byte(m.Source), nil })
	if err != nil {
		return nil, err
	}
	all := starlark.StringDict{}
	for n, v := range globals {
		all[n] = v
	}
	for n, t := range m.Types {
		all[n] = l.registry.FromGo(t)
	}
	for n, list := range m.Lists {
		all[n] = l.registry.FromGo(list)
	}
	for _, r := range m.Records {
		all[r.Name] = l.constructors[r.Name]
	}
	return all, nil
}

// libraryNames gives all that a module of osbuild has; nothing, if it cannot
// be loaded.
func (l *loader) libraryNames(m services.Module) starlark.StringDict {
	thread, done := l.thread(m.Name)
	defer done()
	var names starlark.StringDict
	_ = l.run(func() error {
		var err error
		names, err = l.loadLibrary(thread, m.Name)
		return err
	})
	return names
}

// exporter names the module of osbuild that has a name, or "".
func (l *loader) exporter(name string) string {
	for _, m := range l.library {
		if l.libraryNames(m).Has(name) {
			return m.Name
		}
	}
	return ""
}
