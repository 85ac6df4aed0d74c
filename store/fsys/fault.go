// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package fsys

import (
	"errors"
	"io/fs"
	"os"
	"sync/atomic"
	"time"
)

// Fault passes everything on to another FS, but asks Before first: it gets
// the running number of the operation (from 1), its name and its path, and
// an error that it returns is the operation's error. It may also end the
// process. A write that fails has written its first half, as on a disk that
// fills up, unless the error is [ErrStopped].
type Fault struct {
	FS     FS
	Before func(n int64, op, path string) error

	n atomic.Int64
}

var _ FS = (*Fault)(nil)

// ErrStopped is for Before to say that the process does no more: what comes
// after the operation at which it was to end.
var ErrStopped = errors.New("the process was to have ended")

// Count is the number of operations so far.
func (f *Fault) Count() int64 { return f.n.Load() }

func (f *Fault) before(op, path string) error {
	if err := f.Before(f.n.Add(1), op, path); err != nil {
		return pathError(op, path, err)
	}
	return nil
}

func (f *Fault) file(op, path string, open func() (File, error)) (File, error) {
	if err := f.before(op, path); err != nil {
		return nil, err
	}
	file, err := open()
	if err != nil {
		return nil, err
	}
	return &faultFile{File: file, fault: f, path: path}, nil
}

func (f *Fault) call(op, path string, do func() error) error {
	if err := f.before(op, path); err != nil {
		return err
	}
	return do()
}

// Create implements FS.
func (f *Fault) Create(path string, perm fs.FileMode) (File, error) {
	return f.file("create", path, func() (File, error) { return f.FS.Create(path, perm) })
}

// Append implements FS.
func (f *Fault) Append(path string, perm fs.FileMode) (File, error) {
	return f.file("append", path, func() (File, error) { return f.FS.Append(path, perm) })
}

// Modify implements FS.
func (f *Fault) Modify(path string) (File, error) {
	return f.file("modify", path, func() (File, error) { return f.FS.Modify(path) })
}

// OpenLock implements FS.
func (f *Fault) OpenLock(path string) (*os.File, error) {
	if err := f.before("openlock", path); err != nil {
		return nil, err
	}
	return f.FS.OpenLock(path)
}

// Mkdir implements FS.
func (f *Fault) Mkdir(path string, perm fs.FileMode) error {
	return f.call("mkdir", path, func() error { return f.FS.Mkdir(path, perm) })
}

// Symlink implements FS.
func (f *Fault) Symlink(target, path string) error {
	return f.call("symlink", path, func() error { return f.FS.Symlink(target, path) })
}

// Rename implements FS.
func (f *Fault) Rename(from, to string) error {
	return f.call("rename", to, func() error { return f.FS.Rename(from, to) })
}

// Exchange implements FS.
func (f *Fault) Exchange(a, b string) error {
	return f.call("exchange", b, func() error { return f.FS.Exchange(a, b) })
}

// Link implements FS.
func (f *Fault) Link(from, to string) error {
	return f.call("link", to, func() error { return f.FS.Link(from, to) })
}

// Clone implements FS.
func (f *Fault) Clone(from, to string, perm fs.FileMode, t time.Time) error {
	return f.call("clone", to, func() error { return f.FS.Clone(from, to, perm, t) })
}

// Remove implements FS.
func (f *Fault) Remove(path string) error {
	return f.call("remove", path, func() error { return f.FS.Remove(path) })
}

// Chmod implements FS.
func (f *Fault) Chmod(path string, perm fs.FileMode) error {
	return f.call("chmod", path, func() error { return f.FS.Chmod(path, perm) })
}

// Chown implements FS.
func (f *Fault) Chown(path string, uid, gid int) error {
	return f.call("chown", path, func() error { return f.FS.Chown(path, uid, gid) })
}

// SetTime implements FS.
func (f *Fault) SetTime(path string, t time.Time) error {
	return f.call("settime", path, func() error { return f.FS.SetTime(path, t) })
}

// RemoveXattr implements FS.
func (f *Fault) RemoveXattr(path, attr string) error {
	return f.call("removexattr", path, func() error { return f.FS.RemoveXattr(path, attr) })
}

// Sync implements FS.
func (f *Fault) Sync(path string) error {
	return f.call("sync", path, func() error { return f.FS.Sync(path) })
}

type faultFile struct {
	File
	fault *Fault
	path  string
}

func (f *faultFile) Write(p []byte) (int, error) {
	if err := f.fault.before("write", f.path); err != nil {
		if errors.Is(err, ErrStopped) {
			return 0, err
		}
		n, _ := f.File.Write(p[:len(p)/2]) // the injected error counts
		return n, err
	}
	return f.File.Write(p)
}

func (f *faultFile) WriteAt(p []byte, off int64) (int, error) {
	if err := f.fault.before("writeat", f.path); err != nil {
		if errors.Is(err, ErrStopped) {
			return 0, err
		}
		n, _ := f.File.WriteAt(p[:len(p)/2], off) // the injected error counts
		return n, err
	}
	return f.File.WriteAt(p, off)
}

func (f *faultFile) Finish(perm fs.FileMode, t time.Time) error {
	if err := f.fault.before("finish", f.path); err != nil {
		_ = f.File.Close() // the injected error counts
		return err
	}
	return f.File.Finish(perm, t)
}
