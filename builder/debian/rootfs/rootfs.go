// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

// Package rootfs is the model of the tree that the packages of a system make
// together: one root of files, folders and links, most of whose bytes stay in
// the items of the packages.
//
// It owns how packages lie in one tree: the merged /usr, which file stands
// where several have one, diversions, owners, what a container has before any
// package, and how the tree is written as an item. It knows no script and no
// class, and never changes an item. Start with [Open], then tree.go, change.go
// and write.go.
package rootfs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"osbuild/builder/debian/deb"
)

// Root is the tree of a set of packages. Paths that it is given may go through
// links, as in a system.
type Root struct {
	Top  *Node
	pkgs []*Package
	// Diversions maps a path to where another package's file of that path
	// goes, and to the package that says so.
	Diversions map[string]Diversion
	collisions []collision
	// stacked are the packages in the order in which their trees lie on one
	// another, topmost first.
	stacked []*Package
}

// Open reads packages, sorted by name, into one tree, with what a container
// has without any: unread is the text of the files among these that only
// activation makes.
func Open(ctx context.Context, pkgs []*Package, unread string) (*Root, error) {
	r := &Root{pkgs: pkgs, Top: NewFolder(), Diversions: map[string]Diversion{}}
	r.give(unread)
	for _, p := range pkgs {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := p.read(); err != nil {
			return nil, err
		}
		if err := r.merge(p, r.Top, "", ""); err != nil {
			return nil, fmt.Errorf("cannot read package %s: %w", p.Name, err)
		}
		slices.Sort(p.Paths)
	}
	return r, nil
}

// merge adds the folder rel of a package to dir.
func (r *Root) merge(p *Package, dir *Node, rel, disk string) error {
	if disk == "" {
		disk = filepath.Join(p.Dir, deb.RootDir)
	}
	entries, err := os.ReadDir(disk)
	if errors.Is(err, fs.ErrNotExist) && rel == "" {
		return nil
	}
	if err != nil {
		return err
	}
	kept := strings.HasPrefix(rel, "/usr") || strings.HasPrefix(rel, "/opt")
	for _, e := range entries {
		at := rel + "/" + e.Name()
		n := &Node{From: p, Disk: disk + "/" + e.Name(), kept: kept}
		switch {
		case e.IsDir():
			n.Kind, n.Kids, n.kept = Folder, map[string]*Node{}, false
		case e.Type()&fs.ModeSymlink != 0:
			n.Kind = Link
		case e.Type().IsRegular():
			n.Kind = File
		default:
			return fmt.Errorf("%s is no file, folder or link", at)
		}
		p.Paths = append(p.Paths, at)
		have := dir.Kids[e.Name()]
		switch {
		case have == nil:
			dir.Kids[e.Name()] = n
		case have.Given && have.Kind == File:
			continue
		case have.Given && have.Kind == Folder && n.Kind != Folder, have.alias && n.Kind == File:
			return fmt.Errorf("%s is a folder of every system, and this package has something else there", at)
		case have.alias && n.Kind == Link:
			continue
		case have.Given && have.Kind == Link:
			return fmt.Errorf("%s does not lie in /usr", at)
		case have.alias && n.Kind == Folder:
			target, _, err := r.Find(at, true)
			if err != nil {
				return err
			}
			n = target
		case have.Given && have.Kind == Folder && n.Kind == Folder:
			if have.From == nil {
				have.From, have.Disk = p, n.Disk
			}
			n = have
		case have.Kind == Folder && n.Kind == Folder:
			n = have
		default:
			r.collisions = append(r.collisions, collision{path: at, first: have, second: n})
		}
		if n.Kind == Folder && e.IsDir() {
			if err := r.merge(p, n, at, disk+"/"+e.Name()); err != nil {
				return err
			}
		}
	}
	return nil
}
