// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"osbuild/closure/layers"
	"osbuild/closure/segment"
	"osbuild/runner/spec"
	"osbuild/store/nar"
)

// storeDir is the store's place in the image.
var storeDir = strings.TrimPrefix(spec.StoreDir, "/")

// rootName is the name of the part that holds what belongs to no item.
const rootName = "root"

// builder puts the root file system together.
type builder struct {
	*tree
	ids  ids
	warn func(text string)
	// items are the closure by logical path, part the number of each item's
	// part, fhs those that stand in the file system hierarchy alone.
	items map[string]spec.Item
	part  map[string]int
	fhs   map[string]bool
}

// parts computes what stands in the image, divided by items: packages first,
// because they change least, what belongs to no item last.
func parts(ctx context.Context, s System, warn func(string)) ([]layers.Part, error) {
	b := &builder{
		tree: newTree(), ids: ids{s.Users, s.Groups}, warn: warn,
		items: map[string]spec.Item{}, part: map[string]int{}, fhs: map[string]bool{},
	}
	root := s.Container.Root
	for _, l := range slices.Concat(root.Usr, root.Opt) {
		if l.FHS {
			b.fhs[l.Item] = true
		}
	}
	for _, item := range s.Items {
		b.items[item.Logical] = item
	}
	order := b.order()
	for _, item := range order {
		b.part[item] = b.tree.part(itemName(item))
	}
	own := b.tree.part(rootName)
	if err := b.fixed(own, root); err != nil {
		return nil, err
	}
	for _, item := range order {
		if b.fhs[item] {
			continue
		}
		if err := b.native(ctx, item); err != nil {
			return nil, err
		}
	}
	for _, m := range []struct {
		to     string
		lowers []spec.Lower
	}{{"usr", root.Usr}, {"opt", root.Opt}} {
		for _, l := range m.lowers {
			if err := b.lower(ctx, l, m.to); err != nil {
				return nil, err
			}
		}
	}
	if err := b.owners(root.Owners); err != nil {
		return nil, err
	}
	atBoot, err := b.atBoot(ctx, s.Activation)
	if err != nil {
		return nil, err
	}
	for _, t := range root.Trees {
		if err := b.writable(ctx, own, t, atBoot); err != nil {
			return nil, err
		}
	}
	for _, l := range slices.Concat(root.Usr, root.Opt) {
		if err := b.place(l); err != nil {
			return nil, err
		}
	}
	return b.finish(), nil
}

// order are the items, those of packages first, by name.
func (b *builder) order() []string {
	all := slices.SortedFunc(maps.Keys(b.items), func(x, y string) int {
		return cmp.Or(cmp.Compare(itemName(x), itemName(y)), cmp.Compare(x, y))
	})
	var packages, others []string
	for _, item := range all {
		if b.fhs[item] {
			packages = append(packages, item)
		} else {
			others = append(others, item)
		}
	}
	return append(packages, others...)
}

// itemName is what follows the digest of an item.
func itemName(logical string) string {
	_, name, _ := strings.Cut(path.Base(logical), "-")
	return name
}

// native puts an item at its store path, with the modes of the store.
func (b *builder) native(ctx context.Context, item string) error {
	part := b.part[item]
	if err := b.folder(part, storeDir); err != nil {
		return err
	}
	return b.walk(ctx, b.items[item].Physical, path.Join(storeDir, path.Base(item)), func(e segment.Entry) bool {
		e.Mode &^= 0o222 // nobody writes to an item
		_, added := b.add(part, e)
		return added
	})
}

// lower merges a folder of an item at to; what stood there before stays.
func (b *builder) lower(ctx context.Context, l spec.Lower, to string) error {
	phys, err := b.sub(l.Item, l.Sub)
	if err != nil {
		return err
	}
	part := b.part[l.Item]
	return b.walk(ctx, phys, to, func(e segment.Entry) bool {
		n, added := b.add(part, e)
		if added && e.Type != segment.Directory {
			n.fhs = l.FHS
		}
		return added
	})
}

// walk gives each path of the tree at phys, as an entry below to with the
// modes that packages expect, to add. What is below one that add does not take
// is left out.
func (b *builder) walk(ctx context.Context, phys, to string, add func(e segment.Entry) bool) error {
	list, err := nar.List(ctx, phys, nil)
	if err != nil {
		return err
	}
	hidden := -1 // the depth of what was not taken
	for i := range list.Nodes {
		n := &list.Nodes[i]
		if hidden >= 0 && n.Depth > hidden {
			continue
		}
		e := segment.Entry{Path: path.Join(to, n.Path)}
		switch n.Type {
		case nar.Directory:
			e.Type, e.Mode = segment.Directory, folderMode
		case nar.Symlink:
			e.Type, e.Target = segment.Symlink, n.Target
		default:
			e.Type, e.Mode, e.Size, e.Source = segment.Regular, fileMode, n.Size, list.Physical(n)
			if n.Executable {
				e.Mode = programMode
			}
		}
		hidden = -1
		if !add(e) {
			hidden = n.Depth
		}
	}
	return nil
}

// sub is the physical place of a folder in an item. No link may be on the way:
// it would lead out of the item.
func (b *builder) sub(item, sub string) (string, error) {
	i, ok := b.items[item]
	if !ok {
		return "", fmt.Errorf("the system names %s, which is not an item of the closure", item)
	}
	if sub != "" && !fs.ValidPath(sub) {
		return "", fmt.Errorf("the system names %s/%s, which leaves the item", item, sub)
	}
	at := i.Physical
	for _, name := range append([]string{""}, strings.Split(sub, "/")...) {
		at = filepath.Join(at, name)
		st, err := os.Lstat(at)
		if err != nil {
			return "", err
		}
		if !st.IsDir() {
			return "", fmt.Errorf("the system names %s/%s, and %s is not a folder", item, sub, at)
		}
	}
	return at, nil
}

// folderOf is the physical place of a folder that has a logical path.
func (b *builder) folderOf(logical string) (string, error) {
	item, sub, _ := strings.Cut(strings.TrimPrefix(logical, spec.StoreDir+"/"), "/")
	return b.sub(spec.StoreDir+"/"+item, sub)
}

// place makes the store path of an item that stands in the file system
// hierarchy: a folder whose names are links to where they really are. The
// links are relative, so that they hold in an unpacked image, too.
func (b *builder) place(l spec.Lower) error {
	if !l.FHS {
		return nil
	}
	above := path.Dir(l.Sub)
	phys, err := b.sub(l.Item, above)
	if err != nil {
		return err
	}
	names, err := os.ReadDir(phys)
	if err != nil {
		return err
	}
	part, at := b.part[l.Item], path.Join(storeDir, path.Base(l.Item), above)
	if err := b.folder(part, at); err != nil {
		return err
	}
	up := strings.Repeat("../", strings.Count(at, "/")+1)
	for _, n := range names {
		if there := b.nodes[n.Name()]; there != nil && there.Type == segment.Directory {
			b.add(part, segment.Entry{Path: path.Join(at, n.Name()), Type: segment.Symlink, Target: up + n.Name()})
		}
	}
	return nil
}
