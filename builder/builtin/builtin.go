// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

// Package builtin makes those items that need no program: texts, unions of
// trees, unpacked archives and downloads.
//
// It owns what these items look like, which is part of the key of everything
// that uses them: whoever changes what a builtin makes raises its version in
// package derivation. It never reads a file that the declaration does not
// name, and only the download uses the network. Start with [All].
package builtin

import "osbuild/builder/realise"

// All gives every builtin.
func All() []realise.Builtin {
	return []realise.Builtin{}
}
