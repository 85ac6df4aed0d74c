// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package origin

import (
	"errors"
	"io/fs"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"osbuild/store"
)

const (
	// keepFor is how long an item is protected after somebody asked for it, at
	// least: who got its narinfo will come for its archive.
	keepFor = 10 * time.Minute
	// tryAgain is how long nothing is protected where that cannot be.
	tryAgain = 30 * time.Second
)

// keeper protects items by leases. A lease only grows, so after a while a new
// one takes its place; it stays for as long again, and until the last who
// uses it is done.
type keeper struct {
	mu            sync.Mutex
	current, last *held
	closed        error
}

type held struct {
	lease   *store.Lease // nil where none can be written
	born    time.Time
	users   int
	retired bool
}

// keep protects items; release ends what is certain of them.
func (k *keeper) keep(s *store.Store, paths ...store.Path) (release func(), err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.current == nil || time.Since(k.current.born) > keepFor {
		l, err := s.NewLease("serving")
		if err != nil && !unprotected(err) {
			return nil, err
		}
		born := time.Now()
		if l == nil {
			born = born.Add(tryAgain - keepFor)
		}
		k.retire(k.last)
		k.last, k.current = k.current, &held{lease: l, born: born}
	}
	h := k.current
	if h.lease != nil {
		if err := h.lease.Add(paths...); err != nil && !unprotected(err) {
			return nil, err
		}
	}
	h.users++
	return func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		h.users--
		k.end(h)
	}, nil
}

// unprotected says whether items are given all the same although no lease
// could be written: what others write, or lies on a full disk, can be read.
func unprotected(err error) bool {
	return slices.ContainsFunc([]error{store.ErrReadOnly, fs.ErrPermission, unix.EROFS, unix.ENOSPC, unix.EDQUOT}, func(e error) bool { return errors.Is(err, e) })
}

// retire ends a lease when nobody uses it any more.
func (k *keeper) retire(h *held) {
	if h != nil {
		h.retired = true
		k.end(h)
	}
}

func (k *keeper) end(h *held) {
	if h.retired && h.users == 0 {
		k.closed = errors.Join(k.closed, h.lease.Close())
	}
}

func (k *keeper) close() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.retire(k.last)
	k.retire(k.current)
	k.last, k.current = nil, nil
	return k.closed
}
