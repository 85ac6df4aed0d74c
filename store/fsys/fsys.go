// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

// Package fsys is the seam between the store and the disk: every
// modification that the store makes goes through [FS], so that tests can make
// the n-th one fail, or end the process there.
//
// It owns the operations and their error texts (always an *os.PathError or
// *os.LinkError). It never decides anything, and reading is not its business:
// a read cannot leave a half written store behind. Start with [FS].
package fsys

import (
	"io"
	"io/fs"
	"os"
	"time"
)

// FS modifies a file system. Paths are physical and absolute. No operation
// follows a link in the last element of its path, except Append.
type FS interface {
	// Create makes a new file, and fails where anything exists already.
	Create(path string, perm fs.FileMode) (File, error)
	// Append opens a file for appending and makes it where it is missing.
	Append(path string, perm fs.FileMode) (File, error)
	// Modify opens an existing file for WriteAt.
	Modify(path string) (File, error)
	// OpenLock opens a file that exists only to be locked, and makes it where
	// it is missing.
	OpenLock(path string) (*os.File, error)
	Mkdir(path string, perm fs.FileMode) error
	Symlink(target, path string) error
	Rename(from, to string) error
	// Exchange makes each of two paths name what the other did, in one step.
	Exchange(a, b string) error
	// Link makes to another name of the file from.
	Link(from, to string) error
	// Clone makes the new file to with the content of from, which both share on
	// the disk until one is written to. Where the file system cannot do that,
	// there is no file to, and the error is one of the kernel.
	Clone(from, to string, perm fs.FileMode, t time.Time) error
	// Remove removes a file, a link or an empty folder.
	Remove(path string) error
	Chmod(path string, perm fs.FileMode) error
	Chown(path string, uid, gid int) error
	SetTime(path string, t time.Time) error
	RemoveXattr(path, attr string) error
	// Sync makes everything durable that was written to the file system that
	// holds path.
	Sync(path string) error
}

// File is a file open for writing.
type File interface {
	io.Writer
	io.WriterAt
	// Finish sets mode and time of the file that is complete, and closes it.
	Finish(perm fs.FileMode, t time.Time) error
	Close() error
}
