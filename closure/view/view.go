// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

// Package view makes one folder of several trees of a store, by hard links:
// what an overlay shows, for kernels and file systems that have none.
//
// It owns the folder views of a store's root: one folder a view, named after
// the list of its trees, made whole or not at all, and locked as long as
// somebody uses it. It never copies a file's content and never changes an item;
// who asks for a view keeps its items alive by a lease, as for any other use.
// Start with [Make]; [Collect] takes away what nobody uses.
package view

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"osbuild/runner/spec"
	"osbuild/store"
	"osbuild/store/fsys"
)

const (
	// folder holds the views of a root.
	folder = "views"
	// treeName is the merged tree in a view's folder, and listName the list of
	// what it was made of. The list's file is also the view's lock: shared by
	// those who use the view, exclusive for its removal.
	treeName = "tree"
	listName = "lowers"
	// lockPrefix and a view's name are the lock for making it.
	lockPrefix = "view-"
)

// View is a view in use.
type View struct {
	// Dir is the merged tree, a physical folder.
	Dir  string
	lock *os.File
}

// Close ends the use.
func (v *View) Close() error {
	if v == nil || v.lock == nil {
		return nil
	}
	f := v.lock
	v.lock = nil
	return f.Close() // which unlocks
}

// Make returns the view of lowers, the topmost first, and makes it where it is
// not there yet. A file of a tree hides those of the same name in trees after
// it, folders become one; a file where another tree has a folder is a
// [CollisionError].
func Make(ctx context.Context, s *store.Store, lowers []spec.Lower) (*View, error) {
	v, err := makeView(ctx, s, lowers)
	if err != nil {
		return nil, fmt.Errorf("cannot make a view of %d trees: %w", len(lowers), err)
	}
	return v, nil
}

// Func is [Make] in the form that the runner takes.
func Func(s *store.Store) func(context.Context, []spec.Lower) (string, func(), error) {
	return func(ctx context.Context, lowers []spec.Lower) (string, func(), error) {
		v, err := Make(ctx, s, lowers)
		if err != nil {
			return "", nil, err
		}
		return v.Dir, func() { _ = v.Close() }, nil
	}
}

func makeView(ctx context.Context, s *store.Store, lowers []spec.Lower) (*View, error) {
	list, err := listOf(lowers)
	if err != nil {
		return nil, err
	}
	key := keyOf(list)
	place := filepath.Join(s.Root(), folder, key)
	if v, err := use(place); v != nil || err != nil {
		return v, err
	}
	// One process makes it, the others wait for that.
	lock, _, err := s.Lock(ctx, lockPrefix+key)
	if err != nil {
		return nil, foreign(s, err)
	}
	defer func() { _ = lock.Unlock() }()
	for {
		v, err := use(place)
		if v != nil || err != nil {
			return v, err
		}
		if err := create(ctx, s, place, list, lowers); err != nil {
			return nil, err
		}
		// A collection that finds it unlocked may be faster.
	}
}

// foreign says what to do about a store that cannot be written to.
func foreign(s *store.Store, err error) error {
	if errors.Is(err, store.ErrReadOnly) || errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w (a view lies in the store, and only the owner of %s can make one there)", err, s.Root())
	}
	return err
}

// listOf is the text of the list.
func listOf(lowers []spec.Lower) (string, error) {
	var b strings.Builder
	for _, lower := range lowers {
		p, err := store.ParsePath(lower.Item)
		if err != nil {
			return "", err
		}
		if lower.Sub != "" && !fs.ValidPath(lower.Sub) || strings.ContainsRune(lower.Sub, '\n') {
			return "", fmt.Errorf("%s/%s leaves the item", lower.Item, lower.Sub)
		}
		b.WriteString(p.Base() + "/" + lower.Sub + "\n")
	}
	return b.String(), nil
}

// treesOf are the physical folders of lowers that [listOf] has checked. No link
// leads out of their items.
func treesOf(s *store.Store, lowers []spec.Lower) ([]tree, error) {
	trees := make([]tree, len(lowers))
	for i, lower := range lowers {
		dir := s.Physical(store.Path(lower.Item))
		for _, name := range strings.Split(lower.Sub, "/") {
			dir = filepath.Join(dir, name)
			if st, err := os.Lstat(dir); err != nil {
				return nil, err
			} else if !st.IsDir() {
				return nil, fmt.Errorf("%s/%s is not a folder", lower.Item, lower.Sub)
			}
		}
		trees[i] = tree{name: strings.TrimSuffix(lower.Item+"/"+lower.Sub, "/"), dir: dir}
	}
	return trees, nil
}

// keyOf names a view. Items are named after their content, so the list says all.
func keyOf(list string) string {
	sum := sha256.Sum256([]byte("osbuild-view-1\n" + list))
	return hex.EncodeToString(sum[:20])
}

// use takes a view that is there; nil, nil means that there is none.
func use(place string) (*View, error) {
	for {
		file := filepath.Join(place, listName)
		f, err := os.Open(file)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		// It is held exclusively for the moment of a removal only.
		if err := flock(f, unix.LOCK_SH); err != nil {
			_ = f.Close() // the first error counts
			return nil, err
		}
		if same(f, file) {
			// For Collect: the time of the last use. Others than the owner
			// cannot set it, and need not.
			now := time.Now()
			_ = os.Chtimes(file, now, now)
			return &View{Dir: filepath.Join(place, treeName), lock: f}, nil
		}
		_ = f.Close() // removed meanwhile
	}
}

func flock(f *os.File, how int) error {
	for {
		if err := unix.Flock(int(f.Fd()), how); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// same says whether path still names the open file.
func same(f *os.File, path string) bool {
	a, err := f.Stat()
	if err != nil {
		return false
	}
	b, err := os.Lstat(path)
	return err == nil && os.SameFile(a, b)
}

// create makes a view in a temporary folder and moves it to its place. A
// process that dies leaves a temporary folder, which goes with its lease.
func create(ctx context.Context, s *store.Store, place, list string, lowers []spec.Lower) error {
	trees, err := treesOf(s, lowers)
	if err != nil {
		return err
	}
	lease, err := s.NewLease("make a view")
	if err != nil {
		return foreign(s, err)
	}
	defer func() { _ = lease.Close() }()
	dir, err := lease.TempDir()
	if err != nil {
		return err
	}
	temp := filepath.Join(dir, "view")
	if err := os.Mkdir(temp, 0o755); err != nil {
		return err
	}
	if err := link(ctx, trees, filepath.Join(temp, treeName)); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(temp, listName), []byte(list), 0o644); err != nil {
		return err
	}
	// The place is what says that the view is whole, also after a crash of the
	// machine.
	if err := (fsys.OS{}).Sync(temp); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(place), 0o755); err != nil {
		return err
	}
	err = os.Rename(temp, place)
	if errors.Is(err, fs.ErrExist) {
		// Somebody deleted a part of it, with the list. Nobody uses that.
		if err = os.Rename(place, filepath.Join(dir, "damaged")); err == nil {
			err = os.Rename(temp, place)
		}
	}
	return err
}
