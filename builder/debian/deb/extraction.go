// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package deb

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"osbuild/runner/spec"
)

// Kinds of nodes.
const (
	folder = iota
	file
	link
)

// node is what an extraction made at one path.
type node struct {
	kind int
	// explicit says that the archive names it: a folder may also be made
	// because something lies in it.
	explicit    bool
	mode        uint32
	user, group string // "" is root
	target      string // of a link
	size        int64  // of a file
}

// plain says whether the store's modes say all of n.
func (n *node) plain() bool {
	mode := uint32(0o644)
	if n.kind == folder || n.executable() {
		mode = 0o755
	}
	return n.kind == link || n.user == "" && n.group == "" && n.mode == mode
}

func (n *node) executable() bool { return n.mode&0o111 != 0 }

func (n *node) same(o *node) bool {
	return n.kind == o.kind && n.user == o.user && n.group == o.group && n.mode == o.mode && n.target == o.target && n.size == o.size
}

// extraction writes the files of one package. It alone writes to the folder,
// so nodes tells what stands there.
type extraction struct {
	top   *os.Root
	nodes map[string]*node
	// dir is the folder dirName, opened: most files lie beside the last one.
	dir     *os.Root
	dirName string
	// left of limit is how many bytes may still be written.
	left, limit int64
	buf         []byte
}

func (x *extraction) close() {
	if x.dir != nil {
		_ = x.dir.Close() // nothing is written to it
	}
	_ = x.top.Close()
}

// spend counts n bytes of what is unpacked.
func (x *extraction) spend(n int64) error {
	if x.left -= n; x.left < 0 {
		return fmt.Errorf("%w: it becomes more than %d bytes", ErrUnsafe, x.limit)
	}
	return nil
}

// parent makes sure that the folder of a path is there, and opens it. A link in
// its place is an error: what is unpacked below it would land where it leads.
func (x *extraction) parent(name string) (*os.Root, error) {
	dir := path.Dir(name)
	if dir == x.dirName && x.dir != nil {
		return x.dir, nil
	}
	if err := x.folder(dir, nil); err != nil {
		return nil, err
	}
	opened, err := x.top.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	if x.dir != nil {
		if err := x.dir.Close(); err != nil {
			return nil, errors.Join(err, opened.Close())
		}
	}
	x.dir, x.dirName = opened, dir
	return opened, nil
}

// folder makes a folder and those above it. n is nil for one that the archive
// does not name.
func (x *extraction) folder(name string, n *node) error {
	have := x.nodes[name]
	switch {
	case have == nil:
		if err := x.folder(path.Dir(name), nil); err != nil {
			return err
		}
		if err := x.spend(entrySize); err != nil {
			return err
		}
		if err := x.top.Mkdir(name, 0o755); err != nil {
			return err
		}
		if n == nil {
			n = &node{kind: folder, mode: 0o755}
		}
		x.nodes[name] = n
	case have.kind != folder:
		return fmt.Errorf("%w: %q is both a folder and something else", ErrUnsafe, name)
	case n == nil:
	case have.explicit && !have.same(n):
		return fmt.Errorf("%w: the folder %q is there twice, with other owners or modes", ErrUnsafe, name)
	default:
		x.nodes[name] = n
	}
	return nil
}

// file makes a file. One that is there already must have the same bytes: the
// same path under /lib and /usr/lib is one file.
func (x *extraction) file(name string, n *node, size int64, content io.Reader) error {
	if err := x.spend(size); err != nil {
		return err
	}
	n.size = size
	have := x.nodes[name]
	if have != nil {
		if !have.same(n) {
			return differs(name)
		}
		return x.compare(name, content)
	}
	dir, err := x.parent(name)
	if err != nil {
		return err
	}
	// The mode that the store gives it, so that this need not be done again.
	perm := fs.FileMode(0o444)
	if n.executable() {
		perm = 0o555
	}
	f, err := dir.OpenFile(path.Base(name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return err
	}
	x.nodes[name] = n
	return errors.Join(x.copy(f, content), f.Close())
}

func (x *extraction) copy(f *os.File, content io.Reader) error {
	for {
		n, err := content.Read(x.buf)
		if n > 0 {
			if _, err := f.Write(x.buf[:n]); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return tarError(err)
		}
	}
}

// compare makes sure that a file has this content.
func (x *extraction) compare(name string, content io.Reader) error {
	f, err := x.top.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	first := make([]byte, len(x.buf))
	for {
		n, err := content.Read(x.buf)
		if _, ferr := io.ReadFull(f, first[:n]); ferr != nil {
			return ferr
		}
		if !bytes.Equal(first[:n], x.buf[:n]) {
			return differs(name)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return tarError(err)
		}
	}
}

func differs(name string) error {
	return fmt.Errorf("%w: %q is there twice, and differs", ErrUnsafe, "/"+name)
}

// link makes a symbolic link, wherever it leads: its target is a path in a
// container, and nothing here follows it.
func (x *extraction) link(name string, n *node) error {
	if n.target == "" || len(n.target) > maxTarget || strings.ContainsRune(n.target, 0) {
		return fmt.Errorf("%w: it links to %.100q, which no item can hold", ErrUnsafe, n.target)
	}
	// Links have no modes, and nobody asks for their owner.
	n.mode, n.user, n.group = 0, "", ""
	if have := x.nodes[name]; have != nil {
		if !have.same(n) {
			return differs(name)
		}
		return nil
	}
	dir, err := x.parent(name)
	if err != nil {
		return err
	}
	x.nodes[name] = n
	return dir.Symlink(n.target, path.Base(name))
}

// hardLink makes a copy of an earlier file: items have no hard links.
func (x *extraction) hardLink(name, target string) error {
	clean, err := cleanName(target)
	if err != nil {
		return fmt.Errorf("its hard link to %q: %w", target, err)
	}
	from := merge(clean)
	have := x.nodes[from]
	switch {
	case have == nil:
		return fmt.Errorf("%w: it is a hard link to %q, which does not stand before it", ErrUnsafe, target)
	case have.kind == folder:
		return fmt.Errorf("%w: it is a hard link to the folder %q", ErrUnsafe, target)
	case from == name:
		return nil
	}
	n := *have
	if n.kind == link {
		return x.link(name, &n)
	}
	f, err := x.top.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	return x.file(name, &n, have.size, f)
}

// ownerName prefers the name in the archive to the id, which is one of the
// machine on which it was made. Root is "".
func ownerName(name string, id int) string {
	switch {
	case name == "root", name == "" && id == 0:
		return ""
	case name == "":
		return strconv.Itoa(id)
	}
	return name
}

// owners lists the paths whose owner or mode the store does not keep.
func (x *extraction) owners() ([]spec.Owner, error) {
	var list []spec.Owner
	for name, n := range x.nodes {
		// The top is the container's, not the package's.
		if name == "." || n.plain() {
			continue
		}
		if !utf8.ValidString(name + n.user + n.group) {
			return nil, fmt.Errorf("%q: %w: it has an owner or a mode of its own, and its name is not UTF-8", name, ErrUnsafe)
		}
		list = append(list, spec.Owner{Path: "/" + name, User: n.user, Group: n.group, Mode: n.mode})
	}
	slices.SortFunc(list, func(a, b spec.Owner) int { return strings.Compare(a.Path, b.Path) })
	return list, nil
}
