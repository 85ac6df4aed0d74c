// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"cmp"
	"fmt"
	"path"
	"slices"

	"osbuild/closure/layers"
	"osbuild/closure/segment"
)

// tree is the root file system of an image while it is put together: each
// path once, with the parts that it belongs to. What comes first stays; later
// it is hidden, as by an overlay.
type tree struct {
	nodes map[string]*node
	parts []layers.Part
}

type node struct {
	segment.Entry
	// parts are the numbers of the parts that have the path. A folder may
	// have several.
	parts []int
	// fhs says that a package alone decides what the file is.
	fhs bool
}

func newTree() *tree { return &tree{nodes: map[string]*node{}} }

// part starts a part and returns its number.
func (t *tree) part(name string) int {
	t.parts = append(t.parts, layers.Part{Name: name})
	return len(t.parts) - 1
}

// add puts an entry of a part into the tree, unless it is hidden there; then
// nothing of it and below it may be added. The folder that it stands in must
// have been added for the part before.
func (t *tree) add(part int, e segment.Entry) (n *node, added bool) {
	if there := t.nodes[e.Path]; there != nil {
		if there.Type != segment.Directory || e.Type != segment.Directory {
			return there, false
		}
		there.share(part)
		return there, true
	}
	n = &node{Entry: e, parts: []int{part}}
	t.nodes[e.Path] = n
	return n, true
}

func (n *node) share(part int) {
	if n.parts[len(n.parts)-1] != part && !slices.Contains(n.parts, part) {
		n.parts = append(n.parts, part)
	}
}

// folder adds a folder and all above it for a part, as root's where they are
// new.
func (t *tree) folder(part int, name string) error {
	if name == "." {
		return nil
	}
	if err := t.folder(part, path.Dir(name)); err != nil {
		return err
	}
	if n, ok := t.add(part, segment.Entry{Path: name, Type: segment.Directory, Mode: folderMode}); !ok {
		return fmt.Errorf("/%s must be a folder, and the system puts something else there", n.Path)
	}
	return nil
}

// finish gives each part its entries.
func (t *tree) finish() []layers.Part {
	all := make([]*node, 0, len(t.nodes))
	for _, n := range t.nodes {
		all = append(all, n)
	}
	slices.SortFunc(all, func(a, b *node) int { return cmp.Compare(a.Path, b.Path) })
	for _, n := range all {
		if len(n.parts) > 1 {
			for _, i := range n.parts {
				t.parts[i].Parents = append(t.parts[i].Parents, n.Entry)
			}
			continue
		}
		p := &t.parts[n.parts[0]]
		p.Entries = append(p.Entries, n.Entry)
		p.Size += n.Size
	}
	return slices.DeleteFunc(t.parts, func(p layers.Part) bool { return len(p.Entries) == 0 && len(p.Parents) == 0 })
}
