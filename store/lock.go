// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// randomName is a name that nobody else makes: 20 base 32 characters.
func randomName() string {
	var b [13]byte
	_, _ = rand.Read(b[:]) // never fails
	return encodeBase32(b[:])
}

// flock locks an open file, or returns unix.EWOULDBLOCK.
func flock(f *os.File, how int) error {
	for {
		err := unix.Flock(int(f.Fd()), how)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil && !errors.Is(err, unix.EWOULDBLOCK) {
			return &fs.PathError{Op: "flock", Path: f.Name(), Err: err}
		}
		return err
	}
}

// Waiting for a lock polls: a blocking flock cannot be cancelled.
const (
	firstWait   = time.Millisecond
	longestWait = 20 * time.Millisecond
)

// flockContext waits for a lock until ctx ends.
func flockContext(ctx context.Context, f *os.File, how int) (waited bool, err error) {
	for wait := firstWait; ; wait = min(wait*2, longestWait) {
		err := flock(f, how|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return waited, err
		}
		waited = true
		select {
		case <-ctx.Done():
			return waited, ctx.Err()
		case <-time.After(wait):
		}
	}
}

// lockFile is a lock that one process takes and gives back many times.
type lockFile struct {
	path string
	mu   sync.Mutex
	file *os.File
}

// with runs do while the lock is held in the given way.
func (l *lockFile) with(s *Store, how int, do func() error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		f, err := s.fs.OpenLock(l.path)
		if err != nil {
			return err
		}
		l.file = f
	}
	if err := flock(l.file, how); err != nil {
		return err
	}
	err := do()
	return errors.Join(err, flock(l.file, unix.LOCK_UN))
}

// Lock is a lock between processes, and between goroutines.
type Lock struct{ file *os.File }

// lockPath returns the file of a named lock.
func (s *Store) lockPath(name string) (string, error) {
	if name == "" || strings.ContainsAny(name, "/\x00") || strings.HasPrefix(name, ".") {
		return "", fmt.Errorf("cannot lock %q: a lock's name has no slash and no leading dot", name)
	}
	return s.at(locksFolder, name), nil
}

// Lock takes the lock with this name and waits for it until ctx ends. waited
// says that somebody else held it. The name is a file name.
func (s *Store) Lock(ctx context.Context, name string) (l *Lock, waited bool, err error) {
	for {
		l, w, err := s.lockOnce(ctx, name, true)
		waited = waited || w
		if l != nil || err != nil {
			return l, waited, err
		}
	}
}

// TryLock takes the lock if it is free; otherwise it returns nil, nil.
func (s *Store) TryLock(name string) (*Lock, error) {
	for {
		l, waited, err := s.lockOnce(context.Background(), name, false)
		if l != nil || err != nil || waited {
			return l, err
		}
	}
}

// lockOnce returns nil, without an error, where the file was removed by a
// collection between opening and locking it, and where the lock is held and
// it shall not wait; then waited is set.
func (s *Store) lockOnce(ctx context.Context, name string, wait bool) (l *Lock, waited bool, err error) {
	path, err := s.lockPath(name)
	if err != nil {
		return nil, false, err
	}
	if err := s.writable(); err != nil {
		return nil, false, err
	}
	f, err := s.fs.OpenLock(path)
	if err != nil {
		return nil, false, fmt.Errorf("cannot lock %q: %w", name, s.explain(err))
	}
	if !wait {
		if err = flock(f, unix.LOCK_EX|unix.LOCK_NB); errors.Is(err, unix.EWOULDBLOCK) {
			return nil, true, f.Close()
		}
	} else {
		waited, err = flockContext(ctx, f, unix.LOCK_EX)
	}
	if err != nil {
		return nil, waited, errors.Join(fmt.Errorf("cannot lock %q: %w", name, err), f.Close())
	}
	if !sameFile(f, path) {
		return nil, false, f.Close()
	}
	return &Lock{file: f}, waited, nil
}

// sameFile says whether path still names the open file.
func sameFile(f *os.File, path string) bool {
	a, err := f.Stat()
	if err != nil {
		return false
	}
	b, err := os.Lstat(path)
	return err == nil && os.SameFile(a, b)
}

// Unlock gives the lock back.
func (l *Lock) Unlock() error {
	if l == nil || l.file == nil {
		return nil
	}
	f := l.file
	l.file = nil
	return f.Close()
}
