// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

// Package recipe declares what is made of Debian packages: the derivations
// that lead from a locked .deb to the root of a system.
//
// It owns the names, versions and variables of those derivations; what they
// make is the business of builder/debian/items and builder/debian/handlers. It
// reads nothing and knows no archive. Start with [Package].
package recipe

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
	// warning.
	BuiltinRoot = "package-root"
	VersionRoot = 1
)
