// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package rootfs

import "osbuild/runner/spec"

// OwnerOf is the owner and mode of a node at its path without links.
func (r *Root) OwnerOf(p string, n *Node) spec.Owner {
	if n.Owner != nil {
		o := *n.Owner
		o.Path = p
		return o
	}
	if n.From != nil {
		if o, ok := n.From.owners[p]; ok {
			return o
		}
	}
	mode := uint32(0o644)
	if n.Kind == Folder || n.Executable() {
		mode = 0o755
	}
	return spec.Owner{Path: p, Mode: mode}
}

// plain says whether an owner is what files have that nobody speaks of.
func plain(o spec.Owner, n *Node) bool {
	if !IsRoot(o.User) || !IsRoot(o.Group) {
		return false
	}
	return o.Mode == 0o755 && (n.Kind == Folder || n.Executable()) || o.Mode == 0o644 && n.Kind == File && !n.Executable()
}

// IsRoot says whether a name of an owner, or none, is root's.
func IsRoot(name string) bool { return name == "" || name == "root" || name == "0" }
