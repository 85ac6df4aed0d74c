// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"sync"
)

// earlyFiles is how many small files are written before they are sent to the
// disk: with that, Sync at the command's end has less left to wait for.
const earlyFiles = 4096

// earlySync makes durable in the background what a large copy has written so
// far. Nothing relies on it but Sync, which waits for it and for its error.
type earlySync struct {
	mu    sync.Mutex
	files int           // written since the last one began
	ends  chan struct{} // closed when the running one ends; nil: none runs
	err   error
}

// written notes small files that a copy has written.
func (s *Store) written(files int) {
	if s.lazy {
		return
	}
	e := &s.early
	e.mu.Lock()
	defer e.mu.Unlock()
	e.files += files
	if e.files < earlyFiles || e.ends != nil {
		return
	}
	e.files = 0
	ends := make(chan struct{})
	e.ends = ends
	go func() {
		defer close(ends)
		err := s.fs.Sync(s.root)
		e.mu.Lock()
		defer e.mu.Unlock()
		e.err, e.ends = errors.Join(e.err, err), nil
	}()
}

// wait waits until none runs, and returns what went wrong until that is
// forgotten.
func (e *earlySync) wait() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	for e.ends != nil {
		ends := e.ends
		e.mu.Unlock()
		<-ends
		e.mu.Lock()
	}
	e.files = 0
	return e.err
}

// forget is for who has noted what went wrong.
func (e *earlySync) forget() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.err = nil
}
