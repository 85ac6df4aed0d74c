// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

// Package lang is the language of declarations: Starlark with functions that
// declare files, packages, services and systems.
//
// It owns the evaluation of files, the names that files can use, what there is
// to say of each ([NewDoc], [Search]), and every message about a fault in a
// file. A file-like value is a plain string, the
// path of the item or a placeholder for it, so that no operation on strings
// can lose a dependency: what is written into an item is scanned for paths
// (see builder/derivation). The package never builds anything, and what a
// record or a service means is not its business (see builder/services and
// builder/system). Start with [Load], then read predeclared.go.
package lang

import (
	"context"
	"fmt"
	"strings"

	"go.starlark.net/starlark"

	"osbuild/builder/derivation"
	"osbuild/builder/golang"
	"osbuild/builder/lang/value"
	"osbuild/builder/service"
)

// Options is what an evaluation works with.
type Options struct {
	// Graph takes what the file declares.
	Graph *derivation.Graph
	// Env is what the functions of services are computed with.
	Env *service.Env
	// Toolchain gives the Go toolchain of this machine. It is called when a
	// file uses go_program for the first time.
	Toolchain func() (*golang.Toolchain, error)
	// Print gets what files print, or nil for nothing.
	Print func(string)
	// Warn gets what is likely a slip, with its place in front, or nil for
	// nobody.
	Warn func(string)
	// MaxSteps bounds the evaluation, and each call of a function of a
	// service later; 0 stands for a bound that no honest file reaches.
	MaxSteps uint64
}

// defaultSteps takes a few seconds at most.
const defaultSteps = 50_000_000

// Program is an evaluated file.
type Program struct {
	file    string
	loader  *loader
	globals starlark.StringDict
}

// Load evaluates a file and all that it loads. With no file it gives a
// program in which only expressions can be evaluated. The error is an *Error.
func Load(ctx context.Context, file string, o Options) (*Program, error) {
	if o.MaxSteps == 0 {
		o.MaxSteps = defaultSteps
	}
	l := &loader{
		ctx:     ctx,
		options: o,
		library: newLibrary(),
		calls:   callSites{},
		modules: map[string]*module{},
		sources: map[string]string{},
		warned:  map[derivation.Position]bool{},
	}
	l.registry = value.NewRegistry(l.site, l.call)
	p := &Program{file: file, loader: l}
	err := l.run(l.declare)
	if err == nil && file != "" {
		p.globals, err = l.file(file)
	}
	if err != nil {
		return nil, err
	}
	return p, nil
}

// Names lists what the file defines, sorted.
func (p *Program) Names() []string {
	return p.globals.Keys()
}

// Value gives what the file defines under a name, as Go sees it: a
// *system.OperatingSystem, the path or placeholder of a file-like value, a
// *service.Type and so on.
func (p *Program) Value(name string) (any, error) {
	v, ok := p.globals[name]
	if !ok {
		return nil, &Error{Pos: derivation.Position{File: p.file}, Msg: p.noValue(name)}
	}
	return p.goValue(v)
}

func (p *Program) noValue(name string) string {
	names := p.Names()
	switch {
	case len(names) == 0:
		return fmt.Sprintf("cannot find the value %q: the file defines nothing; end it with %s = ...", name, name)
	case name == "system" && service.Near(name, names) == "":
		return `cannot find the value "system": end the file with system = operating_system(...), or name one of its values, as in FILE:NAME: ` + strings.Join(names, ", ")
	}
	hint := service.Meant(name, names)
	if hint == "" {
		hint = "; the file defines " + strings.Join(names, ", ")
	}
	return fmt.Sprintf("cannot find the value %q%s", name, hint)
}

func (p *Program) goValue(v starlark.Value) (any, error) {
	g, err := p.loader.registry.Plain(v)
	if err != nil {
		return nil, &Error{Pos: derivation.Position{File: p.file}, Msg: err.Error(), Cause: err}
	}
	return g, nil
}

// expressionFile is what positions in an expression name as their file.
const expressionFile = "-e"

// Eval gives the value of an expression, which can use what the file defines
// and loads, as Go sees it.
func (p *Program) Eval(expr string) (any, error) {
	l := p.loader
	env := starlark.StringDict{}
	for _, d := range []starlark.StringDict{l.predeclared, l.visible} {
		for name, v := range d {
			env[name] = v
		}
	}
	thread, done := l.thread(expressionFile)
	defer done()
	var v starlark.Value
	err := l.run(func() error {
		if err := checkText(expressionFile, []byte(expr)); err != nil {
			return err
		}
		l.sources[expressionFile] = expr
		e, err := fileOptions.ParseExpr(expressionFile, expr, 0)
		if err != nil {
			return err
		}
		l.calls.add(e)
		v, err = starlark.EvalExprOptions(fileOptions, thread, e, env)
		return err
	})
	if err != nil {
		return nil, err
	}
	return p.goValue(v)
}
