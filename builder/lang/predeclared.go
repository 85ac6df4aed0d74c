// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package lang

import (
	"fmt"
	"slices"

	"go.starlark.net/starlark"

	"osbuild/builder/lang/value"
	"osbuild/builder/services"
	"osbuild/builder/system"
)

// declare fills in the names that every file can use.
func (l *loader) declare() error {
	l.predeclared = starlark.StringDict{}
	for _, r := range slices.Concat(services.Records(), system.Records()) {
		if err := l.record(r); err != nil {
			return err
		}
	}
	l.constructors = map[string]*value.Schema{}
	for _, m := range l.library {
		for _, r := range m.Records {
			s, err := l.registry.Register(r.Name, r.Proto, r.Doc, r.Convert)
			if err != nil {
				return err
			}
			l.constructors[r.Name] = s
		}
	}
	for _, declare := range []func() error{l.declareFiles, l.declarePackages, l.declareDerivations, l.declareServices, l.declareKinds} {
		if err := declare(); err != nil {
			return err
		}
	}
	return nil
}

// record adds a record constructor.
func (l *loader) record(r services.Record) error {
	s, err := l.registry.Register(r.Name, r.Proto, r.Doc, r.Convert)
	if err != nil {
		return err
	}
	return l.add(s)
}

// add adds a function, each name once.
func (l *loader) add(v starlark.Callable) error {
	if l.predeclared.Has(v.Name()) {
		return fmt.Errorf("cannot define %s: the name is taken", v.Name())
	}
	l.predeclared[v.Name()] = v
	return nil
}

// function adds a function whose arguments are the fields of a struct.
func function[T any](l *loader, name, doc string, proto T, do func(*starlark.Thread, *T) (starlark.Value, error)) error {
	f, err := value.NewFunction(l.registry, name, doc, proto, do)
	if err != nil {
		return err
	}
	return l.add(f)
}

// item gives a path or placeholder to a file.
func item(path string, err error) (starlark.Value, error) {
	if err != nil {
		return nil, err
	}
	return starlark.String(path), nil
}
