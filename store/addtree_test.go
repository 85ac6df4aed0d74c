// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"osbuild/store"
	"osbuild/store/fsys"
)

// An unchanged tree is not read, let alone copied; any change is noticed.
func TestStatCache(t *testing.T) {
	root := filepath.Join(t.TempDir(), "root")
	var creates atomic.Int64
	s, err := store.Open(root, store.Options{FS: &fsys.Fault{FS: fsys.OS{}, Before: func(_ int64, op, path string) error {
		if op == "create" && strings.Contains(path, "/add-") {
			creates.Add(1)
		}
		return nil
	}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unlock(t, root) })
	l := lease(t, s)
	src := writeTree(t, map[string]string{"a": "1", "b/c": "2", "l": "-> a"})
	ctx := context.Background()
	settle := func() { time.Sleep(120 * time.Millisecond) } // until no entry is racy
	add := func(wantCreates int, summary string, f store.Filter) store.Path {
		t.Helper()
		creates.Store(0)
		i, err := s.AddTree(ctx, l, "tree", src, f)
		if err != nil {
			t.Fatal(err)
		}
		if n := int(creates.Load()); n != wantCreates {
			t.Errorf("%s: %d files were copied, want %d", summary, n, wantCreates)
		}
		if h, size, err := s.HashTree(ctx, src, f); err != nil || h != i.NarHash || size != i.NarSize {
			t.Errorf("%s: HashTree gives %s, %d, %v", summary, h, size, err)
		}
		return i.Path
	}
	settle()
	first := add(2, "new", nil)
	add(0, "unchanged", nil)
	if err := os.WriteFile(src+"/a", []byte("3"), 0o644); err != nil {
		t.Fatal(err)
	}
	if second := add(2, "changed content", nil); second == first {
		t.Error("a change was not noticed")
	}
	// The same size and time: only the ctime tells.
	if err := os.WriteFile(src+"/a", []byte("1"), 0o644); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(src+"/a", old, old); err != nil {
		t.Fatal(err)
	}
	settle()
	if third := add(2, "changed back", nil); third != first {
		t.Error("the same content has another path")
	}
	add(0, "unchanged", nil)
	if err := os.Chmod(src+"/a", 0o755); err != nil {
		t.Fatal(err)
	}
	add(2, "changed mode", nil)
	settle()
	some := func(rel, _ string) bool { return rel != "b" }
	filtered := add(1, "filtered", some)
	add(0, "filtered again", some)
	if err := os.WriteFile(src+"/b/d", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	settle()
	if again := add(0, "change of what is left out", some); again != filtered {
		t.Error("what is left out changes the path")
	}
	if err := errors.Join(os.Remove(src+"/l"), os.Symlink("b", src+"/l")); err != nil {
		t.Fatal(err)
	}
	add(1, "changed link", some)
	// A damaged or lost cache costs time only.
	entries, err := os.ReadDir(root + "/db/statcache")
	if err != nil || len(entries) == 0 {
		t.Fatal(entries, err)
	}
	for _, e := range entries {
		if err := os.WriteFile(root+"/db/statcache/"+e.Name(), []byte("junk\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	add(1, "damaged cache", some)
	mustVerify(t, s)
}

func TestAddTreeRefuses(t *testing.T) {
	s := open(t)
	l := lease(t, s)
	ctx := context.Background()
	src := writeTree(t, map[string]string{"a": "1"})
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	for _, test := range []struct {
		summary string
		add     func() error
		want    string
	}{
		{"nothing there", func() error { _, err := s.AddTree(ctx, l, "x", src+"/no", nil); return err }, "no such file"},
		{"a bad name", func() error { _, err := s.AddTree(ctx, l, "x y", src, nil); return err }, "holds ' '"},
		{"cancelled", func() error { _, err := s.AddTree(cancelled, l, "x", src, nil); return err }, "canceled"},
		{"a folder, flat", func() error { _, err := s.AddFlat(ctx, l, "x", "sha256", src); return err }, "only a file"},
		{"an unknown hash", func() error { _, err := s.AddFlat(ctx, l, "x", "crc", src+"/a"); return err }, "choose sha256"},
		{"a hash that is too short", func() error { _, err := s.AddFixed(ctx, l, "x", src+"/a", "sha256", []byte{1}, false); return err }, "has 32 bytes"},
	} {
		if err := test.add(); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", test.summary, err)
		}
	}
	_, err := s.AddFixed(ctx, l, "x", src+"/a", "sha256", make([]byte, 32), false)
	var mismatch *store.HashMismatchError
	if !errors.As(err, &mismatch) || !strings.HasPrefix(mismatch.Got, "sha256:6b86b273") {
		t.Errorf("a wrong hash: %v", err)
	}
	temp, err := l.TempDir()
	if err != nil {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(temp); err != nil || len(entries) > 0 {
		t.Errorf("%v is left, %v", entries, err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.AddTree(ctx, l, "x", src, nil); !errors.Is(err, store.ErrLeaseClosed) {
		t.Errorf("a closed lease: %v", err)
	}
}

func TestFollow(t *testing.T) {
	s := open(t)
	l := lease(t, s)
	dep := writeTree(t, map[string]string{"bin/x": "#!x"})
	d, err := s.AddTree(context.Background(), l, "dep", dep, nil)
	if err != nil {
		t.Fatal(err)
	}
	src := writeTree(t, map[string]string{
		"abs": "-> " + string(d.Path), "up": "-> sub/../abs/bin", "out": "-> /etc", "loop": "-> loop", "sub/f": "f", "above": "-> ../..",
	})
	i, err := s.AddTree(context.Background(), l, "src", src, nil)
	if err != nil {
		t.Fatal(err)
	}
	for rest, want := range map[string]string{
		"": s.Physical(i.Path), "sub/f": s.Physical(i.Path) + "/sub/f", "abs": s.Physical(d.Path),
		"abs/bin/x": s.Physical(d.Path) + "/bin/x", "up/x": s.Physical(d.Path) + "/bin/x", "./sub//f": s.Physical(i.Path) + "/sub/f",
		"out": "!leads out of the store, to /etc", "loop": "!more than 40 links", "above": "!leads out of", "no": "!there is no \"no\"", "sub/f/x": "!not a directory",
	} {
		got, err := s.Follow(i.Path, rest)
		if msg, bad := strings.CutPrefix(want, "!"); bad {
			if err == nil || !strings.Contains(err.Error(), msg) {
				t.Errorf("%q: %q, %v, want %q", rest, got, err, msg)
			}
		} else if err != nil || got != want {
			t.Errorf("%q: %q, %v, want %q", rest, got, err, want)
		}
	}
}
