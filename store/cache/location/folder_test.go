// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package location_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"osbuild/store/cache/location"
	"osbuild/store/fsys"
)

func TestFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "deep/cache")
	f := location.NewFolder(dir, fsys.OS{})
	if _, err := readAll(t, f, "x"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
	if err := f.Sync(); err != nil {
		t.Errorf("of nothing: %v", err)
	}
	for range 2 {
		if err := location.Write(t.Context(), f, "nar/x", content); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := readAll(t, f, "nar/x"); err != nil || !bytes.Equal(got, content) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if st, err := os.Stat(dir + "/nar/x"); err != nil || st.Mode().Perm() != 0o644 {
		t.Errorf("%v %v", st, err)
	}
	for name, want := range map[string]bool{"nar/x": true, "nar/y": false, "nar": true} {
		if has, err := f.Has(t.Context(), name); has != want || err != nil {
			t.Errorf("%s: %v %v", name, has, err)
		}
	}
	for _, name := range []string{"../x", "/x", "a/../../x", ""} {
		if _, err := f.Has(t.Context(), name); err == nil {
			t.Errorf("%q was asked for", name)
		}
		if err := location.Write(t.Context(), f, name, content); err == nil {
			t.Errorf("%q was written", name)
		}
	}
	if _, err := readAll(t, f, "nar"); err == nil {
		t.Error("a folder was read")
	}
	if err := unix.Mkfifo(dir+"/pipe", 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := readAll(t, f, "pipe"); err == nil {
		t.Error("a pipe was read")
	}
	if _, err := location.Read(t.Context(), f, "nar/x", 100); err == nil {
		t.Error("a small file is large")
	}
	// What was not committed goes, at once or when it is old.
	u, err := f.Create(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	old := dir + "/.tmp-old"
	if err := os.WriteFile(old, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(old, time.Time{}, time.Now().Add(-48*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	if left, err := filepath.Glob(dir + "/.tmp-*"); err != nil || len(left) != 1 {
		t.Errorf("%q %v", left, err)
	}
	u.Discard()
	if left, err := filepath.Glob(dir + "/.tmp-*"); err != nil || len(left) != 0 {
		t.Errorf("%q %v", left, err)
	}
}

// TestFolderLock holds that a folder is one's own while it is locked, that who
// waits can give up, and that a lock of another user's will do.
func TestFolderLock(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "deep/cache")
	f, other := location.NewFolder(dir, fsys.OS{}), location.NewFolder(dir, fsys.OS{})
	unlock, err := location.Lock(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range []*location.Folder{f, other} {
		soon, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
		if _, err := location.Lock(soon, l); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("locked twice: %v", err)
		}
		cancel()
	}
	unlock()
	if unlock, err = location.Lock(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	unlock()
	if err := os.Chmod(filepath.Join(dir, ".lock"), 0o444); err != nil {
		t.Fatal(err)
	}
	if unlock, err = location.Lock(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	unlock()
	if err := errors.Join(os.Remove(filepath.Join(dir, ".lock")), os.Symlink("elsewhere", filepath.Join(dir, ".lock"))); err != nil {
		t.Fatal(err)
	}
	if _, err := location.Lock(t.Context(), f); !errors.Is(err, unix.ELOOP) {
		t.Errorf("a link was followed: %v", err)
	}
}
