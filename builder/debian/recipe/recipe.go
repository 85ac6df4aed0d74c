// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

// Package recipe declares what is made of Debian packages: the derivations
// that lead from a locked .deb to the root of a system.
//
// It owns the names, versions and variables of those derivations; what they
// make is the business of builder/debian/items and builder/debian/handlers. It
// reads nothing and knows no archive. Start with [Package].
package recipe

import (
	"strconv"
	"strings"

	"osbuild/builder/debian/lock"
	"osbuild/builder/derivation"
	"osbuild/store"
)

// The builtins, and the versions of what they make. A version grows when the
// same declaration gives another item.
const (
	// BuiltinDeb unpacks one .deb of an archive: the variables package,
	// version, architecture, suite, path, size and sha256 say which.
	BuiltinDeb = "deb"
	VersionDeb = 1
	// BuiltinPackage makes the item that stands for the package of the
	// variable package; Args are the deb items that it needs, its own first.
	BuiltinPackage = "package"
	VersionPackage = 1
	// BuiltinSet lists the deb items in the closure of the items Args.
	BuiltinSet = "package-set"
	VersionSet = 1
	// BuiltinRoot makes what the packages of the list in the variable set make
	// together. Scripts of the packages in the variable ignore cause no
	// warning; paths in the variable programs that are not there cause one.
	BuiltinRoot = "package-root"
	VersionRoot = 1
	// IgnoreAll, among the packages that are ignored, stands for all of them
	// and for every other warning.
	IgnoreAll = "*"
)

// Deb declares the files of one locked package: a deb item.
func Deb(g *derivation.Graph, p lock.Package, pos derivation.Position) (string, error) {
	return g.Derive(derivation.Derivation{
		Name: itemName(p.Name + "-" + p.Version), Builder: derivation.BuiltinPrefix + BuiltinDeb, Version: VersionDeb,
		Env: map[string]string{
			"package": p.Name, "version": p.Version, "architecture": p.Arch,
			"suite": p.Suite, "path": p.Path, "size": strconv.FormatInt(p.Size, 10), "sha256": p.SHA256,
		},
		Pos: pos,
	})
}

// Package declares the item that stands for a package in strings: its paths
// are those of the package's files, and it refers to all deb items that the
// package needs. debs are these, the package's own first.
func Package(g *derivation.Graph, name string, debs []string, version string, pos derivation.Position) (string, error) {
	return g.Derive(derivation.Derivation{
		Name: itemName(name + "-" + version + "-package"), Builder: derivation.BuiltinPrefix + BuiltinPackage, Version: VersionPackage,
		Args: debs, Env: map[string]string{"package": name}, Pos: pos,
	})
}

// Set declares the list of the deb items that these items need.
func Set(g *derivation.Graph, name string, items []string, pos derivation.Position) (string, error) {
	return g.Derive(derivation.Derivation{
		Name: name, Builder: derivation.BuiltinPrefix + BuiltinSet, Version: VersionSet,
		Args: items, Pos: pos,
	})
}

// Root declares what the packages of a set make together. Nothing is said of
// the scripts of those that are to be ignored; programs are paths of which it
// is said when no package has them.
func Root(g *derivation.Graph, name, set string, ignore, programs []string, pos derivation.Position) (string, error) {
	return g.Derive(derivation.Derivation{
		Name: name, Builder: derivation.BuiltinPrefix + BuiltinRoot, Version: VersionRoot,
		Env: map[string]string{"set": set, "ignore": strings.Join(ignore, " "), "programs": strings.Join(programs, " ")}, Pos: pos,
	})
}

// maxName is how long the name of an item may be.
const maxName = 211

// itemName writes s in letters that the name of an item may have: versions
// hold colons and tildes.
func itemName(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < 0x80 && store.ValidName("x"+string(r)) == nil {
			return r
		}
		return '-'
	}, s)
	return s[:min(len(s), maxName)]
}
