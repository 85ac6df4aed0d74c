// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package view

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"osbuild/store"
	"osbuild/store/fsys"
)

// Collect removes the views that nobody uses and that were not used for
// o.MinAge, or of which an item is gone. It follows a collection of items with
// the same options, which took those in freed, or with DryRun would take them.
// A collection of named items takes views only along with their items. It
// returns how many views went, or would go.
func Collect(ctx context.Context, s *store.Store, o store.GCOptions, freed []store.Path) (int, error) {
	n, err := collect(ctx, s, o, freed)
	if err != nil {
		return n, fmt.Errorf("cannot remove unused views: %w", err)
	}
	return n, nil
}

func collect(ctx context.Context, s *store.Store, o store.GCOptions, freed []store.Path) (int, error) {
	places, err := os.ReadDir(filepath.Join(s.Root(), folder))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	var trash []string
	n := 0
	for _, e := range places {
		if err := ctx.Err(); err != nil {
			return n, err
		}
		place := filepath.Join(s.Root(), folder, e.Name())
		moved, stale, err := discard(s, place, o, freed)
		if err != nil {
			return n, err
		}
		if stale {
			n++
		}
		if moved != "" {
			trash = append(trash, moved)
		}
	}
	return n, fsys.RemoveTrees(fsys.OS{}, trash)
}

// discard moves a view that may go to the trash, unless it is in use.
func discard(s *store.Store, place string, o store.GCOptions, freed []store.Path) (moved string, stale bool, err error) {
	f, err := os.Open(filepath.Join(place, listName))
	if errors.Is(err, fs.ErrNotExist) {
		return discardDamaged(s, place, o)
	}
	if err != nil {
		return "", false, err
	}
	defer f.Close() // which unlocks
	if err := flock(f, unix.LOCK_EX|unix.LOCK_NB); errors.Is(err, unix.EWOULDBLOCK) {
		return "", false, nil
	} else if err != nil {
		return "", false, err
	}
	if !same(f, f.Name()) {
		return "", false, nil
	}
	st, err := f.Stat()
	if err != nil {
		return "", false, err
	}
	text, err := os.ReadFile(f.Name())
	if err != nil {
		return "", false, err
	}
	unused := o.Delete == nil && time.Since(st.ModTime()) >= o.MinAge
	if !unused && !gone(s, string(text), freed) {
		return "", false, nil
	}
	if o.DryRun {
		return "", true, nil
	}
	// The lock goes along, so that who waits for it sees that its name is gone.
	moved, err = toTrash(s, place)
	return moved, true, err
}

// discardDamaged moves what lies in the place of a view and has no list: another
// collection may be faster, or somebody deleted a part of it.
func discardDamaged(s *store.Store, place string, o store.GCOptions) (moved string, stale bool, err error) {
	lock, err := s.TryLock(lockPrefix + filepath.Base(place))
	if lock == nil || err != nil {
		return "", false, err
	}
	defer func() { _ = lock.Unlock() }()
	for _, name := range []string{place, filepath.Join(place, listName)} {
		if _, err := os.Lstat(name); errors.Is(err, fs.ErrNotExist) == (name == place) {
			return "", false, nil // it is gone, or it was made meanwhile
		}
	}
	if o.DryRun {
		return "", true, nil
	}
	moved, err = toTrash(s, place)
	return moved, true, err
}

func toTrash(s *store.Store, place string) (string, error) {
	to := filepath.Join(s.Root(), "trash", "view-"+rand.Text())
	return to, os.Rename(place, to)
}

// gone says whether an item of the list is not there any more. What is no list
// tells of no item that is there.
func gone(s *store.Store, list string, freed []store.Path) bool {
	for line := range strings.Lines(list) {
		base, _, _ := strings.Cut(line, "/")
		p, err := store.ParsePath(store.Dir + "/" + base)
		if err != nil || slices.Contains(freed, p) || !s.Valid(p) {
			return true
		}
	}
	return false
}
