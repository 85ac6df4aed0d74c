// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"osbuild/store"
	"osbuild/store/fsys"
)

func gc(t *testing.T, s *store.Store, o store.GCOptions) []string {
	t.Helper()
	r, err := s.GC(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	return names(r.Freed)
}

// names returns the items' names, in the order given.
func names(paths []store.Path) []string {
	out := make([]string, len(paths))
	for k, p := range paths {
		out[k] = p.Name()
	}
	return out
}

// diamond adds top → left, right → bottom, and a lone item, without keeping a
// lease.
func diamond(t *testing.T, s *store.Store) map[string]store.Path {
	t.Helper()
	l, err := s.NewLease("diamond")
	if err != nil {
		t.Fatal(err)
	}
	p := map[string]store.Path{}
	p["bottom"] = text(t, s, l, "bottom", "b")
	p["left"] = text(t, s, l, "left", "l", p["bottom"])
	p["right"] = text(t, s, l, "right", "r", p["bottom"])
	p["top"] = text(t, s, l, "top", "t", p["left"], p["right"])
	p["lone"] = text(t, s, l, "lone", "x")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestGCRoots(t *testing.T) {
	s := open(t)
	p := diamond(t, s)
	dir := t.TempDir()
	// An indirect root, a direct one, a stale one, and one that is no root.
	if err := s.AddRoot(dir+"/left", p["left"]); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(s.Root()+"/roots/sub", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(string(p["lone"]), s.Root()+"/roots/sub/lone"); err != nil {
		t.Fatal(err)
	}
	if err := s.AddRoot(dir+"/gone", p["top"]); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(dir + "/gone"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(s.Physical(p["top"]), dir+"/unknown"); err != nil {
		t.Fatal(err)
	}
	roots, err := s.Roots()
	if err != nil {
		t.Fatal(err)
	}
	if want := []store.Root{{Link: dir + "/left", Path: p["left"]}, {Link: s.Root() + "/roots/sub/lone", Path: p["lone"]}}; !slices.Equal(roots, want) {
		t.Errorf("roots are %v, want %v", roots, want)
	}
	chain, err := s.WhyAlive(p["bottom"], store.GCOptions{})
	if want := []string{dir + "/left", string(p["left"]), string(p["bottom"])}; err != nil || !slices.Equal(chain, want) {
		t.Errorf("why: %q, %v", chain, err)
	}
	if chain, err := s.WhyAlive(p["top"], store.GCOptions{}); err != nil || len(chain) > 0 {
		t.Errorf("why top: %q, %v", chain, err)
	}
	if got, want := gc(t, s, store.GCOptions{}), []string{"top", "right"}; !slices.Equal(got, want) {
		t.Errorf("freed %q, want %q", got, want)
	}
	if entries, err := os.ReadDir(s.Root() + "/roots/auto"); err != nil || len(entries) != 1 {
		t.Errorf("the stale root is still there: %v, %v", entries, err)
	}
	mustVerify(t, s)
	// A root may move on to another item.
	if err := s.AddRoot(dir+"/left", p["bottom"]); err != nil {
		t.Fatal(err)
	}
	if got, want := gc(t, s, store.GCOptions{}), []string{"left"}; !slices.Equal(got, want) {
		t.Errorf("freed %q, want %q", got, want)
	}
}

func TestAddRootRefuses(t *testing.T) {
	s := open(t)
	p := diamond(t, s)
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/file", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc", dir+"/link"); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"file": "something else than a link", "link": "leads to /etc", "no/such/folder": "no such file"} {
		if err := s.AddRoot(filepath.Join(dir, name), p["top"]); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := s.AddRoot(dir+"/x", scratchA); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("an item that is not there: %v", err)
	}
}

func TestGCLimits(t *testing.T) {
	s := open(t)
	p := diamond(t, s)
	if got := gc(t, s, store.GCOptions{MinAge: time.Hour}); len(got) > 0 {
		t.Errorf("young items went: %q", got)
	}
	// Make left the item that was used longest ago, and lone the one that
	// was used last before the others.
	now := time.Now()
	for name, age := range map[string]time.Duration{"left": 9 * time.Hour, "bottom": 8 * time.Hour, "right": 7 * time.Hour, "top": 5 * time.Hour, "lone": 6 * time.Hour} {
		info := s.Root() + "/db/info/" + p[name].Digest() + ".narinfo"
		if err := os.Chtimes(info, now, now.Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	if got := gc(t, s, store.GCOptions{DryRun: true, MinAge: 330 * time.Minute}); !slices.Equal(got, []string{"lone"}) {
		t.Errorf("what a young item needs went: %q", got)
	}
	if got, want := gc(t, s, store.GCOptions{DryRun: true, MaxFreed: 1 << 40}), []string{"top", "left", "right", "bottom", "lone"}; !slices.Equal(got, want) {
		t.Errorf("the order is %q, want %q", got, want)
	}
	if got, want := gc(t, s, store.GCOptions{MaxFreed: 200}), []string{"top", "left"}; !slices.Equal(got, want) {
		t.Errorf("freed %q, want %q", got, want)
	}
	// A lease counts as a use.
	l := lease(t, s)
	if err := l.Add(p["right"]); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if got, want := gc(t, s, store.GCOptions{MinAge: time.Hour}), []string{"lone"}; !slices.Equal(got, want) {
		t.Errorf("freed %q, want %q", got, want)
	}
	mustVerify(t, s)
}

func TestGCDelete(t *testing.T) {
	s := open(t)
	p := diamond(t, s)
	del := func(paths ...store.Path) error {
		_, err := s.GC(context.Background(), store.GCOptions{Delete: paths})
		return err
	}
	if err := del(p["left"]); !errors.Is(err, store.ErrAlive) || !strings.Contains(err.Error(), string(p["top"])) {
		t.Errorf("an item with a referrer: %v", err)
	}
	if err := del(scratchA); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("an item that is not there: %v", err)
	}
	l := lease(t, s)
	if err := l.Add(p["top"]); err != nil {
		t.Fatal(err)
	}
	if err := del(p["top"]); !errors.Is(err, store.ErrAlive) || !strings.Contains(err.Error(), "in use by TestGCDelete (process ") {
		t.Errorf("an item in use: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := del(p["left"], p["top"]); err != nil {
		t.Error(err)
	}
	if all, err := s.All(); err != nil || len(all) != 3 {
		t.Errorf("%q remain, %v", all, err)
	}
	mustVerify(t, s)
}

func TestGCKeepLast(t *testing.T) {
	s := open(t)
	p := diamond(t, s)
	l := lease(t, s)
	p["young"] = text(t, s, l, "young", "y", p["lone"])
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	// What others refer to is used whenever they are, whatever its own time.
	for name, age := range map[string]time.Duration{"left": 0, "bottom": 0, "right": 0, "lone": 0, "top": 3 * time.Hour, "young": 2 * time.Hour} {
		info := s.Root() + "/db/info/" + p[name].Digest() + ".narinfo"
		if err := os.Chtimes(info, now, now.Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		summary string
		o       store.GCOptions
		want    []string
	}{
		{"more than there are", store.GCOptions{KeepLast: 3}, nil},
		{"all", store.GCOptions{KeepLast: 2}, nil},
		{"the last one", store.GCOptions{KeepLast: 1}, []string{"bottom", "left", "right", "top"}},
		{"and what was used within a time", store.GCOptions{KeepLast: 1, MinAge: time.Hour}, []string{"top"}},
		{"none", store.GCOptions{}, []string{"bottom", "left", "lone", "right", "top", "young"}},
	}
	for _, tt := range tests {
		t.Run(tt.summary, func(t *testing.T) {
			tt.o.DryRun = true
			got := gc(t, s, tt.o)
			slices.Sort(got)
			if !slices.Equal(got, tt.want) {
				t.Errorf("freed %q, want %q", got, tt.want)
			}
		})
	}
	// What a root keeps is none of the last.
	if err := s.AddRoot(t.TempDir()+"/young", p["young"]); err != nil {
		t.Fatal(err)
	}
	if got := gc(t, s, store.GCOptions{KeepLast: 1}); len(got) > 0 {
		t.Errorf("freed %q", got)
	}
	if got := gc(t, s, store.GCOptions{}); len(got) != 4 {
		t.Errorf("freed %q", got)
	}
	mustVerify(t, s)
}

// What lies in the store folder without an info file goes, unless a lease
// names it.
func TestGCStray(t *testing.T) {
	s := open(t)
	l := lease(t, s)
	for _, name := range []string{"junk", scratchA.Base(), scratchB.Base()} {
		dir := s.Root() + "/store/" + name
		if err := errors.Join(os.MkdirAll(dir+"/sub", 0o755), os.Chmod(dir+"/sub", 0o555), os.Chmod(dir, 0o555)); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Add(scratchB); err != nil {
		t.Fatal(err)
	}
	gc(t, s, store.GCOptions{})
	entries, err := os.ReadDir(s.Root() + "/store")
	if err != nil || len(entries) != 1 || entries[0].Name() != scratchB.Base() {
		t.Errorf("%v remain, %v", entries, err)
	}
	// A stray tree is no obstacle to the item that belongs there.
	p := text(t, s, l, "x", "x")
	if err := os.Remove(s.Root() + "/db/info/" + p.Digest() + ".narinfo"); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(s.Physical(p)); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(s.Physical(p)+"/sub", 0o755); err != nil {
		t.Fatal(err)
	}
	text(t, s, l, "x", "x")
	mustVerify(t, s)
}

// Wherever the making of a root ends, there is no link that a collection does
// not heed.
func TestRootBrokenOff(t *testing.T) {
	for _, before := range []string{"nothing", "another"} {
		for last, done := int64(0), false; !done; last++ {
			s := open(t)
			link := filepath.Join(t.TempDir(), "link")
			l := lease(t, s)
			p, other := text(t, s, l, "text", "1"), text(t, s, l, "other", "2")
			if before == "another" {
				if err := s.AddRoot(link, other); err != nil {
					t.Fatal(err)
				}
			}
			f := &fsys.Fault{FS: fsys.OS{}, Before: func(n int64, _, _ string) error {
				if n > last {
					return fsys.ErrStopped
				}
				return nil
			}}
			broken, err := store.Open(s.Root(), store.Options{FS: f})
			if err != nil {
				if !errors.Is(err, fsys.ErrStopped) {
					t.Fatal(err)
				}
				continue
			}
			done = broken.AddRoot(link, p) == nil
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			gc(t, s, store.GCOptions{})
			target, err := os.Readlink(link)
			if errors.Is(err, fs.ErrNotExist) && before == "nothing" && !done {
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			if kept, _, err := s.Resolve(target); err != nil || !s.Valid(kept) {
				t.Errorf("%s before, ended after %d operations: the link leads to %s, which is gone (%v)", before, last, target, err)
			}
		}
	}
}
