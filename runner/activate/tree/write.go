// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// serial makes the names of temporary files of one process differ.
var serial atomic.Uint64

// Owner of a file; the zero value is root.
type Owner struct{ UID, GID int }

// give changes owner, then mode: the other way round the kernel would take a
// set-id bit away again. Without its owner a file gets no such bit.
func (r *Root) give(fd int, name string, mode uint32, o Owner) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return fmt.Errorf("cannot look at %s: %w", name, err)
	}
	var chown error
	if int(st.Uid) != o.UID || int(st.Gid) != o.GID {
		if chown = r.chown(fd, name, o.UID, o.GID); chown != nil {
			mode &^= unix.S_ISUID | unix.S_ISGID
		}
	}
	if err := unix.Fchmod(fd, mode); err != nil {
		return fmt.Errorf("cannot set the mode of %s to %04o: %w", name, mode, err)
	}
	if chown != nil {
		return fmt.Errorf("cannot give %s to %d:%d: %w: %w", name, o.UID, o.GID, ErrOwner, chown)
	}
	return nil
}

// temporary calls make with unused names beside base until it succeeds. A name
// that a crashed activation left is taken over.
func temporary(dirfd int, base string, make func(name string) error) (string, error) {
	if len(base) > 200 {
		base = base[:200]
	}
	for {
		name := fmt.Sprintf(".%s.osbuild-%d-%d", base, os.Getpid(), serial.Add(1))
		err := make(name)
		if errors.Is(err, unix.EEXIST) {
			if err := unix.Unlinkat(dirfd, name, 0); err != nil && !errors.Is(err, unix.ENOENT) {
				return "", err
			}
			continue
		}
		return name, err
	}
}

// WriteFile replaces name by a regular file with the given content, mode and
// owner, in one step: readers see the old file or the whole new one. An owner
// that cannot be set is reported (ErrOwner), the file is there all the same.
func (r *Root) WriteFile(name string, content io.Reader, mode uint32, o Owner) error {
	return r.WriteFileFunc(name, content, mode, o, nil)
}

// WriteFileFunc is WriteFile with a last touch: finish gets the descriptor of
// the finished file before it appears.
func (r *Root) WriteFileFunc(name string, content io.Reader, mode uint32, o Owner, finish func(fd int) error) error {
	var ownerErr error
	err := r.at(name, func(dirfd int, base string) error {
		if mountedAt(dirfd, base) {
			return unix.EBUSY
		}
		var fd int
		temp, err := temporary(dirfd, base, func(temp string) (err error) {
			fd, err = unix.Openat(dirfd, temp, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
			return err
		})
		if err != nil {
			return err
		}
		f := os.NewFile(uintptr(fd), name)
		defer f.Close()
		err = func() error {
			if _, err := io.Copy(f, content); err != nil {
				return err
			}
			if err := r.give(int(f.Fd()), name, mode, o); errors.Is(err, ErrOwner) {
				ownerErr = err
			} else if err != nil {
				return err
			}
			if finish != nil {
				if err := finish(int(f.Fd())); err != nil {
					return err
				}
			}
			if err := f.Sync(); err != nil {
				return err
			}
			return unix.Renameat(dirfd, temp, dirfd, base)
		}()
		if err != nil {
			_ = unix.Unlinkat(dirfd, temp, 0)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", name, err)
	}
	return ownerErr
}

// Symlink makes name a symbolic link that says target, in one step. A file or
// another link there is replaced; a folder is not.
func (r *Root) Symlink(name, target string) error {
	if old, err := r.Readlink(name); err == nil && old == target {
		return nil
	}
	err := r.at(name, func(dirfd int, base string) error {
		if mountedAt(dirfd, base) {
			return unix.EBUSY
		}
		temp, err := temporary(dirfd, base, func(temp string) error {
			return unix.Symlinkat(target, dirfd, temp)
		})
		if err != nil {
			return err
		}
		if err := unix.Renameat(dirfd, temp, dirfd, base); err != nil {
			_ = unix.Unlinkat(dirfd, temp, 0)
			return err
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("cannot make the link %s: %w", name, err)
	}
	return nil
}

// MkdirAll makes the folder name and its parents, those that are missing with
// mode 0755 and root as owner. Where the owner cannot be set, they stay with
// whoever made them: that is no error.
func (r *Root) MkdirAll(name string) error {
	name = path.Clean("/" + name)
	if r.IsDir(name) {
		return nil
	}
	if err := r.MkdirAll(path.Dir(name)); err != nil {
		return err
	}
	err := r.Mkdir(name, 0o755, Owner{})
	if errors.Is(err, ErrOwner) || errors.Is(err, unix.EEXIST) && r.IsDir(name) {
		return nil
	}
	return err
}

// Mkdir makes one folder with its mode and owner.
func (r *Root) Mkdir(name string, mode uint32, o Owner) error {
	err := r.at(name, func(dirfd int, base string) error {
		// Nobody else enters before the owner is set.
		return unix.Mkdirat(dirfd, base, 0o700)
	})
	if err != nil {
		return fmt.Errorf("cannot make the folder %s: %w", name, err)
	}
	return r.SetDir(name, mode, o)
}

// SetDir sets mode and owner of the folder name, which is not a link.
func (r *Root) SetDir(name string, mode uint32, o Owner) error {
	err := r.at(name, func(dirfd int, base string) error {
		fd, err := unix.Openat(dirfd, base, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return r.give(fd, name, mode, o)
	})
	if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return fmt.Errorf("cannot make the folder %s: something else stands there: %w", name, err)
	}
	if err != nil && !errors.Is(err, ErrOwner) {
		return fmt.Errorf("cannot set up the folder %s: %w", name, err)
	}
	return err
}

// Rename moves a file or folder inside the tree.
func (r *Root) Rename(from, to string) error {
	err := r.at(from, func(fromfd int, fromBase string) error {
		return r.at(to, func(tofd int, toBase string) error {
			return unix.Renameat2(fromfd, fromBase, tofd, toBase, unix.RENAME_NOREPLACE)
		})
	})
	if err != nil {
		return fmt.Errorf("cannot move %s to %s: %w", from, to, err)
	}
	return nil
}

// OpenWritable opens the regular file name, which is not a link, for reading
// and writing.
func (r *Root) OpenWritable(name string) (*os.File, error) {
	var fd int
	err := r.at(name, func(dirfd int, base string) (err error) {
		fd, err = unix.Openat(dirfd, base, unix.O_RDWR|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("cannot open %s: %w", name, err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// CreateExclusive makes an empty file that must not exist (EEXIST).
func (r *Root) CreateExclusive(name string, mode uint32) error {
	return r.at(name, func(dirfd int, base string) error {
		fd, err := unix.Openat(dirfd, base, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, mode)
		if err == nil {
			err = unix.Close(fd)
		}
		return err
	})
}
