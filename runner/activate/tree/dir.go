// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Dir is an open folder, for a pass over many files: what is done in it takes
// no walk from the root folder, and no link that somebody puts on the way to
// it leads elsewhere.
type Dir struct {
	root *Root
	f    *os.File
	fd   int
	name string
	self unix.Statx_t
	// memory says that the file system goes with the container, so that a
	// crash leaves no half of a file in it.
	memory bool
}

// Info is what is known of a file in a Dir.
type Info struct {
	// Mode holds the type and the permission bits as in inode(7).
	Mode     uint32
	UID, GID int
	// Mounted says that something is mounted there.
	Mounted bool
}

// Kind is the file type bits.
func (i Info) Kind() uint32 { return i.Mode & unix.S_IFMT }

const statMask = unix.STATX_BASIC_STATS | unix.STATX_MNT_ID

// OpenDir opens the folder name, to which a link may lead.
func (r *Root) OpenDir(name string) (*Dir, error) {
	name = path.Clean("/" + name)
	fd, err := r.open(name, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return r.newDir(fd, name), nil
}

// Sub opens a folder in d. It is no link.
func (d *Dir) Sub(base string) (*Dir, error) {
	fd, err := unix.Openat(d.fd, base, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: d.Path(base), Err: err}
	}
	return d.root.newDir(fd, d.Path(base)), nil
}

func (r *Root) newDir(fd int, name string) *Dir {
	d := &Dir{root: r, f: os.NewFile(uintptr(fd), name), fd: fd, name: name}
	// Without it no mount is known to be one, as in Mounted.
	_ = unix.Statx(fd, "", unix.AT_EMPTY_PATH, statMask, &d.self)
	var st unix.Statfs_t
	d.memory = unix.Fstatfs(fd, &st) == nil && st.Type == unix.TMPFS_MAGIC
	return d
}

// Close closes the folder.
func (d *Dir) Close() error { return d.f.Close() }

// Path is the path of a name in the folder.
func (d *Dir) Path(base string) string { return path.Join(d.name, base) }

// Entries lists the folder, sorted by name.
func (d *Dir) Entries() ([]fs.DirEntry, error) {
	entries, err := d.f.ReadDir(-1)
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, err
}

// Lstat looks at a name itself. It says fs.ErrNotExist for one that is not
// there.
func (d *Dir) Lstat(base string) (Info, error) {
	var st unix.Statx_t
	if err := unix.Statx(d.fd, base, unix.AT_SYMLINK_NOFOLLOW|unix.AT_NO_AUTOMOUNT, statMask, &st); err != nil {
		return Info{}, &fs.PathError{Op: "look at", Path: d.Path(base), Err: err}
	}
	return Info{Mode: uint32(st.Mode), UID: int(st.Uid), GID: int(st.Gid), Mounted: otherMount(&st, &d.self)}, nil
}

// Readlink returns what a symbolic link says.
func (d *Dir) Readlink(base string) (string, error) {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(d.fd, base, buf)
	if err != nil {
		return "", &fs.PathError{Op: "read the link", Path: d.Path(base), Err: err}
	}
	return string(buf[:n]), nil
}

// Mkdir makes a folder with its mode and owner.
func (d *Dir) Mkdir(base string, mode uint32, o Owner) error {
	// Nobody else enters before the owner is set.
	if err := unix.Mkdirat(d.fd, base, 0o700); err != nil {
		return fmt.Errorf("cannot make the folder %s: %w", d.Path(base), err)
	}
	return d.SetDir(base, mode, o)
}

// SetDir sets mode and owner of a folder, which is not a link; "." is d itself.
func (d *Dir) SetDir(base string, mode uint32, o Owner) error {
	fd, err := unix.Openat(d.fd, base, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("cannot set up the folder %s: %w", d.Path(base), err)
	}
	defer unix.Close(fd)
	return d.root.give(fd, d.Path(base), mode, o)
}

// Symlink makes a symbolic link. What stands there is replaced where replace
// says so, and EEXIST otherwise.
func (d *Dir) Symlink(base, target string, replace bool) error {
	return d.appear(base, replace, func(temp string) error {
		return unix.Symlinkat(target, d.fd, temp)
	})
}

// Source is a regular file that is open to be copied.
type Source struct {
	fd   int
	name string
	// Executable says that somebody may execute it.
	Executable bool
}

// Source opens a regular file.
func (d *Dir) Source(base string) (Source, error) {
	fd, err := unix.Openat(d.fd, base, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	s := Source{fd: fd, name: d.Path(base)}
	if err != nil {
		return s, fmt.Errorf("cannot read %s: %w", s.name, err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		unix.Close(fd)
		return s, fmt.Errorf("cannot read %s: it is not a regular file", s.name)
	}
	s.Executable = st.Mode&0o111 != 0
	return s, nil
}

// Close closes the file.
func (s Source) Close() { unix.Close(s.fd) }

// Copy makes base a copy of a file, whole or not at all, and returns the
// SHA-256 of the content. An owner that cannot be set is ErrOwner, the file is
// there all the same. It does not wait for the disk. buf is for its use.
func (d *Dir) Copy(base string, from Source, mode uint32, o Owner, replace bool, buf []byte) (digest string, err error) {
	var ownerErr error
	err = d.appear(base, replace, func(temp string) error {
		dst, err := unix.Openat(d.fd, temp, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
		if err != nil {
			return err
		}
		defer unix.Close(dst)
		if digest, err = transfer(from.fd, dst, buf); err == nil {
			err = d.root.give(dst, d.Path(base), mode, o)
		}
		if errors.Is(err, ErrOwner) {
			ownerErr, err = err, nil
		}
		return err
	})
	if err != nil {
		return "", err
	}
	return digest, ownerErr
}

// Digest is the SHA-256 of a regular file's content.
func (d *Dir) Digest(base string, buf []byte) (string, error) {
	f, err := d.Source(base)
	if err != nil {
		return "", err
	}
	defer f.Close()
	digest, err := transfer(f.fd, -1, buf)
	if err != nil {
		return "", fmt.Errorf("cannot read %s: %w", f.name, err)
	}
	return digest, nil
}

// appear makes something, under another name first where it could be seen half
// done after a crash.
func (d *Dir) appear(base string, replace bool, make func(name string) error) error {
	var err error
	name := base
	if d.memory && !replace {
		err = make(name)
		if errors.Is(err, unix.EEXIST) {
			name = "" // somebody's
		}
	} else if name, err = temporary(d.fd, base, make); err == nil {
		flags := uint(unix.RENAME_NOREPLACE)
		if replace {
			flags = 0
		}
		err = unix.Renameat2(d.fd, name, d.fd, base, flags)
	}
	if err == nil {
		return nil
	}
	if name != "" {
		_ = unix.Unlinkat(d.fd, name, 0)
	}
	return fmt.Errorf("cannot make %s: %w", d.Path(base), err)
}

// transfer copies all that is in one file to another, -1 for nowhere.
func transfer(from, to int, buf []byte) (string, error) {
	hash := sha256.New()
	for {
		n, err := unix.Read(from, buf)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return "", err
		}
		hash.Write(buf[:n])
		for rest := buf[:n]; to >= 0 && len(rest) > 0; {
			m, err := unix.Write(to, rest)
			if err != nil && !errors.Is(err, unix.EINTR) {
				return "", err
			}
			rest = rest[max(m, 0):]
		}
		// A regular file gives less than was asked for at its end only.
		if n < len(buf) {
			return hex.EncodeToString(hash.Sum(nil)), nil
		}
	}
}

// Flush waits until what was written to the folder's file system is on disk;
// a file system in memory has none.
func (d *Dir) Flush() error {
	if d.memory {
		return nil
	}
	if err := unix.Syncfs(d.fd); err != nil {
		return fmt.Errorf("cannot write %s to the disk: %w", d.name, err)
	}
	return nil
}
