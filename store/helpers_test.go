// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"osbuild/store"
)

// open opens a store in a folder of the test's own.
func open(t *testing.T) *store.Store {
	t.Helper()
	return openAt(t, filepath.Join(t.TempDir(), "root"))
}

func openAt(t *testing.T, root string) *store.Store {
	t.Helper()
	s, err := store.Open(root, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unlock(t, root) })
	return s
}

// unlock makes folders writable, so that the test's folder can be removed.
func unlock(t *testing.T, root string) {
	t.Helper()
	_ = filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			return os.Chmod(path, 0o755)
		}
		return nil
	})
}

func lease(t *testing.T, s *store.Store) *store.Lease {
	t.Helper()
	l, err := s.NewLease(t.Name())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// text adds a text item.
func text(t *testing.T, s *store.Store, l *store.Lease, name, content string, refs ...store.Path) store.Path {
	t.Helper()
	i, err := s.AddText(context.Background(), l, name, []byte(content), refs)
	if err != nil {
		t.Fatal(err)
	}
	return i.Path
}

// writeTree makes files below a new folder: a name that ends in a slash is a
// folder, a content that starts with "-> " a link, with "#!" an executable.
func writeTree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "tree")
	writeTreeAt(t, dir, files)
	return dir
}

func writeTreeAt(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(os.MkdirAll(dir, 0o755))
	for name, content := range files {
		path := filepath.Join(dir, name)
		check(os.MkdirAll(filepath.Dir(path), 0o755))
		switch {
		case name[len(name)-1] == '/':
			check(os.MkdirAll(path, 0o755))
		case len(content) > 3 && content[:3] == "-> ":
			check(os.Symlink(content[3:], path))
		case len(content) > 2 && content[:2] == "#!":
			check(os.WriteFile(path, []byte(content), 0o755))
		default:
			check(os.WriteFile(path, []byte(content), 0o644))
		}
	}
}

// mustVerify checks the whole store with contents.
func mustVerify(t *testing.T, s *store.Store) {
	t.Helper()
	r, err := s.Verify(context.Background(), store.VerifyOptions{Contents: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range r.Problems {
		t.Errorf("verify: %s", p)
	}
}
