// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

// Package servicetest has what tests of service types stand on.
//
// It owns a source of packages that has every name. It never reads a lock or an
// archive: builder/debian does. Start with [AnyPackage].
package servicetest

import (
	"osbuild/builder/derivation"
	"osbuild/builder/service"
)

// AnyPackage is a source that has a package of every name, as a derivation that
// nobody builds.
type AnyPackage struct{ Graph *derivation.Graph }

// Package implements [service.Packages].
func (p AnyPackage) Package(name string, _ derivation.Position) (string, error) {
	return p.Graph.Derive(derivation.Derivation{Name: name, Builder: "builtin:package", Env: map[string]string{"package": name}})
}

// Is implements [service.Packages].
func (p AnyPackage) Is(path string) bool {
	ref, ok := p.Graph.Lookup(path)
	d, found := p.Graph.Derivation(ref.Drv)
	return ok && found && d.Env["package"] != ""
}

// Use implements [service.Packages].
func (AnyPackage) Use(service.PackagePolicy) ([]string, error) { return nil, nil }

// Root implements [service.Packages].
func (AnyPackage) Root([]string, bool, derivation.Position) (string, error) { return "", nil }
