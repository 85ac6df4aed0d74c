// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package handlers

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"osbuild/runner/spec"
)

// kind is what a node of the tree is.
type kind int

const (
	folder kind = iota
	file
	link
)

// node is a file, folder or link of the root that the packages make together.
// It holds no bytes that lie in an item: those are read when they are wanted.
type node struct {
	kind kind
	// from is the package that brought it, nil for what a script made.
	from *pkg
	// disk is where its bytes lie, "" for what a script made.
	disk string
	// text are the bytes of a file, or the target of a link, that has no disk.
	text string
	exec bool
	// given says that the container has it before any package: it is there
	// for scripts to see, and is no part of what they make.
	given bool
	// kept says that the bytes lie in a lower of /usr or /opt as they are.
	kept bool
	// owner is what a script changed; nil leaves what the package says.
	owner *spec.Owner
	kids  map[string]*node
}

func newFolder() *node { return &node{kind: folder, kids: map[string]*node{}} }

// errDepth is for links that lead in a circle, and for trees of a depth that
// no package has.
var errDepth = errors.New("too many levels of symbolic links")

const maxLinks = 40

// names are the names of a folder's content, sorted.
func (n *node) names() []string {
	list := make([]string, 0, len(n.kids))
	for name := range n.kids {
		list = append(list, name)
	}
	slices.Sort(list)
	return list
}

// target is where a link leads.
func (n *node) target() (string, error) {
	if n.disk == "" {
		return n.text, nil
	}
	return os.Readlink(n.disk)
}

// bytes are the content of a file.
func (n *node) bytes() (string, error) {
	if n.disk == "" {
		return n.text, nil
	}
	info, err := os.Lstat(n.disk)
	if err != nil {
		return "", err
	}
	if info.Size() > maxFile {
		return "", errors.New("it is too large to be looked into")
	}
	data, err := os.ReadFile(n.disk)
	return string(data), err
}

// maxFile bounds the files that scripts may read; those that they copy from
// one place to another are at most configuration.
const maxFile = 16 << 20

// executable says whether a file may be executed.
func (n *node) executable() bool {
	if n.owner != nil {
		return n.owner.Mode&0o111 != 0
	}
	if n.disk == "" {
		return n.exec
	}
	info, err := os.Lstat(n.disk)
	return err == nil && info.Mode()&0o111 != 0
}

// find follows a path from the top; follow says whether a link at its end is
// followed too. It gives the node and its path without links, or the path at
// which it should be made when only the last name is missing.
func (r *root) find(p string, follow bool) (*node, string, error) {
	n, real, err := r.walk(p, follow)
	if err != nil {
		return nil, real, &fs.PathError{Op: "find", Path: p, Err: err}
	}
	return n, real, nil
}

func (r *root) walk(p string, follow bool) (*node, string, error) {
	rest := split(p)
	at, names := []*node{r.top}, []string{}
	for links := 0; len(rest) > 0; {
		name := rest[0]
		rest = rest[1:]
		if name == ".." {
			if len(names) > 0 {
				at, names = at[:len(at)-1], names[:len(names)-1]
			}
			continue
		}
		here := at[len(at)-1]
		if here.kind != folder {
			return nil, "", fs.ErrNotExist
		}
		next, real := here.kids[name], "/"+strings.Join(append(slices.Clip(names), name), "/")
		if next == nil {
			if len(rest) > 0 {
				real = ""
			}
			return nil, real, fs.ErrNotExist
		}
		if next.kind == link && (follow || len(rest) > 0) {
			if links++; links > maxLinks {
				return nil, "", errDepth
			}
			target, err := next.target()
			if err != nil {
				return nil, "", err
			}
			if path.IsAbs(target) {
				at, names = at[:1], names[:0]
			}
			rest = append(split(target), rest...)
			continue
		}
		at, names = append(at, next), append(names, name)
	}
	return at[len(at)-1], "/" + strings.Join(names, "/"), nil
}

// split gives the names of a path; "." and empty ones are left out.
func split(p string) []string {
	var out []string
	for name := range strings.SplitSeq(p, "/") {
		if name != "" && name != "." {
			out = append(out, name)
		}
	}
	return out
}

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
	if old := dir.kids[name]; old != nil && old.kind == folder && n.kind != folder {
		return &fs.PathError{Op: "make", Path: p, Err: errors.New("it is a folder")}
	}
	dir.kids[name] = n
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
	case errors.Is(err, errDepth):
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

// each visits a node and all below it, parents first, names in order.
func (n *node) each(p string, visit func(p string, n *node) error) error {
	if err := visit(p, n); err != nil {
		return err
	}
	for _, name := range n.names() {
		if err := n.kids[name].each(path.Join(p, name), visit); err != nil {
			return err
		}
	}
	return nil
}

// diskPath is a path of a package's files on the disk.
func (p *pkg) diskPath(rel string) string { return filepath.Join(p.dir, "root", rel) }
