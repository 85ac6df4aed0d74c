// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

// Package storetest makes stores for the tests of other packages.
//
// It owns how such a store is opened, and how its folders, which are read-only,
// go again. What is in it is the tests' business. Start with [New].
package storetest

import (
	"os"
	"path/filepath"
	"testing"

	"osbuild/store"
)

// New is an empty store with a lease, both gone at the end of the test.
func New(t testing.TB) (*store.Store, *store.Lease) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "root")
	s, err := store.Open(dir, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	l, err := s.NewLease(t.Name())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		l.Close()
		// An ordinary user can delete nothing from the folders of items.
		_ = filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
			if err == nil && e.IsDir() {
				err = os.Chmod(path, 0o755)
			}
			return err
		})
	})
	return s, l
}
