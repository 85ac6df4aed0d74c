// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"osbuild/store/fsys"
	"osbuild/store/nar"
)

// Canonicalise gives the tree at path the modes 0444 and 0555 and the time 1,
// makes the caller its owner, and removes set-id bits and extended
// attributes. Devices, pipes, sockets and hard links to files outside the
// tree are errors.
func Canonicalise(path string) error {
	f := fsys.OS{}
	if err := soften(f, path); err != nil {
		return fmt.Errorf("cannot make %s canonical: %w", path, err)
	}
	t, err := nar.List(context.Background(), path, nil)
	if err == nil {
		err = seal(f, t, path, true)
	}
	if err != nil {
		return fmt.Errorf("cannot make %s canonical: %w", path, err)
	}
	return nil
}

// soften makes a tree canonical but for its folders, which get the mode 0755
// so that the tree can still be changed; seal does the rest.
func soften(f fsys.FS, path string) error {
	c := softener{fs: f, links: make(map[[2]uint64]linkCount)}
	if err := c.node(path); err != nil {
		return err
	}
	for _, l := range c.links {
		if l.seen != l.want {
			return fmt.Errorf("%s is a hard link to a file outside of the tree (copy it instead)", l.path)
		}
	}
	return nil
}

type softener struct {
	fs    fsys.FS
	links map[[2]uint64]linkCount // by device and inode
}

type linkCount struct {
	path       string
	seen, want uint64
}

func (c *softener) node(path string) error {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return &os.PathError{Op: "lstat", Path: path, Err: err}
	}
	if err := c.own(path, &st); err != nil {
		return err
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFLNK:
		return c.fs.SetTime(path, epoch)
	case unix.S_IFREG:
		if st.Nlink > 1 {
			key := [2]uint64{st.Dev, st.Ino}
			l := c.links[key]
			c.links[key] = linkCount{path: path, seen: l.seen + 1, want: uint64(st.Nlink)}
		}
		if err := c.strip(path); err != nil {
			return err
		}
		if want := fileMode(st.Mode&0o100 != 0); st.Mode&0o7777 != uint32(want) {
			if err := c.fs.Chmod(path, want); err != nil {
				return err
			}
		}
		return c.fs.SetTime(path, epoch)
	case unix.S_IFDIR:
		return c.folder(path, &st)
	}
	return &nar.SpecialFileError{Path: path, Kind: "device, named pipe or socket"}
}

func (c *softener) folder(path string, st *unix.Stat_t) error {
	if st.Mode&0o7777 != 0o755 {
		if err := c.fs.Chmod(path, 0o755); err != nil {
			return err
		}
	}
	if err := c.strip(path); err != nil {
		return err
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := c.node(path + "/" + e.Name()); err != nil {
			return err
		}
	}
	return nil
}

// own makes the caller the owner, which only root needs and may.
func (c *softener) own(path string, st *unix.Stat_t) error {
	uid, gid := os.Geteuid(), os.Getegid()
	if int(st.Uid) == uid && (uid != 0 || int(st.Gid) == gid) {
		return nil
	}
	if err := c.fs.Chown(path, uid, gid); err != nil {
		// Not wrapped: the store's own permissions are not the cause.
		return fmt.Errorf("%s belongs to the user %d, from whom only root may take it: %v", path, st.Uid, err)
	}
	return nil
}

// strip removes extended attributes. A security label stays: it belongs to
// the file system, and cannot be removed.
func (c *softener) strip(path string) error {
	buf := make([]byte, 1024)
	n, err := unix.Llistxattr(path, buf)
	if errors.Is(err, unix.ERANGE) {
		buf = make([]byte, 64<<10) // the kernel's limit
		n, err = unix.Llistxattr(path, buf)
	}
	if errors.Is(err, unix.ENOTSUP) || err == nil && n == 0 {
		return nil
	}
	if err != nil {
		return &os.PathError{Op: "llistxattr", Path: path, Err: err}
	}
	for _, attr := range strings.Split(strings.TrimSuffix(string(buf[:n]), "\x00"), "\x00") {
		if attr == "security.selinux" {
			continue
		}
		if err := c.fs.RemoveXattr(path, attr); err != nil && !errors.Is(err, unix.ENODATA) {
			return err
		}
	}
	return nil
}
