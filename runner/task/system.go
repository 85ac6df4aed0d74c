// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package task

import (
	"os"

	"golang.org/x/sys/unix"
)

// System is the kernel that this process runs on. Its errors are bare: the
// tasks say what was tried.
type System struct{}

// Share implements [Kernel].
func (System) Share(path string) error {
	return unix.Mount("", path, "", unix.MS_SHARED, "")
}

// ReadFile implements [Kernel].
func (System) ReadFile(name string) ([]byte, error) { return os.ReadFile(name) }

// Write implements [Kernel].
func (System) Write(name, text string) error {
	fd, err := unix.Open(name, unix.O_WRONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_, err = unix.Write(fd, []byte(text))
	return err
}

// Mkdir implements [Kernel].
func (System) Mkdir(name string, mode uint32) error { return unix.Mkdir(name, mode) }

// Chown implements [Kernel].
func (System) Chown(name string, uid, gid int) error { return unix.Lchown(name, uid, gid) }

// Chmod implements [Kernel]. A link in the place of a file is refused, as its
// target would get the mode.
func (System) Chmod(name string, mode uint32) error {
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Fchmod(fd, mode)
}
