// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"errors"
	"fmt"
	"path"

	"golang.org/x/sys/unix"
)

// Remove deletes a file, a link, or an empty folder. That nothing is there is
// no error; something mounted is left alone and is one.
func (r *Root) Remove(name string) error {
	return removed(name, r.at(name, unlink))
}

// Remove is as [Root.Remove].
func (d *Dir) Remove(base string) error {
	return removed(d.Path(base), unlink(d.fd, base))
}

func unlink(dirfd int, base string) error {
	err := unix.Unlinkat(dirfd, base, 0)
	if errors.Is(err, unix.EISDIR) || errors.Is(err, unix.EPERM) {
		if dirErr := unix.Unlinkat(dirfd, base, unix.AT_REMOVEDIR); !errors.Is(dirErr, unix.ENOTDIR) {
			err = dirErr
		}
	}
	return err
}

func removed(name string, err error) error {
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("cannot remove %s: %w", name, err)
	}
	return nil
}

// Empty deletes all that is in the folder name. It follows no symbolic link
// and leaves alone whatever is mounted below, together with the folders that
// lead there. It goes on after a failure and returns all of them.
func (r *Root) Empty(name string) []error {
	var problems []error
	fd := -1
	err := r.at(name, func(dirfd int, base string) (err error) {
		fd, err = unix.Openat(dirfd, base, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		return err
	})
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return []error{fmt.Errorf("cannot empty %s: %w", name, err)}
	}
	empty(fd, path.Clean(name), func(err error) { problems = append(problems, err) })
	return problems
}

// empty deletes the content of the folder dirfd, which it closes, and says
// whether nothing is left.
func empty(dirfd int, name string, problem func(error)) bool {
	// The list comes from a second descriptor, for reading it moves its
	// position and closes it.
	list, err := unix.Openat(dirfd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		unix.Close(dirfd)
		problem(fmt.Errorf("cannot list %s: %w", name, err))
		return false
	}
	defer unix.Close(dirfd)
	names, err := readNames(list, name)
	if err != nil {
		problem(fmt.Errorf("cannot list %s: %w", name, err))
	}
	clean := err == nil
	for _, base := range names {
		if !remove(dirfd, base, path.Join(name, base), problem) {
			clean = false
		}
	}
	return clean
}

func remove(dirfd int, base, name string, problem func(error)) bool {
	if mountedAt(dirfd, base) {
		return false
	}
	var st unix.Stat_t
	err := unix.Fstatat(dirfd, base, &st, unix.AT_SYMLINK_NOFOLLOW)
	switch {
	case errors.Is(err, unix.ENOENT):
		return true
	case err != nil:
		problem(fmt.Errorf("cannot remove %s: %w", name, err))
		return false
	case st.Mode&unix.S_IFMT != unix.S_IFDIR:
		err = unix.Unlinkat(dirfd, base, 0)
	default:
		fd, openErr := unix.Openat(dirfd, base, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if openErr != nil {
			problem(fmt.Errorf("cannot remove %s: %w", name, openErr))
			return false
		}
		if !empty(fd, name, problem) {
			return false
		}
		err = unix.Unlinkat(dirfd, base, unix.AT_REMOVEDIR)
	}
	if err != nil && !errors.Is(err, unix.ENOENT) {
		if !errors.Is(err, unix.EBUSY) { // EBUSY: mounted since we looked
			problem(fmt.Errorf("cannot remove %s: %w", name, err))
		}
		return false
	}
	return true
}

// RemoveAll deletes name and, for a folder, all below, as Empty does.
func (r *Root) RemoveAll(name string) []error {
	if r.Kind(name) == unix.S_IFDIR {
		if problems := r.Empty(name); problems != nil {
			return problems
		}
	}
	if err := r.Remove(name); err != nil {
		return []error{err}
	}
	return nil
}
