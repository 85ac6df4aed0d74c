// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package location

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"osbuild/store/fsys"
)

// temporary starts the names of files that are being written. Nobody asks
// for such a name, and what a process that died left is removed later.
const (
	temporary     = ".tmp-"
	temporaryLife = 24 * time.Hour
)

// Folder is a folder of this machine.
type Folder struct {
	dir string
	fs  fsys.FS
	// turn holds a token while this process has the lock, or waits for it.
	turn chan struct{}
}

// NewFolder gives the location of a folder, which is made when something is
// put there.
func NewFolder(dir string, f fsys.FS) *Folder {
	return &Folder{dir: filepath.Clean(dir), fs: f, turn: make(chan struct{}, 1)}
}

// String implements Location.
func (f *Folder) String() string { return "file://" + f.dir }

func (f *Folder) place(name string) (string, error) {
	if !filepath.IsLocal(name) {
		return "", fmt.Errorf("cannot use %q as the name of a file in %s", name, f)
	}
	return filepath.Join(f.dir, name), nil
}

// Open implements Location.
func (f *Folder) Open(_ context.Context, name string) (io.ReadCloser, int64, error) {
	place, err := f.place(name)
	if err != nil {
		return nil, 0, err
	}
	// Not blocking: a pipe in its place would wait for a writer.
	file, err := os.OpenFile(place, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, 0, err
	}
	st, err := file.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = fmt.Errorf("cannot read %s: it is no file", place)
	}
	if err != nil {
		return nil, 0, errors.Join(err, file.Close())
	}
	return file, st.Size(), nil
}

// Has implements Location.
func (f *Folder) Has(_ context.Context, name string) (bool, error) {
	place, err := f.place(name)
	if err != nil {
		return false, err
	}
	_, err = os.Lstat(place)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Create implements Location.
func (f *Folder) Create(context.Context) (Upload, error) {
	place := filepath.Join(f.dir, temporary+rand.Text())
	file, err := f.fs.Create(place, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		if err = fsys.MkdirAll(f.fs, f.dir, 0o755); err == nil {
			file, err = f.fs.Create(place, 0o600)
		}
	}
	if err != nil {
		return nil, err
	}
	return &folderUpload{f, file, place}, nil
}

// Sync implements Location. It also removes what was left half written.
func (f *Folder) Sync() error {
	entries, err := os.ReadDir(f.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if len(e.Name()) <= len(temporary) || e.Name()[:len(temporary)] != temporary {
			continue
		}
		if st, err := e.Info(); err == nil && time.Since(st.ModTime()) > temporaryLife {
			_ = f.fs.Remove(filepath.Join(f.dir, e.Name())) // the next one tries again
		}
	}
	return f.fs.Sync(f.dir)
}

// lockName is the file in the folder that is locked.
const lockName = ".lock"

// Lock implements Locker, by flock(2) on a file that stays.
func (f *Folder) Lock(ctx context.Context) (unlock func(), err error) {
	select {
	case f.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	file, err := f.openLock()
	if err == nil {
		if err = waitForLock(ctx, file); err != nil {
			err = errors.Join(err, file.Close())
		}
	}
	if err != nil {
		<-f.turn
		return nil, err
	}
	return func() {
		_ = file.Close() // which unlocks it
		<-f.turn
	}, nil
}

// openLock opens the file to lock, and makes it where there is none. Where it
// is another user's, it may be readable only, which suffices but on NFS: there
// flock(2) is an exclusive lock of fcntl(2), which wants one that can be written.
func (f *Folder) openLock() (*os.File, error) {
	place := filepath.Join(f.dir, lockName)
	for {
		file, err := os.OpenFile(place, os.O_RDWR|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
		if errors.Is(err, fs.ErrPermission) || errors.Is(err, unix.EROFS) {
			file, err = os.OpenFile(place, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return file, err
		}
		if err := fsys.MkdirAll(f.fs, f.dir, 0o755); err != nil {
			return nil, err
		}
		made, err := f.fs.Create(place, 0o666)
		if err == nil {
			err = made.Close()
		}
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
	}
}

// waitForLock polls, because a flock that waits cannot be broken off.
func waitForLock(ctx context.Context, file *os.File) error {
	for {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case !errors.Is(err, unix.EWOULDBLOCK):
			if err != nil {
				err = &fs.PathError{Op: "flock", Path: file.Name(), Err: err}
			}
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(lockPoll):
		}
	}
}

// lockPoll is how often it is tried to get the lock of a folder.
const lockPoll = 10 * time.Millisecond

type folderUpload struct {
	folder *Folder
	file   fsys.File
	temp   string // "" once it is over
}

func (u *folderUpload) Write(p []byte) (int, error) { return u.file.Write(p) }

func (u *folderUpload) Commit(_ context.Context, name string) error {
	place, err := u.folder.place(name)
	if err != nil {
		return err
	}
	if err := u.file.Finish(0o644, time.Now()); err != nil {
		return err
	}
	disk := u.folder.fs
	err = disk.Rename(u.temp, place)
	if errors.Is(err, fs.ErrNotExist) {
		if err = fsys.MkdirAll(disk, filepath.Dir(place), 0o755); err == nil {
			err = disk.Rename(u.temp, place)
		}
	}
	if err == nil {
		u.temp = ""
	}
	return err
}

func (u *folderUpload) Discard() {
	if u.temp != "" {
		_ = u.file.Close() // what it holds goes
		_ = u.folder.fs.Remove(u.temp)
		u.temp = ""
	}
}
