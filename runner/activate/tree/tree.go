// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

// Package tree changes a file tree that is named by the paths its inhabitants
// see: "/etc/passwd" is that file below the root folder, and an absolute
// symbolic link met on the way leads from the root folder again.
//
// It owns how files come into being during activation: whole or not at all,
// never through a symbolic link in the last place, never onto a mount. It
// never decides what to write. Start with [Open].
package tree

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"

	"golang.org/x/sys/unix"
)

// ErrOwner says that a file could not be given to its owner, for lack of
// privilege or because the id does not exist in this user namespace.
var ErrOwner = errors.New("the owner cannot be set here")

// Chown gives the open file, whose path is for messages and records only, to
// an owner.
type Chown func(fd int, path string, uid, gid int) error

// Root is a root folder.
type Root struct {
	dir   string
	fd    int
	chown Chown
}

// Open opens the root folder dir. chown nil means to really change owners;
// tests record them instead.
func Open(dir string, chown Chown) (*Root, error) {
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot open the root folder %s: %w", dir, err)
	}
	if chown == nil {
		chown = func(fd int, _ string, uid, gid int) error { return unix.Fchown(fd, uid, gid) }
	}
	return &Root{dir: path.Clean(dir), fd: fd, chown: chown}, nil
}

// Close closes the root folder.
func (r *Root) Close() error { return unix.Close(r.fd) }

// Dir is the root folder as it was given to Open.
func (r *Root) Dir() string { return r.dir }

// open opens name relative to the root folder, following links inside it.
func (r *Root) open(name string, flags int) (int, error) {
	name = path.Clean("/" + name)
	for {
		var fd int
		var err error
		if r.dir == "/" {
			// The kernel's own resolution; openat2 is missing or forbidden
			// under some engines.
			fd, err = unix.Open(name, flags|unix.O_CLOEXEC, 0)
		} else {
			fd, err = unix.Openat2(r.fd, "."+name, &unix.OpenHow{
				Flags:   uint64(flags | unix.O_CLOEXEC),
				Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
			})
		}
		if errors.Is(err, unix.EINTR) || errors.Is(err, unix.EAGAIN) {
			continue
		}
		return fd, err
	}
}

// at calls f with the folder of name, opened, and the last part of name.
func (r *Root) at(name string, f func(dirfd int, base string) error) error {
	name = path.Clean("/" + name)
	fd, err := r.open(path.Dir(name), unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	base := path.Base(name)
	if base == "/" {
		base = "."
	}
	return f(fd, base)
}

// Lstat returns the mode of name itself. It says fs.ErrNotExist for a file
// that is not there.
func (r *Root) Lstat(name string) (unix.Stat_t, error) {
	var st unix.Stat_t
	err := r.at(name, func(dirfd int, base string) error {
		return unix.Fstatat(dirfd, base, &st, unix.AT_SYMLINK_NOFOLLOW)
	})
	return st, err
}

// Kind returns the file type bits of name itself, 0 when it is not there.
func (r *Root) Kind(name string) uint32 {
	st, err := r.Lstat(name)
	if err != nil {
		return 0
	}
	return st.Mode & unix.S_IFMT
}

// IsDir says whether name is a folder, a link to one included.
func (r *Root) IsDir(name string) bool {
	fd, err := r.open(name, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return false
	}
	unix.Close(fd)
	return true
}

// Mounted says whether something is mounted on name itself.
func (r *Root) Mounted(name string) bool {
	mounted := false
	err := r.at(name, func(dirfd int, base string) error {
		mounted = mountedAt(dirfd, base)
		return nil
	})
	return err == nil && mounted
}

// mountedAt says whether something is mounted on a name in an open folder.
func mountedAt(dirfd int, base string) bool {
	var self, parent unix.Statx_t
	const flags = unix.AT_SYMLINK_NOFOLLOW | unix.AT_NO_AUTOMOUNT
	if unix.Statx(dirfd, base, flags, statMask, &self) != nil ||
		unix.Statx(dirfd, "", flags|unix.AT_EMPTY_PATH, statMask, &parent) != nil {
		return false
	}
	return otherMount(&self, &parent)
}

// otherMount compares the mounts of a file and of its folder; where the kernel
// does not tell them, their file systems.
func otherMount(self, parent *unix.Statx_t) bool {
	if self.Mask&parent.Mask&unix.STATX_MNT_ID != 0 {
		return self.Mnt_id != parent.Mnt_id
	}
	return self.Dev_major != parent.Dev_major || self.Dev_minor != parent.Dev_minor
}

// Readlink returns what the symbolic link name says.
func (r *Root) Readlink(name string) (string, error) {
	buf := make([]byte, unix.PathMax)
	n := 0
	err := r.at(name, func(dirfd int, base string) (err error) {
		n, err = unix.Readlinkat(dirfd, base, buf)
		return err
	})
	return string(buf[:max(n, 0)]), err
}

// OpenFile opens name for reading, following links.
func (r *Root) OpenFile(name string) (*os.File, error) {
	fd, err := r.open(name, unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

// ReadFile returns the content of a regular file, following links.
func (r *Root) ReadFile(name string) ([]byte, error) {
	f, err := r.OpenFile(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil {
		return nil, err
	} else if !st.Mode().IsRegular() {
		return nil, fmt.Errorf("cannot read %s: it is not a regular file", name)
	}
	return io.ReadAll(f)
}

// ReadDir lists the names in a folder, sorted.
func (r *Root) ReadDir(name string) ([]string, error) {
	fd, err := r.open(name, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return readNames(fd, name)
}

// readNames lists the folder fd, sorted, and closes it.
func readNames(fd int, name string) ([]string, error) {
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	names, err := f.Readdirnames(-1)
	slices.Sort(names)
	return names, err
}
