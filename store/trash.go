// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"osbuild/store/fsys"
)

// smallTree is the size up to which an item that is a file is deleted at once:
// that takes no longer than moving it to the trash.
const smallTree = 64 << 10

// invalidateBatch is how many items lose their infos before their trees follow.
const invalidateBatch = 64

// invalidate removes the infos of the dead and takes their trees away. Infos
// go in the order of the list; trees follow as they come, because one without
// an info is garbage. The two lie in different folders, in which the kernel
// works at the same time.
func (s *Store) invalidate(ctx context.Context, c *collection) error {
	var (
		wg     sync.WaitGroup
		behind error
		trees  = make(chan []Path, len(c.dead)/invalidateBatch+1)
		failed atomic.Bool
	)
	wg.Go(func() {
		for batch := range trees {
			for _, p := range batch {
				if err := s.takeAway(p, c.infos[p].NarSize); err != nil {
					behind = errors.Join(behind, err)
					failed.Store(true)
				}
			}
		}
	})
	var err error
	for err == nil && c.freed < len(c.dead) && !failed.Load() {
		batch := c.dead[c.freed:min(c.freed+invalidateBatch, len(c.dead))]
		done := 0
		for _, p := range batch {
			if err = ctx.Err(); err == nil {
				err = s.removeInfo(p)
			}
			if err != nil {
				break
			}
			done++
		}
		c.freed += done
		trees <- batch[:done]
	}
	close(trees)
	wg.Wait()
	return errors.Join(err, behind)
}

// removeInfo makes an item invalid.
func (s *Store) removeInfo(p Path) error {
	if err := s.fs.Remove(s.infoPath(p)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// takeAway removes the tree of an item that is not valid any more from the
// store folder. The collector's lock must be held exclusively.
func (s *Store) takeAway(p Path, size int64) error {
	place := s.Physical(p)
	if size <= smallTree {
		// It is a file or a link most of the time.
		err := s.fs.Remove(place)
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if !errors.Is(err, unix.ENOTEMPTY) {
			return err
		}
	}
	if err := s.move(place, s.at(trashFolder, randomName())); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// GCProgress says how far the deletion of the trash is.
type GCProgress struct {
	Done, All int   // trees
	Files     int64 // what is gone of them: files, links and folders
}

// tellInterval is how often progress is told.
const tellInterval = 100 * time.Millisecond

// removal deletes the trash. It is a file system that counts what goes, and
// goes no further when its context ends.
type removal struct {
	fsys.FS
	ctx   context.Context
	trees atomic.Int64
	files atomic.Int64
}

// Remove implements fsys.FS.
func (r *removal) Remove(path string) error {
	if err := r.ctx.Err(); err != nil {
		return err
	}
	err := r.FS.Remove(path)
	if err == nil {
		r.files.Add(1)
	}
	return err
}

// emptyTrash deletes what this and former collections threw away. Whoever else
// does the same meanwhile is no obstacle.
func (s *Store) emptyTrash(ctx context.Context, tell func(GCProgress)) error {
	entries, err := os.ReadDir(s.at(trashFolder))
	if err != nil || len(entries) == 0 {
		return err
	}
	r := &removal{FS: s.fs, ctx: ctx}
	const workers = 2
	var (
		wg   sync.WaitGroup
		next atomic.Int64
		errs [workers]error
	)
	for w := range workers {
		wg.Go(func() {
			for k := next.Add(1) - 1; k < int64(len(entries)) && ctx.Err() == nil; k = next.Add(1) - 1 {
				err := fsys.RemoveTree(r, s.at(trashFolder, entries[k].Name()))
				// An orphan of a killed build may still write there. It ends
				// soon, and the next collection goes on.
				if err != nil && !errors.Is(err, unix.ENOTEMPTY) {
					errs[w] = errors.Join(errs[w], err)
				}
				r.trees.Add(1)
			}
		})
	}
	done := make(chan struct{})
	go func() {
		wg.Wait()
		close(done)
	}()
	if tell != nil {
		tellUntil(done, func() {
			tell(GCProgress{Done: int(r.trees.Load()), All: len(entries), Files: r.files.Load()})
		})
	}
	<-done
	return errors.Join(append(errs[:], ctx.Err())...)
}

// tellUntil calls tell now and then, and a last time when done is closed.
func tellUntil(done <-chan struct{}, tell func()) {
	tick := time.NewTicker(tellInterval)
	defer tick.Stop()
	for running := true; running; tell() {
		select {
		case <-tick.C:
		case <-done:
			running = false
		}
	}
}
