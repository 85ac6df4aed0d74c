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

	"golang.org/x/sys/unix"

	"osbuild/store"
	"osbuild/store/fsys"
)

// tree adds a tree of these files without keeping a lease.
func tree(t *testing.T, s *store.Store, name string, files map[string]string) store.Path {
	t.Helper()
	l, err := s.NewLease("tree")
	if err != nil {
		t.Fatal(err)
	}
	i, err := s.AddTree(context.Background(), l, name, writeTree(t, files), nil)
	if err := errors.Join(err, l.Close()); err != nil {
		t.Fatal(err)
	}
	return i.Path
}

func optimise(t *testing.T, s *store.Store, paths ...store.Path) store.Optimised {
	t.Helper()
	r, err := s.Optimise(context.Background(), paths)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// links lists the files below the folder links.
func links(t *testing.T, s *store.Store) (out []string) {
	t.Helper()
	err := filepath.WalkDir(s.Root()+"/links", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			out = append(out, path)
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return out
}

func stat(t *testing.T, path string) unix.Stat_t {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return st
}

func TestOptimise(t *testing.T) {
	kib := strings.Repeat("0123456789abcdef", 64)
	long := strings.Repeat(kib, 300)
	tests := []struct {
		summary string
		a, b    map[string]string
		one     [][2]string // places of a and b that are one file afterwards
		files   int
		bytes   int64
	}{
		{"equal files", map[string]string{"x": kib, "only": "a"}, map[string]string{"d/e/y": kib, "l": "-> d", "empty/": ""}, [][2]string{{"x", "d/e/y"}}, 1, 1024},
		{"long files", map[string]string{"x": long}, map[string]string{"y": long}, [][2]string{{"x", "y"}}, 1, 1024 * 300},
		{"several in each", map[string]string{"x": kib, "y": kib, "z": long}, map[string]string{"x": kib, "z": long, "other": ""}, [][2]string{{"x", "x"}, {"y", "x"}, {"z", "z"}}, 3, 1024*2 + 1024*300},
		{"small files", map[string]string{"x": kib[1:]}, map[string]string{"y": kib[1:]}, nil, 0, 0},
		{"another last byte", map[string]string{"x": long + "1"}, map[string]string{"y": long + "2"}, nil, 0, 0},
		{"another executable bit", map[string]string{"x": "#!" + kib, "y": "1"}, map[string]string{"d/": "", "x": "#!" + kib + " "}, nil, 0, 0},
		{"equal executables", map[string]string{"x": "#!" + kib, "y": "1"}, map[string]string{"x": "#!" + kib}, [][2]string{{"x", "x"}}, 1, 1026},
	}
	for _, tt := range tests {
		t.Run(tt.summary, func(t *testing.T) {
			s := open(t)
			a, b := tree(t, s, "a", tt.a), tree(t, s, "b", tt.b)
			for round, want := range []store.Optimised{{Checked: 2, Files: tt.files, Bytes: tt.bytes}, {Checked: 2}} {
				got := optimise(t, s)
				if got.Checked != want.Checked || got.Files != want.Files || got.Bytes != want.Bytes || len(got.InUse) > 0 {
					t.Errorf("run %d: %+v, want %+v", round, got, want)
				}
			}
			for _, pair := range tt.one {
				x, y := stat(t, s.Physical(a)+"/"+pair[0]), stat(t, s.Physical(b)+"/"+pair[1])
				if x.Ino != y.Ino {
					t.Errorf("%s and %s are two files", pair[0], pair[1])
				}
			}
			mustVerify(t, s)
			for _, dir := range []string{"tmp", "trash", "leases"} {
				if entries, err := os.ReadDir(s.Root() + "/" + dir); err != nil || len(entries) > 0 {
					t.Errorf("%s holds %v, %v", dir, entries, err)
				}
			}
			// What nothing uses goes, and its links with it.
			gc(t, s, store.GCOptions{})
			if left := links(t, s); len(left) > 0 {
				t.Errorf("links remain: %q", left)
			}
		})
	}
}

// A file and an executable of the same bytes stay two, whose modes differ.
func TestOptimiseModes(t *testing.T) {
	s := open(t)
	script := "#!" + strings.Repeat("x", 2000)
	a := tree(t, s, "a", map[string]string{"f": script})
	src := writeTree(t, map[string]string{"f": script})
	if err := os.Chmod(src+"/f", 0o644); err != nil {
		t.Fatal(err)
	}
	l := lease(t, s)
	b, err := s.AddTree(context.Background(), l, "b", src, nil)
	if err := errors.Join(err, l.Close()); err != nil {
		t.Fatal(err)
	}
	if r := optimise(t, s); r.Files != 0 {
		t.Errorf("%+v", r)
	}
	if x, y := stat(t, s.Physical(a)+"/f"), stat(t, s.Physical(b.Path)+"/f"); x.Mode == y.Mode || x.Ino == y.Ino {
		t.Errorf("modes %o and %o", x.Mode, y.Mode)
	}
	mustVerify(t, s)
}

// Items that are one file each, and only those that are named.
func TestOptimiseNamed(t *testing.T) {
	s := open(t)
	l := lease(t, s)
	content := strings.Repeat("text", 1000)
	a, b, c := text(t, s, l, "a", content), text(t, s, l, "b", content), text(t, s, l, "c", content)
	if r := optimise(t, s, a, b); r.Files != 0 || !slices.Equal(r.InUse, []store.Path{b}) {
		t.Errorf("in use: %+v", r)
	}
	if stat(t, s.Physical(a)).Ino == stat(t, s.Physical(b)).Ino {
		t.Error("an item in use got another file")
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if r := optimise(t, s, a, b); r.Files != 1 || r.Checked != 2 || r.Bytes != 4000 {
		t.Errorf("%+v", r)
	}
	if stat(t, s.Physical(a)).Ino != stat(t, s.Physical(b)).Ino || stat(t, s.Physical(a)).Ino == stat(t, s.Physical(c)).Ino {
		t.Error("not the named ones")
	}
	mustVerify(t, s)
	ro, err := store.Open(s.Root(), store.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ro.Optimise(context.Background(), nil); !errors.Is(err, store.ErrReadOnly) {
		t.Errorf("read-only: %v", err)
	}
}

// A link that lies reaches no further item; verify tells of it and drops it.
func TestBadLink(t *testing.T) {
	s := open(t)
	content := strings.Repeat("good", 1000)
	a := tree(t, s, "a", map[string]string{"f": content})
	optimise(t, s)
	list := links(t, s)
	if len(list) != 1 {
		t.Fatalf("links: %q", list)
	}
	// The disk spoils the file of a, and of the link.
	spoil := func(path string) {
		t.Helper()
		if err := errors.Join(os.Chmod(path, 0o644), os.WriteFile(path, []byte(strings.Repeat("evil", 1000)), 0o644), os.Chtimes(path, time.Unix(1, 0), time.Unix(1, 0)), os.Chmod(path, 0o444)); err != nil {
			t.Fatal(err)
		}
	}
	spoil(list[0])
	b := tree(t, s, "b", map[string]string{"f": content})
	c := tree(t, s, "c", map[string]string{"g": content})
	if r := optimise(t, s); r.Files != 1 {
		t.Errorf("%+v", r)
	}
	if r, err := s.Verify(context.Background(), store.VerifyOptions{Contents: true}); err != nil || len(r.Problems) != 1 || r.Problems[0].Path != a || r.Problems[0].Kind != store.ProblemContent {
		t.Errorf("%v, %v", r.Problems, err)
	}
	if stat(t, s.Physical(b)+"/f").Ino != stat(t, s.Physical(c)+"/g").Ino {
		t.Error("the good ones are two files")
	}
	spoil(links(t, s)[0])
	r, err := s.Verify(context.Background(), store.VerifyOptions{Contents: true})
	dropped := func(p store.Problem) bool {
		return p.Kind == store.ProblemLink && strings.Contains(p.String(), "dropped")
	}
	if err != nil || len(r.Problems) != 4 || !slices.ContainsFunc(r.Problems, dropped) {
		t.Errorf("%v, %v", r.Problems, err)
	}
	if left := links(t, s); len(left) > 0 {
		t.Errorf("links remain: %q", left)
	}
}

// noLinks is a file system whose files can have one name, but share blocks.
type noLinks struct {
	fsys.OS
	below string // links from here fail
}

func (n noLinks) Link(from, to string) error {
	if strings.HasPrefix(from, n.below) {
		return &os.LinkError{Op: "link", Old: from, New: to, Err: unix.EMLINK}
	}
	return n.OS.Link(from, to)
}

func (n noLinks) Clone(from, to string, perm fs.FileMode, at time.Time) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	f, err := n.Create(to, 0o600)
	if err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		return err
	}
	return f.Finish(perm, at)
}

// Where a file can have no more names, clones share its blocks; where there
// are no clones either, all stays as it is.
func TestOptimiseFullLink(t *testing.T) {
	content := strings.Repeat("many", 1000)
	for _, clones := range []bool{true, false} {
		root := filepath.Join(t.TempDir(), "root")
		plain := openAt(t, root)
		tree(t, plain, "a", map[string]string{"f": content})
		b := tree(t, plain, "b", map[string]string{"f": content, "g/h": "small"})
		var f fsys.FS = noLinks{below: root + "/links/"}
		if !clones {
			f = &fsys.Fault{FS: f, Before: func(_ int64, op, _ string) error {
				if op == "clone" {
					return unix.EOPNOTSUPP
				}
				return nil
			}}
		}
		before := stat(t, plain.Physical(b)+"/f").Ino
		s, err := store.Open(root, store.Options{FS: f})
		if err != nil {
			t.Fatal(err)
		}
		optimise(t, s)
		if after := stat(t, plain.Physical(b)+"/f").Ino; (after != before) != clones {
			t.Errorf("clones %t: inode %d, before %d", clones, after, before)
		}
		mustVerify(t, plain)
	}
}

// After an unclean boot no link is trusted: an item that was not durable may
// have given it its bytes.
func TestLinksAfterUncleanBoot(t *testing.T) {
	s := open(t)
	content := strings.Repeat("lost", 1000)
	a, b := tree(t, s, "a", map[string]string{"f": content}), tree(t, s, "b", map[string]string{"g": content})
	optimise(t, s)
	boots, err := os.ReadDir(s.Root() + "/pending")
	if err != nil || len(boots) != 1 {
		t.Fatal(boots, err)
	}
	if err := os.Rename(s.Root()+"/pending/"+boots[0].Name(), s.Root()+"/pending/former"); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Chmod(s.Physical(a)+"/f", 0o644), os.Truncate(s.Physical(a)+"/f", 0)); err != nil {
		t.Fatal(err)
	}
	s = openAt(t, s.Root())
	if s.Valid(a) || s.Valid(b) || len(links(t, s)) > 0 {
		t.Errorf("a is valid: %t, b: %t, links: %q", s.Valid(a), s.Valid(b), links(t, s))
	}
	c := tree(t, s, "c", map[string]string{"h": content})
	optimise(t, s)
	if !s.Valid(c) {
		t.Error("the new item is not valid")
	}
	mustVerify(t, s)
}
