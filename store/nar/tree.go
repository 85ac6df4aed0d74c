// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package nar

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
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
	t := &Tree{Root: root}
	return t, t.add(ctx, root, "", 0, f)
}

func (t *Tree) add(ctx context.Context, phys, rel string, depth int, f Filter) error {
	var n Node
	if err := lstat(phys, &n.Stat); err != nil {
		return err
	}
	n.Path, n.Depth = rel, depth
	switch n.Stat.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		n.Type, n.Size, n.Executable = Regular, n.Stat.Size, n.Stat.Mode&0o100 != 0
	case unix.S_IFDIR:
		n.Type = Directory
	case unix.S_IFLNK:
		n.Type = Symlink
		target, err := os.Readlink(phys)
		if err != nil {
			return fmt.Errorf("cannot archive: %w", err)
		}
		n.Target = target
	default:
		return &SpecialFileError{Path: phys, Kind: kind(n.Stat.Mode)}
	}
	if rel != "" && f != nil && !f(rel, string(n.Type)) {
		return nil
	}
	if depth >= MaxDepth {
		return fmt.Errorf("cannot archive %s: it is nested %d folders deep, and the format ends there", phys, depth)
	}
	t.Nodes = append(t.Nodes, n)
	if n.Type != Directory {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	entries, err := os.ReadDir(phys) // sorted by name, bytewise
	if err != nil {
		return fmt.Errorf("cannot archive: %w", err)
	}
	for _, e := range entries {
		// A filter may leave out special files.
		child := e.Name()
		if rel != "" {
			child = rel + "/" + child
		}
		if f != nil && isSpecial(e) && !f(child, "special") {
			continue
		}
		if err := t.add(ctx, phys+"/"+e.Name(), child, depth+1, f); err != nil {
			return err
		}
	}
	return nil
}

func isSpecial(e os.DirEntry) bool {
	return e.Type()&^os.ModeDir&^os.ModeSymlink&os.ModeType != 0
}

func lstat(path string, st *unix.Stat_t) error {
	for {
		err := unix.Lstat(path, st)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return &os.PathError{Op: "lstat", Path: path, Err: err}
		}
		return nil
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
func (t *Tree) Physical(n *Node) string {
	if n.Path == "" {
		return t.Root
	}
	return filepath.Join(t.Root, n.Path)
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
	buf := make([]byte, readBuffer)
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
	fd, err := openRead(path)
	if err != nil {
		return err
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

func openRead(path string) (int, error) {
	for {
		fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return -1, &os.PathError{Op: "open", Path: path, Err: err}
		}
		return fd, nil
	}
}

// Write writes the archive of the tree at path to w.
func Write(ctx context.Context, w io.Writer, path string, f Filter) (int64, error) {
	t, err := List(ctx, path, f)
	if err != nil {
		return 0, err
	}
	e := NewEncoder(w)
	err = t.Encode(ctx, e, t.FileContents(ctx), nil)
	return e.Offset(), err
}

// Hash returns the SHA-256 and the size of the archive of the tree at path.
func Hash(ctx context.Context, path string, f Filter) ([sha256.Size]byte, int64, error) {
	h := sha256.New()
	n, err := Write(ctx, h, path, f)
	return [sha256.Size]byte(h.Sum(nil)), n, err
}
