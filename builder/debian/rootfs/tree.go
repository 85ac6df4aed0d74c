// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"osbuild/runner/spec"
)

// Kind is what a node of the tree is.
type Kind int

// What there is in a tree.
const (
	Folder Kind = iota
	File
	Link
)

// Node is a file, folder or link of the root that the packages make together.
// It holds no bytes that lie in an item: those are read when they are wanted.
type Node struct {
	Kind Kind
	// From is the package that brought it, nil for what was made here.
	From *Package
	// Disk is where its bytes lie, "" for what was made here.
	Disk string
	// Text are the bytes of a file, or the target of a link, that has no disk.
	Text string
	Exec bool
	// Given says that the container has it before any package: it is there
	// to be seen, and is no part of what packages make.
	Given bool
	// alias says that a link stands where packages may have a folder, whose
	// content then goes to where it leads.
	alias bool
	// kept says that the bytes lie in a lower of /usr or /opt as they are.
	kept bool
	// Owner is what was changed; nil leaves what the package says.
	Owner *spec.Owner
	Kids  map[string]*Node
}

// NewFolder is an empty folder.
func NewFolder() *Node { return &Node{Kind: Folder, Kids: map[string]*Node{}} }

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

// Names are the names of a folder's content, sorted.
func (n *Node) Names() []string {
	list := make([]string, 0, len(n.Kids))
	for name := range n.Kids {
		list = append(list, name)
	}
	slices.Sort(list)
	return list
}

// Target is where a link leads.
func (n *Node) Target() (string, error) {
	if n.Disk == "" {
		return n.Text, nil
	}
	return os.Readlink(n.Disk)
}

// Bytes are the content of a file.
func (n *Node) Bytes() (string, error) {
	if n.Disk == "" {
		return n.Text, nil
	}
	info, err := os.Lstat(n.Disk)
	if err != nil {
		return "", err
	}
	if info.Size() > maxFile {
		return "", errors.New("it is too large to be looked into")
	}
	data, err := os.ReadFile(n.Disk)
	return string(data), err
}

// maxFile bounds the files that scripts may read; those that they copy from
// one place to another are at most configuration.
const maxFile = 16 << 20

// Executable says whether a file may be executed.
func (n *Node) Executable() bool {
	if n.Owner != nil {
		return n.Owner.Mode&0o111 != 0
	}
	if n.Disk == "" {
		return n.Exec
	}
	info, err := os.Lstat(n.Disk)
	return err == nil && info.Mode()&0o111 != 0
}

// Find follows a path from the top; follow says whether a link at its end is
// followed too. It gives the node and its path without links, or the path at
// which it should be made when only the last name is missing.
func (r *Root) Find(p string, follow bool) (*Node, string, error) {
	n, real, err := r.walk(p, follow)
	if err != nil {
		return nil, real, &fs.PathError{Op: "find", Path: p, Err: err}
	}
	return n, real, nil
}

func (r *Root) walk(p string, follow bool) (*Node, string, error) {
	if len(p) > maxPath {
		return nil, "", errPath
	}
	rest := split(p)
	at, names := []*Node{r.Top}, []string{}
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
		if here.Kind != Folder {
			return nil, "", fs.ErrNotExist
		}
		next, real := here.Kids[name], "/"+strings.Join(append(slices.Clip(names), name), "/")
		if next == nil {
			if len(rest) > 0 {
				real = ""
			}
			return nil, real, fs.ErrNotExist
		}
		if next.Kind == Link && (follow || len(rest) > 0) {
			if links++; links > maxLinks {
				return nil, "", errDepth
			}
			target, err := next.Target()
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

// TooDeep says whether a node would lie deeper at a path than an item can be.
func (n *Node) TooDeep(p string) bool { return len(split(p))+n.height() > maxFolder }

// height is how deep what lies in a node is.
func (n *Node) height() int {
	most := 0
	for _, k := range n.Kids {
		most = max(most, 1+k.height())
	}
	return most
}

// Each visits a node and all below it, parents first, names in order.
func (n *Node) Each(p string, visit func(p string, n *Node) error) error {
	if err := visit(p, n); err != nil {
		return err
	}
	for _, name := range n.Names() {
		if err := n.Kids[name].Each(path.Join(p, name), visit); err != nil {
			return err
		}
	}
	return nil
}
