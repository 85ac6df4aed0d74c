// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"osbuild/store"
	"osbuild/store/fsys"
)

// meanwhile does something once, before the first removal of an info file.
type meanwhile struct {
	fsys.OS
	do func()
}

func (m *meanwhile) Remove(path string) error {
	if m.do != nil && strings.HasSuffix(path, ".narinfo") {
		do := m.do
		m.do = nil
		do()
	}
	return m.OS.Remove(path)
}

// A collection writes the index anew from what it has read. An item that is
// signed meanwhile, by who has registered before, keeps its signature.
func TestIndexNeverGoesBack(t *testing.T) {
	root := filepath.Join(t.TempDir(), "root")
	s := openAt(t, root)
	other := openAt(t, root)
	l := lease(t, other)
	text(t, other, l, "dead", "1")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := other.Sync(); err != nil {
		t.Fatal(err)
	}
	kept := text(t, s, lease(t, s), "kept", "2")
	disk := &meanwhile{do: func() {
		if err := s.AddSignatures(t.Context(), kept, "k-1:abc"); err != nil {
			t.Error(err)
		}
	}}
	collector, err := store.Open(root, store.Options{FS: disk})
	if err != nil {
		t.Fatal(err)
	}
	r, err := collector.GC(context.Background(), store.GCOptions{})
	if err != nil || len(r.Freed) != 1 || disk.do != nil {
		t.Fatalf("freed %q, %v", r.Freed, err)
	}
	infos, err := openAt(t, root).Infos()
	if err != nil || len(infos) != 1 || !slices.Equal(infos[0].Sigs, []string{"k-1:abc"}) {
		t.Errorf("%+v, %v", infos, err)
	}
}
