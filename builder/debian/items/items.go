// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

// Package items makes the items of Debian packages: deb items from the
// archive, the package items that strings refer to, and the list of the deb
// items that a system needs.
//
// It owns what the last two look like; the form of a deb item is that of
// builder/debian/deb. It chooses no package and runs no script: what packages
// do together is the business of builder/debian/handlers. Start with
// [Builtins].
package items

import (
	"context"
	"io"
	"runtime"
	"sync"

	"osbuild/builder/debian/apt"
	"osbuild/builder/debian/recipe"
	"osbuild/builder/realise"
)

// Archive is where packages come from; *apt.Host is one.
type Archive interface {
	// Fetch writes the file to w and checks that it is the right one.
	Fetch(ctx context.Context, f apt.File, w io.Writer) error
	// Newer tells which version of a package the archive has now.
	Newer(ctx context.Context, name string) (version, suite string, err error)
}

// Builtins gives the builtins, to be wired into a [realise.Realiser]. The
// archive is opened when the first package is fetched.
func Builtins(open func() (Archive, error)) []realise.Builtin {
	return []realise.Builtin{
		&debBuiltin{
			open: sync.OnceValues(open),
			work: make(chan struct{}, runtime.GOMAXPROCS(0)),
		},
		builtin{recipe.BuiltinPackage, recipe.VersionPackage, buildPackage},
		builtin{recipe.BuiltinSet, recipe.VersionSet, buildSet},
	}
}

type builtin struct {
	name    string
	version int
	build   func(context.Context, realise.Request) error
}

func (b builtin) Name() string { return b.name }

func (b builtin) Version() int { return b.version }

func (b builtin) Build(ctx context.Context, r realise.Request) error { return b.build(ctx, r) }
