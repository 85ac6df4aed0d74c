// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"osbuild/runner/spec"
	"osbuild/store"
)

// protect keeps a collection of garbage from deleting the items of a running
// container, where the folder they lie in is that of a store: by a lease, until
// this process ends. A closure may as well have been copied anywhere.
func protect(folder, purpose string, items []spec.Item) (release func(), err error) {
	root, ok := storeRoot(folder)
	if !ok {
		return func() {}, nil
	}
	fail := func(err error) (func(), error) {
		return func() {}, fmt.Errorf("the store is not told of this container, so `osbuild store gc` may delete what it uses: %w", err)
	}
	s, err := store.Open(root, store.Options{})
	if err != nil {
		return fail(err)
	}
	lease, err := s.NewLease(purpose)
	if err != nil {
		return fail(err)
	}
	paths := make([]store.Path, 0, len(items))
	for _, i := range items {
		p, err := store.ParsePath(i.Logical)
		if err != nil {
			return fail(errors.Join(err, lease.Close()))
		}
		paths = append(paths, p)
	}
	if err := lease.Add(paths...); err != nil {
		return fail(errors.Join(err, lease.Close()))
	}
	return func() { _ = lease.Close() }, nil
}

// storeRoot is the root of the store whose items lie in folder, if it is one.
func storeRoot(folder string) (string, bool) {
	root := filepath.Dir(filepath.Clean(folder))
	_, err := os.Stat(filepath.Join(root, "root.json"))
	return root, !errors.Is(err, fs.ErrNotExist) && filepath.Join(root, "store") == filepath.Clean(folder)
}
