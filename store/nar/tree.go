// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package nar

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Node is one entry of a [Tree].
type Node struct {
	Header
	// Depth is the number of folders above the node inside the tree.
	Depth int
	// Stat is what lstat said when the tree was listed.
	Stat unix.Stat_t
}

// Base is the last element of the node's path.
func (n *Node) Base() string { return n.Path[strings.LastIndexByte(n.Path, '/')+1:] }

// Tree lists a file tree in the order of the archive: a folder, then its
// entries sorted by name, each followed by its own.
type Tree struct {
	Root  string
	Nodes []Node
}

// SpecialFileError is the error of an entry that no archive can hold.
type SpecialFileError struct{ Path, Kind string }

func (e *SpecialFileError) Error() string {
	return fmt.Sprintf("cannot archive %s: it is a %s, and only files, folders and links can be kept (leave it out, or remove it)", e.Path, e.Kind)
}

// List reads the tree at root, which is not followed if it is a link. It
// reads names, stats and link targets, not contents.
func List(ctx context.Context, root string, f Filter) (*Tree, error) {
	l := lister{tree: &Tree{Root: root}, filter: f}
	return l.tree, l.add(ctx, unix.AT_FDCWD, root, "", 0)
}

// lister reads each entry relative to its folder, which is open, so that the
// kernel does not resolve a long path for each.
type lister struct {
	tree   *Tree
	filter Filter
	buf    []byte // for names and targets, made when needed
}

// listBuffer holds a target, and the names of a folder of some 200 entries.
const listBuffer = 8 << 10

func (l *lister) buffer() []byte {
	if l.buf == nil {
		l.buf = make([]byte, listBuffer)
	}
	return l.buf
}

// add adds the entry name of the open folder dir, and what is below it.
func (l *lister) add(ctx context.Context, dir int, name, rel string, depth int) error {
	var n Node
	n.Path, n.Depth = rel, depth
	if err := retry(func() error { return unix.Fstatat(dir, name, &n.Stat, unix.AT_SYMLINK_NOFOLLOW) }); err != nil {
		return l.error("lstat", rel, err)
	}
	switch n.Stat.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		n.Type, n.Size, n.Executable = Regular, n.Stat.Size, n.Stat.Mode&0o100 != 0
	case unix.S_IFDIR:
		n.Type = Directory
	case unix.S_IFLNK:
		n.Type = Symlink
		target, err := l.readlink(dir, name)
		if err != nil {
			return fmt.Errorf("cannot archive: %w", l.error("readlink", rel, err))
		}
		n.Target = target
	default:
		// A filter may leave out special files.
		if rel != "" && l.filter != nil && !l.filter(rel, "special") {
			return nil
		}
		return &SpecialFileError{Path: l.tree.physical(rel), Kind: kind(n.Stat.Mode)}
	}
	if rel != "" && l.filter != nil && !l.filter(rel, string(n.Type)) {
		return nil
	}
	if depth >= MaxDepth {
		return fmt.Errorf("cannot archive %s: it is nested %d folders deep, and the format ends there", l.tree.physical(rel), depth)
	}
	l.tree.Nodes = append(l.tree.Nodes, n)
	if n.Type != Directory {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return l.folder(ctx, dir, name, rel, depth)
}

// folder adds the content of a folder.
func (l *lister) folder(ctx context.Context, dir int, name, rel string, depth int) error {
	fd, err := openat(dir, name, unix.O_DIRECTORY)
	if err != nil {
		return fmt.Errorf("cannot archive: %w", l.error("open", rel, err))
	}
	defer unix.Close(fd) // only read
	prefix := rel
	if rel != "" {
		prefix += "/"
	}
	children, err := l.children(fd, prefix)
	if err != nil {
		return fmt.Errorf("cannot archive: %w", l.error("readdir", rel, err))
	}
	if nodes := l.tree.Nodes; cap(nodes)-len(nodes) < len(children) {
		// More than append does, whose many copies are soon much memory.
		l.tree.Nodes = slices.Grow(nodes, len(nodes)+len(children))
	}
	for _, child := range children {
		if err := l.add(ctx, fd, child[len(prefix):], child, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// children returns the paths of the entries of an open folder, sorted by
// name, bytewise: the prefix is the same for all.
func (l *lister) children(fd int, prefix string) (paths []string, err error) {
	buf := l.buffer()
	for {
		var n int
		err := retry(func() (err error) {
			n, err = unix.ReadDirent(fd, buf)
			return err
		})
		if err != nil {
			return nil, err
		}
		if n == 0 {
			break
		}
		for b := buf[:n]; len(b) > 0; {
			// A struct linux_dirent64, see getdents(2): the length of the record
			// stands at 16, the name, which ends with NUL bytes, at 19.
			record := b[:binary.NativeEndian.Uint16(b[16:])]
			b = b[len(record):]
			name, _, _ := bytes.Cut(record[19:], []byte{0})
			if string(name) != "." && string(name) != ".." {
				paths = append(paths, prefix+string(name))
			}
		}
	}
	slices.Sort(paths)
	return paths, nil
}

func (l *lister) error(op, rel string, err error) error {
	return &os.PathError{Op: op, Path: l.tree.physical(rel), Err: err}
}

func (l *lister) readlink(dir int, name string) (string, error) {
	buf := l.buffer()[:MaxTarget+1]
	var n int
	err := retry(func() (err error) {
		n, err = unix.Readlinkat(dir, name, buf)
		return err
	})
	if err != nil {
		return "", err
	}
	return string(buf[:n]), nil
}

// retry repeats a call that a signal interrupted.
func retry(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

func kind(mode uint32) string {
	switch mode & unix.S_IFMT {
	case unix.S_IFIFO:
		return "named pipe"
	case unix.S_IFSOCK:
		return "socket"
	case unix.S_IFCHR, unix.S_IFBLK:
		return "device"
	}
	return "special file"
}

// Physical returns where the node lies.
func (t *Tree) Physical(n *Node) string { return t.physical(n.Path) }

func (t *Tree) physical(rel string) string {
	if rel == "" {
		return t.Root
	}
	return t.Root + "/" + rel
}

// Contents gives the content of the file n to e, between OpenFile and
// CloseFile. size is what was announced.
type Contents func(e *Encoder, n *Node) error

// Encode writes the archive of the tree to e, and flushes it. The contents
// come from the function, which calls OpenFile, Write and CloseFile. visit,
// if not nil, is called before each node with the archive's offset there.
func (t *Tree) Encode(ctx context.Context, e *Encoder, contents Contents, visit func(n *Node) error) error {
	depth := 0
	for i := range t.Nodes {
		n := &t.Nodes[i]
		for ; depth > n.Depth; depth-- {
			e.CloseDir()
			e.CloseEntry()
		}
		if n.Path != "" {
			e.OpenEntry(n.Base())
		}
		if visit != nil {
			if err := visit(n); err != nil {
				return err
			}
		}
		switch n.Type {
		case Directory:
			e.OpenDir()
			depth = n.Depth + 1
			continue
		case Symlink:
			e.Symlink(n.Target)
		case Regular:
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := contents(e, n); err != nil {
				return err
			}
		}
		if n.Path != "" {
			e.CloseEntry()
		}
	}
	for ; depth > 0; depth-- {
		e.CloseDir()
		if depth > 1 {
			e.CloseEntry()
		}
	}
	return e.Flush()
}

// readBuffer is the size of one read of a file.
const readBuffer = 256 << 10

// FileContents returns the usual Contents: the bytes of the file on disk. It
// stops within a file, too, when ctx ends.
func (t *Tree) FileContents(ctx context.Context) Contents {
	var largest int64
	for i := range t.Nodes {
		largest = max(largest, t.Nodes[i].Size)
	}
	// One byte more shows that a file has grown.
	buf := make([]byte, min(readBuffer, largest+1))
	return func(e *Encoder, n *Node) error {
		e.OpenFile(n.Size, n.Executable)
		err := ReadContent(t.Physical(n), n.Size, buf, func(p []byte) ([]byte, error) {
			if err := ctx.Err(); err != nil {
				return buf, err
			}
			_, err := e.Write(p)
			return buf, err
		})
		if err != nil {
			return err
		}
		e.CloseFile(n.Size)
		return nil
	}
}

// ReadContent reads a file of exactly size bytes piece by piece into buf.
// What emit returns is the buffer for the next piece. A file that has
// another size than announced is an error.
func ReadContent(path string, size int64, buf []byte, emit func(p []byte) ([]byte, error)) error {
	fd, err := openat(unix.AT_FDCWD, path, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	for left := size; ; {
		n, err := unix.Read(fd, buf)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return &os.PathError{Op: "read", Path: path, Err: err}
		case int64(n) > left || n == 0 && left > 0:
			return fmt.Errorf("cannot archive %s: it changed while it was read (try again when nothing writes there)", path)
		case n == 0:
			return nil
		}
		left -= int64(n)
		if buf, err = emit(buf[:n]); err != nil {
			return err
		}
		if left == 0 && n < len(buf) {
			// A short read at the expected end: no need to ask again.
			return nil
		}
	}
}

// openat does not wait for a writer either, where a named pipe has taken the
// place of a file: see fifo(7).
func openat(dir int, name string, flags int) (fd int, err error) {
	err = retry(func() (err error) {
		fd, err = unix.Openat(dir, name, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW|unix.O_NONBLOCK|flags, 0)
		return err
	})
	return fd, err
}

// Write writes the archive of the tree at path to w.
func Write(ctx context.Context, w io.Writer, path string, f Filter) (int64, error) {
	t, err := List(ctx, path, f)
	if err != nil {
		return 0, err
	}
	e := newEncoder(w, t.room())
	err = t.Encode(ctx, e, t.FileContents(ctx), nil)
	return e.Offset(), err
}

// room is how large a buffer for the archive need be: most trees are small.
func (t *Tree) room() int {
	const framing = 256 // of a node, roughly, without its name and target
	size := int64(0)
	for i := range t.Nodes {
		n := &t.Nodes[i]
		size += framing + int64(len(n.Path)+len(n.Target)) + n.Size
		if size >= encoderBuffer {
			return encoderBuffer
		}
	}
	return int(size)
}

// Hash returns the SHA-256 and the size of the archive of the tree at path.
func Hash(ctx context.Context, path string, f Filter) ([sha256.Size]byte, int64, error) {
	h := sha256.New()
	n, err := Write(ctx, h, path, f)
	return [sha256.Size]byte(h.Sum(nil)), n, err
}
