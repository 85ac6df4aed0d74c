// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"errors"
	"io/fs"
	"path"
	"strings"
)

// Has says whether a path exists, through links.
func (r *Root) Has(p string) bool {
	n, _, err := r.Find(p, true)
	return err == nil && n != nil
}

// Put makes n at a path, through links in its folder but not at its end, and
// makes folders that are missing.
func (r *Root) Put(p string, n *Node) error {
	dir, err := r.MkdirAll(path.Dir(path.Clean("/" + p)))
	if err != nil {
		return err
	}
	name := path.Base(path.Clean("/" + p))
	if err := fit(name, n); err != nil {
		return &fs.PathError{Op: "make", Path: p, Err: err}
	}
	old := dir.Kids[name]
	switch {
	case dir == r.Top && n.Kind != Folder:
		return &fs.PathError{Op: "make", Path: p, Err: errTop}
	case old == nil:
	case old.Kind == Folder && n.Kind != Folder:
		return &fs.PathError{Op: "make", Path: p, Err: errors.New("it is a folder")}
	case old.Given && old.Kind == File:
		return nil // activation makes it
	case old.Given:
		return &fs.PathError{Op: "make", Path: p, Err: errTop}
	}
	dir.Kids[name] = n
	return nil
}

// errTop is for what would change the places that all containers have.
var errTop = errors.New("the folders of the root are not the packages'")

// fit makes sure that an item can hold n by this name.
func fit(name string, n *Node) error {
	if name == "/" || !goodName(name) {
		return errPath
	}
	if n.Kind == Link && n.Disk == "" && (n.Text == "" || len(n.Text) > maxPath || strings.ContainsRune(n.Text, 0)) {
		return errPath
	}
	return nil
}

// MkdirAll makes a folder and those above it.
func (r *Root) MkdirAll(p string) (*Node, error) {
	n, real, err := r.Find(p, true)
	switch {
	case err == nil && n.Kind == Folder:
		return n, nil
	case err == nil:
		return nil, &fs.PathError{Op: "mkdir", Path: p, Err: errors.New("it is no folder")}
	case errors.Is(err, errDepth), errors.Is(err, errPath):
		return nil, err
	case real == "/" || path.Clean(p) == "/":
		return r.Top, nil
	}
	if real == "" {
		if _, err := r.MkdirAll(path.Dir(path.Clean("/" + p))); err != nil {
			return nil, err
		}
		if n, real, err = r.Find(p, true); err == nil {
			return n, nil
		}
		if real == "" {
			return nil, &fs.PathError{Op: "mkdir", Path: p, Err: errDepth}
		}
	}
	// real has no links, and its folder is there.
	dir, _, err := r.Find(path.Dir(real), true)
	if err != nil {
		return nil, err
	}
	made := NewFolder()
	dir.Kids[path.Base(real)] = made
	return made, nil
}

// Write makes a file with this content, or changes that of one that is there.
func (r *Root) Write(p, text string) error {
	n, real, err := r.Find(p, true)
	if err == nil {
		switch {
		case n.Kind != File:
			return &fs.PathError{Op: "write", Path: p, Err: errors.New("it is no file")}
		case n.Given:
			return nil
		}
		// The owner stays: it is that of the package, unless somebody said
		// another.
		owner := r.OwnerOf(real, n)
		n.Exec = n.Executable()
		n.Disk, n.Text, n.kept, n.Owner = "", text, false, &owner
		return nil
	}
	if real == "" {
		// A folder above it is missing too, as where no package brings it.
		if _, err := r.MkdirAll(path.Dir(path.Clean("/" + p))); err != nil {
			return err
		}
		if _, real, _ = r.Find(p, true); real == "" {
			return err
		}
	}
	dir, _, err := r.Find(path.Dir(real), true)
	if err != nil {
		return err
	}
	if dir == r.Top {
		return &fs.PathError{Op: "write", Path: p, Err: errTop}
	}
	dir.Kids[path.Base(real)] = &Node{Kind: File, Text: text}
	return nil
}

// Create is Write that makes folders that are missing.
func (r *Root) Create(p, text string) error {
	if _, err := r.MkdirAll(path.Dir(p)); err != nil {
		return err
	}
	return r.Write(p, text)
}

// Remove takes a path away; a link itself, not what it leads to.
func (r *Root) Remove(p string, all bool) error {
	n, real, err := r.Find(p, false)
	if err != nil {
		return err
	}
	if n.Given || real == "/" {
		return nil
	}
	if n.Kind == Folder && len(n.Kids) > 0 && !all {
		return &fs.PathError{Op: "remove", Path: p, Err: errors.New("it is not empty")}
	}
	if n.HoldsKept() {
		return &fs.PathError{Op: "remove", Path: p, Err: ErrKept}
	}
	dir, _, err := r.Find(path.Dir(real), true)
	if err != nil {
		return err
	}
	delete(dir.Kids, path.Base(real))
	return nil
}

// ErrKept is for taking away what lies in a read-only lower.
var ErrKept = errors.New("it is a file of a package in a read-only tree")

// HoldsKept says whether it is, or has, what lies in a read-only lower.
func (n *Node) HoldsKept() bool {
	if n.kept {
		return true
	}
	for _, k := range n.Kids {
		if k.HoldsKept() {
			return true
		}
	}
	return false
}
