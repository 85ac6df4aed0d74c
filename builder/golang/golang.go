// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

// Package golang declares programs that the host's Go toolchain builds from
// source.
//
// It owns the command and the environment of such a build, and what of a
// toolchain is part of its key. It never runs a build itself, never lets one
// use the network or the modules of the user who declares it, and never
// changes a module: what a program needs lies in its vendor folder. Start with
// [Program].
//
// Each build compiles what it uses of the standard library anew: for a web
// server 45 s of processor time, nearly all of the build. A GOCACHE between
// builds would save that, but its bytes differ each time it is filled, so it
// cannot be an item, and a folder that all builds write to is a way from one
// build into another, which the sandbox exists to close. What could be an item
// is the compiled library (`go install -pkgdir`; programs came out the same with
// and without it): making it takes as long as two such builds and 160 MB, so it
// would pay from the third build on.
package golang

import (
	"fmt"
	"path"
	"path/filepath"
	"strings"

	"osbuild/builder/derivation"
)

// Options say what program to build.
type Options struct {
	// Name is that of the program and of its item.
	Name string
	// Src is the path of the folder with go.mod: a source, a placeholder, or a
	// folder inside one.
	Src string
	// Package is the folder of the program's package, relative to Src; "" is
	// Src itself.
	Package string
	// Tags are build tags.
	Tags []string
	Pos  derivation.Position
}

// Program declares a program and gives the path of its item, in which it is
// bin/<Name>. The error is a *[derivation.Error] with o.Pos.
func Program(g *derivation.Graph, tc *Toolchain, o Options) (string, error) {
	fail := func(err error) (string, error) {
		return "", &derivation.Error{Pos: o.Pos, Err: fmt.Errorf("cannot declare Go program %q: %w", o.Name, err)}
	}
	pkg, err := packageArg(o.Package)
	if err != nil {
		return fail(err)
	}
	for _, t := range o.Tags {
		if t == "" || strings.ContainsAny(t, ", \t\n") {
			return fail(fmt.Errorf("bad build tag %q", t))
		}
	}
	if err := checkModule(g, o.Src); err != nil {
		return fail(err)
	}
	args := []string{"build", "-C", o.Src, "-trimpath", "-buildvcs=false", "-ldflags=-buildid="}
	if len(o.Tags) > 0 {
		args = append(args, "-tags="+strings.Join(o.Tags, ","))
	}
	args = append(args, "-o", derivation.Self("out")+"/bin/"+o.Name, pkg)
	for _, p := range tc.parts {
		g.AddHost(p.hash, p.physical)
	}
	return g.Derive(derivation.Derivation{
		Name:    o.Name,
		Builder: toolchainDir + "/bin/go",
		System:  derivation.HostSystem(),
		Args:    args,
		Env:     environment(tc),
		Host:    tc.hosts(),
		Pos:     o.Pos,
	})
}

// environment keeps a build to its toolchain and its source folder, and makes
// it independent of the defaults of both.
func environment(tc *Toolchain) map[string]string {
	return map[string]string{
		"CGO_ENABLED": "0",
		"GO111MODULE": "on",
		"GOARCH":      tc.arch,
		"GOCACHE":     "/build/cache",
		"GOENV":       "off",
		"GOFLAGS":     "-mod=vendor",
		// Compilers live shortly: to collect less garbage saves a fifth of the
		// time, and changes no byte.
		"GOGC":        "400",
		"GOOS":        "linux",
		"GOPATH":      "/build/go",
		"GOPROXY":     "off",
		"GOROOT":      toolchainDir,
		"GOTOOLCHAIN": "local",
		"GOWORK":      "off",
		"HOME":        "/build",
	}
}

// packageArg makes the argument for a folder: always one that begins with a
// dot, so that it is neither an option nor a package of the standard library.
func packageArg(pkg string) (string, error) {
	if path.IsAbs(pkg) || !filepath.IsLocal(path.Join(".", pkg)) || strings.ContainsAny(pkg, "\n\x00") || strings.Contains(pkg, "...") {
		return "", fmt.Errorf("package %q is no folder below src (want one such as \"cmd/hello\")", pkg)
	}
	if pkg = path.Clean(pkg); pkg == "." {
		return ".", nil
	}
	return "./" + pkg, nil
}
