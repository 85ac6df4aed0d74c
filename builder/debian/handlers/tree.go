// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package handlers

import (
	"errors"
	"io/fs"
	"os"
	"path"
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
	// alias says that a link stands where packages may have a folder, whose
	// content then goes to where it leads.
	alias bool
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

// errPath is for paths that no item can hold, which scripts and tables of
// packages may name all the same.
var errPath = errors.New("it is no path that an item can hold")

// Limits of paths; names of an item lie at most 64 folders deep.
const (
	maxPath   = 4095
	maxName   = 255
	maxFolder = 60
)

func goodName(name string) bool {
	return len(name) <= maxName && !strings.ContainsRune(name, 0)
}

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
	if len(p) > maxPath {
		return nil, "", errPath
	}
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
		if len(names) > maxFolder || !goodName(name) {
			return nil, "", errPath
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

// base is the last name of a path.
func base(p string) string { return p[strings.LastIndexByte(p, '/')+1:] }

// height is how deep what lies in a node is.
func (n *node) height() int {
	most := 0
	for _, k := range n.kids {
		most = max(most, 1+k.height())
	}
	return most
}

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
