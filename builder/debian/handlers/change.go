// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package handlers

import (
	"errors"
	"io/fs"
	"path"
	"strings"
)

// has says whether a path exists, through links.
func (r *root) has(p string) bool {
	n, _, err := r.find(p, true)
	return err == nil && n != nil
}

// put makes n at a path, through links in its folder but not at its end, and
// makes folders that are missing.
func (r *root) put(p string, n *node) error {
	dir, err := r.mkdirAll(path.Dir(path.Clean("/" + p)))
	if err != nil {
		return err
	}
	name := path.Base(path.Clean("/" + p))
	if err := fit(name, n); err != nil {
		return &fs.PathError{Op: "make", Path: p, Err: err}
	}
	old := dir.kids[name]
	switch {
	case dir == r.top && n.kind != folder:
		return &fs.PathError{Op: "make", Path: p, Err: errTop}
	case old == nil:
	case old.kind == folder && n.kind != folder:
		return &fs.PathError{Op: "make", Path: p, Err: errors.New("it is a folder")}
	case old.given && old.kind == file:
		return nil // activation makes it
	case old.given:
		return &fs.PathError{Op: "make", Path: p, Err: errTop}
	}
	dir.kids[name] = n
	return nil
}

// errTop is for what would change the places that all containers have.
var errTop = errors.New("the folders of the root are not the packages'")

// fit makes sure that an item can hold n by this name.
func fit(name string, n *node) error {
	if name == "/" || !goodName(name) {
		return errPath
	}
	if n.kind == link && n.disk == "" && (n.text == "" || len(n.text) > maxPath || strings.ContainsRune(n.text, 0)) {
		return errPath
	}
	return nil
}

// mkdirAll makes a folder and those above it.
func (r *root) mkdirAll(p string) (*node, error) {
	n, real, err := r.find(p, true)
	switch {
	case err == nil && n.kind == folder:
		return n, nil
	case err == nil:
		return nil, &fs.PathError{Op: "mkdir", Path: p, Err: errors.New("it is no folder")}
	case errors.Is(err, errDepth), errors.Is(err, errPath):
		return nil, err
	case real == "/" || path.Clean(p) == "/":
		return r.top, nil
	}
	if real == "" {
		if _, err := r.mkdirAll(path.Dir(path.Clean("/" + p))); err != nil {
			return nil, err
		}
		if n, real, err = r.find(p, true); err == nil {
			return n, nil
		}
		if real == "" {
			return nil, &fs.PathError{Op: "mkdir", Path: p, Err: errDepth}
		}
	}
	// real has no links, and its folder is there.
	dir, _, err := r.find(path.Dir(real), true)
	if err != nil {
		return nil, err
	}
	made := newFolder()
	dir.kids[path.Base(real)] = made
	return made, nil
}

// write makes a file with this content, or changes that of one that is there.
func (r *root) write(p, text string) error {
	n, real, err := r.find(p, true)
	if err == nil {
		switch {
		case n.kind != file:
			return &fs.PathError{Op: "write", Path: p, Err: errors.New("it is no file")}
		case n.given:
			return nil
		}
		// The owner stays: it is that of the package, unless a script said
		// another.
		owner := r.ownerOf(real, n)
		n.exec = n.executable()
		n.disk, n.text, n.kept, n.owner = "", text, false, &owner
		return nil
	}
	if real == "" {
		// A folder above it is missing too, as where no package brings it.
		if _, err := r.mkdirAll(path.Dir(path.Clean("/" + p))); err != nil {
			return err
		}
		if _, real, _ = r.find(p, true); real == "" {
			return err
		}
	}
	dir, _, err := r.find(path.Dir(real), true)
	if err != nil {
		return err
	}
	if dir == r.top {
		return &fs.PathError{Op: "write", Path: p, Err: errTop}
	}
	dir.kids[path.Base(real)] = &node{kind: file, text: text}
	return nil
}

// create is write that makes folders that are missing.
func (r *root) create(p, text string) error {
	if _, err := r.mkdirAll(path.Dir(p)); err != nil {
		return err
	}
	return r.write(p, text)
}

// remove takes a path away; a link itself, not what it leads to.
func (r *root) remove(p string, all bool) error {
	n, real, err := r.find(p, false)
	if err != nil {
		return err
	}
	if n.given || real == "/" {
		return nil
	}
	if n.kind == folder && len(n.kids) > 0 && !all {
		return &fs.PathError{Op: "remove", Path: p, Err: errors.New("it is not empty")}
	}
	if n.holdsKept() {
		return &fs.PathError{Op: "remove", Path: p, Err: errKept}
	}
	dir, _, err := r.find(path.Dir(real), true)
	if err != nil {
		return err
	}
	delete(dir.kids, path.Base(real))
	return nil
}

// errKept is for taking away what lies in a read-only lower.
var errKept = errors.New("it is a file of a package in a read-only tree")

func (n *node) holdsKept() bool {
	if n.kept {
		return true
	}
	for _, k := range n.kids {
		if k.holdsKept() {
			return true
		}
	}
	return false
}
