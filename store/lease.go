// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"osbuild/store/fsys"
)

// Lease keeps items alive for as long as its process lives: a file that is
// locked and that lists them. A path is added first and checked for validity
// after that, so that no collection can come in between. Close ends it; so
// does the process's end.
type Lease struct {
	store *Store
	id    string
	file  *os.File // holds the lock

	mu    sync.Mutex
	out   fsys.File // appends to the same file
	have  map[Path]bool
	temp  bool // TempDir was made
	adds  int
	ended bool
}

// leaseHeader is the first line of a lease's file, for people.
type leaseHeader struct {
	PID     int       `json:"pid"`
	Purpose string    `json:"purpose"`
	Since   time.Time `json:"since"`
}

// ErrLeaseClosed is wrapped by the error of using a lease after its end.
var ErrLeaseClosed = errors.New("the lease is closed")

// NewLease makes a lease. The purpose is shown to people who ask why an item
// is alive.
func (s *Store) NewLease(purpose string) (*Lease, error) {
	l, err := s.newLease(purpose)
	if err != nil {
		return nil, fmt.Errorf("cannot make a lease: %w", s.explain(err))
	}
	s.sweepDead()
	return l, nil
}

func (s *Store) newLease(purpose string) (*Lease, error) {
	if err := s.writable(); err != nil {
		return nil, err
	}
	header, err := json.Marshal(leaseHeader{PID: os.Getpid(), Purpose: purpose, Since: time.Now().UTC().Truncate(time.Second)})
	if err != nil {
		return nil, err
	}
	l := &Lease{store: s, id: randomName(), have: make(map[Path]bool)}
	path := s.at(leasesFolder, l.id)
	// Under the collector's lock, because an unlocked lease is a dead one.
	err = s.collector.with(s, unix.LOCK_SH, func() (err error) {
		if l.file, err = s.fs.OpenLock(path); err != nil {
			return err
		}
		return flock(l.file, unix.LOCK_EX)
	})
	if err == nil {
		if l.out, err = s.fs.Append(path, 0o644); err == nil {
			_, err = l.out.Write(append(header, '\n'))
		}
	}
	if err != nil {
		return nil, errors.Join(err, l.remove())
	}
	s.leased.Store(true)
	return l, nil
}

// Add protects paths, whether they are valid yet or not. It counts as a use
// of those that are.
func (l *Lease) Add(paths ...Path) error { return l.add(true, paths) }

func (l *Lease) add(use bool, paths []Path) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return fmt.Errorf("cannot protect store items: %w", ErrLeaseClosed)
	}
	// A line starts with a newline too, because the last one may be torn.
	var b strings.Builder
	var added []Path
	for _, p := range paths {
		if !l.have[p] {
			b.WriteString("\n" + p.Base() + "\n")
			added = append(added, p)
		}
	}
	if len(added) == 0 {
		return nil
	}
	err := l.store.collector.with(l.store, unix.LOCK_SH, func() error {
		_, err := l.out.Write([]byte(b.String()))
		return err
	})
	if err != nil {
		return fmt.Errorf("cannot protect store items: %w", l.store.explain(err))
	}
	for _, p := range added {
		l.have[p] = true
		if use {
			l.store.touch(p)
		}
	}
	return nil
}

// useInterval is how exact the time of an item's last use is.
const useInterval = 10 * time.Minute

// touch notes that an item is in use, as the time of its info file. That is
// an aid to the collector's --min-age, so a failure does not matter.
func (s *Store) touch(p Path) {
	info, err := os.Lstat(s.infoPath(p))
	if err != nil || time.Since(info.ModTime()) < useInterval {
		return
	}
	_ = s.fs.SetTime(s.infoPath(p), time.Now())
}

// TempDir returns a folder for the lease's process, which goes with the
// lease. It lies on the disk of the store.
func (l *Lease) TempDir() (string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return "", fmt.Errorf("cannot make a temporary folder: %w", ErrLeaseClosed)
	}
	dir := l.store.at(tempFolder, l.id)
	if !l.temp {
		if err := l.store.fs.Mkdir(dir, 0o700); err != nil {
			return "", fmt.Errorf("cannot make a temporary folder: %w", l.store.explain(err))
		}
		l.temp = true
	}
	return dir, nil
}

// scratch returns a new path below TempDir; nothing exists there.
func (l *Lease) scratch() (string, error) {
	dir, err := l.TempDir()
	if err != nil {
		return "", err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.adds++
	return fmt.Sprintf("%s/add-%d", dir, l.adds), nil
}

// Close ends the lease and removes its temporary folder.
func (l *Lease) Close() error {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return nil
	}
	l.ended = true
	if err := l.remove(); err != nil {
		return fmt.Errorf("cannot end a lease: %w", l.store.explain(err))
	}
	return nil
}

// remove removes all that the lease has on disk. The lock goes last: while
// it is held, nobody else cleans up.
func (l *Lease) remove() error {
	var errs []error
	s := l.store
	if l.temp {
		errs = append(errs, fsys.RemoveTree(s.fs, s.at(tempFolder, l.id)))
	}
	if l.out != nil {
		errs = append(errs, l.out.Close())
	}
	if l.file != nil {
		if err := s.fs.Remove(s.at(leasesFolder, l.id)); !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
		errs = append(errs, l.file.Close())
	}
	return errors.Join(errs...)
}
