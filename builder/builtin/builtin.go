// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

// Package builtin makes those items that need no program: texts, unions of
// trees, unpacked archives, downloads and the documents of containers.
//
// It owns what these items look like, which is part of the key of everything
// that uses them: whoever changes what a builtin makes raises its version in
// package derivation. It reads no file that the declaration does not name,
// and only the download uses the network. Start with [All].
package builtin

import (
	"context"

	"osbuild/builder/derivation"
	"osbuild/builder/realise"
)

// All gives every builtin, to be wired into a [realise.Realiser].
func All() []realise.Builtin {
	return []realise.Builtin{
		builtin{derivation.BuiltinText, derivation.VersionText, buildText},
		builtin{derivation.BuiltinDirectoryUnion, derivation.VersionDirectoryUnion, buildDirectoryUnion},
		builtin{derivation.BuiltinFileUnion, derivation.VersionFileUnion, buildFileUnion},
		builtin{derivation.BuiltinUnpack, derivation.VersionUnpack, buildUnpack},
		builtin{derivation.BuiltinFetch, derivation.VersionFetch, buildFetch},
		builtin{derivation.BuiltinRequisites, derivation.VersionRequisites, buildRequisites},
		builtin{derivation.BuiltinContainer, derivation.VersionContainer, buildContainer},
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
