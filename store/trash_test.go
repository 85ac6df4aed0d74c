// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"osbuild/store"
	"osbuild/store/fsys"
)

// trashTree adds an item of many files in folders, and a text.
func trashTree(t *testing.T, root string) (files int) {
	t.Helper()
	content := map[string]string{"empty/": "", "link": "-> file0/f"}
	for k := range 40 {
		content[fmt.Sprintf("file%d/f", k)] = "x"
	}
	s := openAt(t, root)
	l := lease(t, s)
	i, err := s.AddTree(context.Background(), l, "tree", writeTree(t, content), nil)
	if err != nil {
		t.Fatal(err)
	}
	text(t, s, l, "text", "refers", i.Path)
	if err := errors.Join(l.Close(), s.Sync()); err != nil {
		t.Fatal(err)
	}
	return 1 + 1 + 1 + 2*40 // top, empty, link
}

// trash lists what is in the trash.
func trash(t *testing.T, root string) []os.DirEntry {
	t.Helper()
	entries, err := os.ReadDir(root + "/trash")
	if err != nil {
		t.Fatal(err)
	}
	return entries
}

// A collection goes on with what a former one left in the trash, whether that
// was killed or interrupted, and at whatever time.
func TestGCResumesTrash(t *testing.T) {
	left := 0
	for last := int64(1); ; last += 7 {
		root := filepath.Join(t.TempDir(), "root")
		trashTree(t, root)
		stopped := false
		f := &fsys.Fault{FS: fsys.OS{}, Before: func(n int64, _, _ string) error {
			if n > last {
				stopped = true
				return fsys.ErrStopped
			}
			return nil
		}}
		s, err := store.Open(root, store.Options{FS: f})
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.GC(context.Background(), store.GCOptions{})
		if stopped != errors.Is(err, fsys.ErrStopped) {
			t.Errorf("ended at %d: %v", last, err)
		}
		if len(trash(t, root)) > 0 {
			left++
		}
		again := openAt(t, root)
		mustVerify(t, again)
		if _, err := again.GC(context.Background(), store.GCOptions{}); err != nil {
			t.Errorf("ended at %d, the next: %v", last, err)
		}
		expectTidy(t, again)
		if all, err := again.All(); err != nil || len(all) > 0 {
			t.Errorf("ended at %d: %q remain, %v", last, all, err)
		}
		if !stopped {
			break
		}
	}
	if left < 5 {
		t.Errorf("only %d collections left something in the trash", left)
	}
}

// Whoever interrupts the deletion hears what is gone, and the rest waits.
func TestGCInterrupted(t *testing.T) {
	root := filepath.Join(t.TempDir(), "root")
	trashTree(t, root)
	ctx, cancel := context.WithCancel(context.Background())
	f := &fsys.Fault{FS: fsys.OS{}, Before: func(_ int64, op, path string) error {
		if op == "remove" && strings.HasPrefix(path, root+"/trash/") && strings.Contains(path, "file2/") {
			cancel()
		}
		return nil
	}}
	s, err := store.Open(root, store.Options{FS: f})
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.GC(ctx, store.GCOptions{})
	if !errors.Is(err, context.Canceled) || len(r.Freed) != 2 || len(trash(t, root)) != 1 {
		t.Errorf("freed %v, left %v, %v", r.Freed, trash(t, root), err)
	}
	// Nothing of it is in the way of the same items.
	trashTree(t, root)
	mustVerify(t, s)
	if r, err := s.GC(context.Background(), store.GCOptions{}); err != nil || len(r.Freed) != 2 || len(trash(t, root)) > 0 {
		t.Errorf("freed %v, left %v, %v", r.Freed, trash(t, root), err)
	}
}

// The progress of a deletion ends with all of it.
func TestGCProgress(t *testing.T) {
	root := filepath.Join(t.TempDir(), "root")
	files := trashTree(t, root)
	if err := os.Mkdir(root+"/trash/left", 0o755); err != nil {
		t.Fatal(err)
	}
	s := openAt(t, root)
	var told []store.GCProgress
	tell := func(p store.GCProgress) { told = append(told, p) }
	if _, err := s.GC(context.Background(), store.GCOptions{Progress: tell}); err != nil {
		t.Fatal(err)
	}
	want := store.GCProgress{Done: 2, All: 2, Files: int64(files) + 1}
	if len(told) == 0 || told[len(told)-1] != want {
		t.Errorf("told %v, want %v at the end", told, want)
	}
	told = nil
	if _, err := s.GC(context.Background(), store.GCOptions{Progress: tell}); err != nil || len(told) > 0 {
		t.Errorf("told %v of an empty trash, %v", told, err)
	}
}

// A deletion that takes long is told while it runs.
func TestGCProgressOfSlowDisk(t *testing.T) {
	root := filepath.Join(t.TempDir(), "root")
	trashTree(t, root)
	// Each deletion waits until something was told after the one before.
	heard := make(chan store.GCProgress)
	first := true
	f := &fsys.Fault{FS: fsys.OS{}, Before: func(_ int64, op, path string) error {
		if op == "remove" && strings.HasSuffix(path, "/file0/f") && first {
			first = false
			for p := range heard {
				if p.Done < p.All {
					return nil
				}
			}
		}
		return nil
	}}
	s, err := store.Open(root, store.Options{FS: f})
	if err != nil {
		t.Fatal(err)
	}
	var ended bool
	_, err = s.GC(context.Background(), store.GCOptions{Progress: func(p store.GCProgress) {
		if ended = p.Done == p.All; !ended {
			select {
			case heard <- p:
			default:
			}
		}
	}})
	if err != nil || first || !ended {
		t.Errorf("slow %t, ended %t, %v", !first, ended, err)
	}
}
