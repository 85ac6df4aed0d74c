// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package handlers

import "osbuild/runner/spec"

// ownerOf is the owner and mode of a node at its path without links.
func (r *root) ownerOf(p string, n *node) spec.Owner {
	if n.owner != nil {
		o := *n.owner
		o.Path = p
		return o
	}
	if n.from != nil {
		if o, ok := n.from.owners[p]; ok {
			return o
		}
	}
	mode := uint32(0o644)
	if n.kind == folder || n.executable() {
		mode = 0o755
	}
	return spec.Owner{Path: p, Mode: mode}
}

// plain says whether an owner is what files have that nobody speaks of.
func plain(o spec.Owner, n *node) bool {
	if !isRoot(o.User) || !isRoot(o.Group) {
		return false
	}
	return o.Mode == 0o755 && (n.kind == folder || n.executable()) || o.Mode == 0o644 && n.kind == file && !n.executable()
}

func isRoot(name string) bool { return name == "" || name == "root" || name == "0" }
