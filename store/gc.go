// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// GCOptions say what a collection may take.
type GCOptions struct {
	// DryRun only tells what would go.
	DryRun bool
	// MinAge spares items that were used more recently than this, and what
	// they need.
	MinAge time.Duration
	// KeepLast spares, of the items to which no other refers, this many that
	// were used last, and what they need.
	KeepLast int
	// MaxFreed ends the collection when items of this many bytes are gone;
	// those go first that were not used for the longest time. 0 is no limit.
	MaxFreed int64
	// Delete, if not nil, names the only items that go. One that is still
	// needed is an error that wraps [ErrAlive].
	Delete []Path
	// ScanProc, if not empty, is where the kernel shows processes (/proc):
	// what they use stays, too, as far as we may look.
	ScanProc string
	// Progress, if not nil, is told now and then how far the deletion is, and
	// once at its end, if there is anything to delete.
	Progress func(GCProgress)
}

// GCResult is what a collection took, or would take.
type GCResult struct {
	Freed []Path // in the order of deletion: referrers first
	Bytes int64  // the archive sizes of Freed
	Kept  int    // valid items that remain
}

// GC deletes the items that neither a root nor a lease needs. What is dead
// is decided, and moved out of the store, under a lock that blocks only the
// growth of leases; the deletion itself holds no lock, and one that was
// interrupted is finished by the next.
func (s *Store) GC(ctx context.Context, o GCOptions) (GCResult, error) {
	r, err := s.collect(ctx, o)
	switch {
	case err != nil && o.Delete != nil:
		return r, fmt.Errorf("cannot delete store items: %w", s.explain(err))
	case err != nil:
		return r, fmt.Errorf("cannot collect garbage: %w", s.explain(err))
	}
	return r, nil
}

func (s *Store) collect(ctx context.Context, o GCOptions) (GCResult, error) {
	if o.DryRun && s.readOnly {
		c, err := s.survey(o, false)
		return c.result(), err
	}
	if err := s.writable(); err != nil {
		return GCResult{}, err
	}
	f, err := s.fs.OpenLock(s.at(collectorLock))
	if err != nil {
		return GCResult{}, err
	}
	defer f.Close() // which unlocks
	if _, err := flockContext(ctx, f, unix.LOCK_EX); err != nil {
		return GCResult{}, err
	}
	c, err := s.survey(o, !o.DryRun)
	if err != nil || o.DryRun {
		return c.result(), err
	}
	err = s.condemn(ctx, c)
	r := c.result()
	if uerr := flock(f, unix.LOCK_UN); err == nil {
		err = uerr
	}
	if err == nil && c.freed > 0 {
		// The log is a cache, so it is nothing that others should wait for.
		for _, p := range c.dead[:c.freed] {
			delete(c.infos, p)
		}
		s.rewriteIndex(c.log, c.infos)
	}
	return r, errors.Join(err, s.emptyTrash(ctx, o.Progress), s.sweepLinks(ctx))
}

// condemn makes the dead invalid and takes them out of the store folder. Every
// state in between is sound: an item goes before what it refers to, and its
// info before its tree.
func (s *Store) condemn(ctx context.Context, c *collection) error {
	for _, link := range c.stale {
		if err := s.fs.Remove(link); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	for _, name := range c.damaged {
		if err := s.fs.Remove(s.at(infoFolder, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := s.invalidate(ctx, c); err != nil {
		return err
	}
	for _, name := range c.stray {
		if err := s.move(s.at(storeFolder, name), s.at(trashFolder, randomName())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return errors.Join(s.sweepLocks(), s.sweepCache())
}

// sweepLocks removes lock files that nobody holds. Whoever opened one before
// notices that it is gone (see lockOnce).
func (s *Store) sweepLocks() error {
	entries, err := os.ReadDir(s.at(locksFolder))
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := s.at(locksFolder, e.Name())
		f, err := os.Open(path)
		if err != nil {
			continue
		}
		if flock(f, unix.LOCK_EX|unix.LOCK_NB) == nil {
			err = s.fs.Remove(path)
		}
		_ = f.Close() // only read
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
