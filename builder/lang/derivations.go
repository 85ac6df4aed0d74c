// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package lang

import (
	"errors"
	"fmt"

	"go.starlark.net/starlark"

	"osbuild/builder/derivation"
	"osbuild/builder/golang"
	"osbuild/builder/lang/value"
)

type computedFile struct {
	Name    string            `star:"name,required,item" doc:"The name of the item."`
	Builder string            `star:"builder,required,file" doc:"The program that makes the item at the path in $out: a file-like value, or one plus a path in it."`
	Args    []string          `star:"args" doc:"The program's arguments."`
	Inputs  []string          `star:"inputs,file" doc:"Items that the program needs and that neither arguments nor environment mention."`
	Env     map[string]string `star:"env" doc:"The program's environment, besides out, HOME and TMPDIR."`
}

type rawDerivation struct {
	Name    string            `star:"name,required,item" doc:"The name of the item."`
	Builder string            `star:"builder,required,file" doc:"The program that makes the outputs at the paths in the variables named after them."`
	Args    []string          `star:"args" doc:"The program's arguments."`
	Inputs  []string          `star:"inputs,file" doc:"Items that the program needs and that neither arguments nor environment mention."`
	Env     map[string]string `star:"env" doc:"The program's environment, besides the outputs, HOME and TMPDIR."`
	Outputs []string          `star:"outputs" doc:"The names of the outputs. Without them there is one, whose path is given; with them, a dict of paths."`
	System  string            `star:"system" doc:"The platform to build on; that of the evaluation by default."`
}

type fetch struct {
	URL    string  `star:"url,required" doc:"An address that begins with http://, https:// or file://."`
	SHA256 string  `star:"sha256,required" doc:"The hash of the file, in hexadecimal, base32 or as sha256-BASE64."`
	Name   *string `star:"name,item" doc:"The name of the item; the last part of the address by default."`
}

type unpack struct {
	Name    string `star:"name,required,item" doc:"The name of the item."`
	Archive string `star:"archive,required,file" doc:"A tar archive, plain or compressed by gzip, bzip2, xz or zstd."`
	Strip   int    `star:"strip" doc:"How many leading folders to drop from the paths in the archive."`
}

type goProgram struct {
	Name    string   `star:"name,required,item" doc:"The name of the program, which is bin/NAME in the item."`
	Src     string   `star:"src,required,file" doc:"The folder with go.mod. It must need no other modules, or have them in vendor/."`
	Package string   `star:"package" doc:"The package of the program, relative to src."`
	Tags    []string `star:"tags" doc:"Build tags."`
}

type output struct {
	Name string `star:"name" doc:"The name of the output."`
}

func (l *loader) declareDerivations() error {
	return errors.Join(
		function(l, "computed_file", "An item made by running a program in a sandbox that holds its closure and nothing else.", computedFile{}, l.computedFile),
		function(l, "derivation", "The general form of computed_file.", rawDerivation{}, l.derivation),
		function(l, "fetch", "A file of the network, known by its hash.", fetch{}, l.fetch),
		function(l, "unpack", "The tree in an archive.", unpack{}, l.unpack),
		function(l, "go_program", "A static program built from Go source.", goProgram{Package: "."}, l.goProgram),
		function(l, "output", "The path of a derivation's own output, for its arguments and environment.", output{Name: "out"}, l.output),
	)
}

func (l *loader) computedFile(thread *starlark.Thread, a *computedFile) (starlark.Value, error) {
	d := derivation.Derivation{
		Name: a.Name, Builder: a.Builder, Args: a.Args, Env: a.Env,
		System: l.system(), Pos: l.caller(thread),
	}
	var err error
	if d.Inputs, err = l.inputs(a.Inputs); err != nil {
		return nil, value.Argument("inputs", err)
	}
	if d.Root, err = l.root(&d); err != nil {
		return nil, err
	}
	return item(l.options.Graph.Derive(d))
}

func (l *loader) derivation(thread *starlark.Thread, a *rawDerivation) (starlark.Value, error) {
	d := derivation.Derivation{
		Name: a.Name, Builder: a.Builder, Args: a.Args, Env: a.Env, Outputs: a.Outputs,
		System: a.System, Pos: l.caller(thread),
	}
	if d.System == "" {
		d.System = l.system()
	}
	var err error
	if d.Inputs, err = l.inputs(a.Inputs); err != nil {
		return nil, value.Argument("inputs", err)
	}
	if d.Root, err = l.root(&d); err != nil {
		return nil, err
	}
	p, err := l.options.Graph.Derive(d)
	if err != nil || len(a.Outputs) == 0 {
		return item(p, err)
	}
	ref, ok := l.options.Graph.Lookup(p)
	if !ok {
		return nil, fmt.Errorf("derivation: cannot find the outputs of %q", a.Name)
	}
	paths := starlark.NewDict(len(a.Outputs))
	for _, o := range a.Outputs {
		if err := paths.SetKey(starlark.String(o), starlark.String(derivation.Placeholder(ref.Drv, o, a.Name))); err != nil {
			return nil, err
		}
	}
	return paths, nil
}

// inputs turns items, or paths in items, into inputs of a derivation.
func (l *loader) inputs(paths []string) ([]derivation.Input, error) {
	var inputs []derivation.Input
	for i, p := range paths {
		ref, _, ok := l.options.Graph.Split(p)
		if !ok {
			return nil, fmt.Errorf("element %d: %q is no item of this evaluation", i+1, p)
		}
		in := derivation.Input{Drv: ref.Drv, Output: ref.Output}
		if ref.Drv == "" {
			in = derivation.Input{Path: ref.Path}
		}
		inputs = append(inputs, in)
	}
	return inputs, nil
}

// system is the platform that programs are built on.
func (l *loader) system() string {
	if l.options.Env != nil && l.options.Env.System != "" {
		return l.options.Env.System
	}
	return derivation.HostSystem()
}

func (l *loader) fetch(thread *starlark.Thread, a *fetch) (starlark.Value, error) {
	name := ""
	if a.Name != nil {
		name = *a.Name
	}
	return item(l.options.Graph.Fetch(name, a.URL, a.SHA256, l.caller(thread)))
}

func (l *loader) unpack(thread *starlark.Thread, a *unpack) (starlark.Value, error) {
	return item(l.options.Graph.Unpack(a.Name, a.Archive, a.Strip, l.caller(thread)))
}

func (l *loader) goProgram(thread *starlark.Thread, a *goProgram) (starlark.Value, error) {
	if l.options.Toolchain == nil {
		return nil, errors.New("go_program: no Go toolchain is available to this evaluation")
	}
	tc, err := l.options.Toolchain()
	if err != nil {
		return nil, fmt.Errorf("go_program: %w", err)
	}
	return item(golang.Program(l.options.Graph, tc, golang.Options{
		Name: a.Name, Src: a.Src, Package: a.Package, Tags: a.Tags, Pos: l.caller(thread),
	}))
}

func (l *loader) output(_ *starlark.Thread, a *output) (starlark.Value, error) {
	return starlark.String(derivation.Self(a.Name)), nil
}
