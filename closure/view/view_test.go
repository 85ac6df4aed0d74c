// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package view

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"osbuild/runner/spec"
	"osbuild/store"
)

// rig is a store with a lease.
type rig struct {
	t     testing.TB
	s     *store.Store
	lease *store.Lease
}

func newRig(t testing.TB) *rig {
	t.Helper()
	// Not t.TempDir, which cannot remove folders without write permission.
	dir, err := os.MkdirTemp("", "view-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				_ = os.Chmod(path, 0o755)
			}
			return nil
		})
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(filepath.Join(dir, "root"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	lease, err := s.NewLease("test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = lease.Close() })
	return &rig{t, s, lease}
}

// item adds a tree: names that end in "/" are folders, texts that start with
// "-> " are links.
func (r *rig) item(name string, files map[string]string) spec.Lower {
	r.t.Helper()
	dir := r.t.TempDir()
	for path, text := range files {
		at := filepath.Join(dir, path)
		err := os.MkdirAll(filepath.Dir(at), 0o755)
		switch target, link := strings.CutPrefix(text, "-> "); {
		case err != nil:
		case strings.HasSuffix(path, "/"):
			err = os.MkdirAll(at, 0o755)
		case link:
			err = os.Symlink(target, at)
		default:
			err = os.WriteFile(at, []byte(text), 0o644)
		}
		if err != nil {
			r.t.Fatal(err)
		}
	}
	info, err := r.s.AddTree(r.t.Context(), r.lease, name, dir, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	return spec.Lower{Item: string(info.Path)}
}

func (r *rig) make(lowers ...spec.Lower) *View {
	r.t.Helper()
	v, err := Make(r.t.Context(), r.s, lowers)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = v.Close() })
	return v
}

func (r *rig) collect(o store.GCOptions) int {
	r.t.Helper()
	items, err := r.s.GC(r.t.Context(), o)
	if err != nil {
		r.t.Fatal(err)
	}
	n, err := Collect(r.t.Context(), r.s, o, items.Freed)
	if err != nil {
		r.t.Fatal(err)
	}
	return n
}

// show prints a tree, a line an entry.
func show(t testing.TB, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, path)
		info, err := d.Info()
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "%s %v %d", rel, info.Mode(), info.ModTime().Unix())
		switch {
		case d.Type()&fs.ModeSymlink != 0:
			target, _ := os.Readlink(path)
			b.WriteString(" -> " + target)
		case d.Type().IsRegular():
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			b.Write(append([]byte(" "), text...))
		}
		b.WriteString("\n")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestMake(t *testing.T) {
	r := newRig(t)
	top := r.item("top", map[string]string{"who": "top", "lib/one": "1", "link": "-> who", "only/": ""})
	sub := r.item("sub", map[string]string{"root/usr/who": "sub", "root/usr/link": "a file", "root/usr/lib/two": "2", "root/etc/x": "not shown"})
	sub.Sub, sub.FHS = "root/usr", true
	v := r.make(top, sub)
	want := `. dr-xr-xr-x 1
lib dr-xr-xr-x 1
lib/one -r--r--r-- 1 1
lib/two -r--r--r-- 1 2
link Lrwxrwxrwx 1 -> who
only dr-xr-xr-x 1
who -r--r--r-- 1 top
`
	if got := show(t, v.Dir); got != want {
		t.Errorf("got:\n%swant:\n%s", got, want)
	}
	p, _ := store.ParsePath(top.Item)
	a, err := os.Stat(filepath.Join(r.s.Physical(p), "who"))
	if err != nil {
		t.Fatal(err)
	}
	if b, err := os.Stat(filepath.Join(v.Dir, "who")); err != nil || !os.SameFile(a, b) {
		t.Errorf("the file was copied, %v", err)
	}
	if again := r.make(top, sub); again.Dir != v.Dir {
		t.Errorf("made again, at %s", again.Dir)
	}
	if other := r.make(sub, top); other.Dir == v.Dir {
		t.Error("another order is the same view")
	}
	report, err := r.s.Verify(t.Context(), store.VerifyOptions{Contents: true})
	if err != nil || len(report.Problems) != 0 {
		t.Errorf("the store has problems: %v, %v", report.Problems, err)
	}
}

func TestMakeRefuses(t *testing.T) {
	r := newRig(t)
	dir := r.item("dir", map[string]string{"a/b/c": "x"})
	file := r.item("file", map[string]string{"a/b": "x"})
	link := r.item("link", map[string]string{"a/b": "-> ../c", "c/": "", "out": "-> /etc"})
	text, err := r.s.AddText(t.Context(), r.lease, "text", []byte("x"), nil)
	if err != nil {
		t.Fatal(err)
	}
	at := func(l spec.Lower, sub string) spec.Lower { l.Sub = sub; return l }
	tests := []struct {
		summary string
		lowers  []spec.Lower
		want    string
	}{
		{"a file below a folder", []spec.Lower{dir, file}, "a/b is a folder in " + dir.Item + " and a file in " + file.Item},
		{"a folder below a file", []spec.Lower{file, dir}, "a/b is a folder in " + dir.Item + " and a file in " + file.Item},
		{"a link against a folder", []spec.Lower{link, dir}, "a/b is a folder in " + dir.Item},
		{"an item that is a file", []spec.Lower{dir, {Item: string(text.Path)}}, "is not a folder"},
		{"no item", []spec.Lower{{Item: "/etc"}}, "/etc"},
		{"an item that is gone", []spec.Lower{{Item: strings.Replace(dir.Item, "-dir", "-gone", 1)}}, "no such file"},
		{"out of an item", []spec.Lower{at(dir, "../x")}, "leaves the item"},
		{"out of an item by a link", []spec.Lower{at(link, "out")}, "is not a folder"},
		{"through a link", []spec.Lower{at(link, "out/ssl")}, "is not a folder"},
		{"two lines", []spec.Lower{at(dir, "a\nb")}, "leaves the item"},
	}
	for _, tt := range tests {
		t.Run(tt.summary, func(t *testing.T) {
			_, err := Make(t.Context(), r.s, tt.lowers)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q in it", err, tt.want)
			}
		})
	}
	var collision *CollisionError
	if _, err := Make(t.Context(), r.s, []spec.Lower{dir, file}); !errors.As(err, &collision) || collision.Path != "a/b" {
		t.Errorf("got %v", err)
	}
	if entries, _ := os.ReadDir(filepath.Join(r.s.Root(), folder)); len(entries) != 0 {
		t.Errorf("something is left: %v", entries)
	}
	if entries, _ := os.ReadDir(filepath.Join(r.s.Root(), "tmp")); len(entries) > 1 {
		t.Errorf("temporary folders are left: %v", entries)
	}
}

func TestCollect(t *testing.T) {
	r := newRig(t)
	a, b := r.item("a", map[string]string{"a": "a"}), r.item("b", map[string]string{"b": "b"})
	v := r.make(a, b)
	list := filepath.Join(filepath.Dir(v.Dir), listName)
	old := func() {
		if err := os.Chtimes(list, time.Unix(1e9, 0), time.Unix(1e9, 0)); err != nil {
			t.Fatal(err)
		}
	}
	old()
	if n := r.collect(store.GCOptions{}); n != 0 {
		t.Error("a view in use was removed")
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	if n := r.collect(store.GCOptions{DryRun: true, MinAge: time.Hour}); n != 1 {
		t.Errorf("%d views would go, want 1", n)
	}
	v = r.make(a, b)
	_ = v.Close()
	if n := r.collect(store.GCOptions{MinAge: time.Hour}); n != 0 {
		t.Error("a view that was used just now was removed")
	}
	if n := r.collect(store.GCOptions{Delete: []store.Path{}}); n != 0 {
		t.Error("deleting nothing removed an unused view")
	}
	old()
	if n := r.collect(store.GCOptions{MinAge: time.Hour}); n != 1 {
		t.Error("an unused view stays")
	}
	if _, err := os.Stat(v.Dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it is still there: %v", err)
	}

	v = r.make(a, b)
	_ = v.Close()
	if err := r.lease.Close(); err != nil {
		t.Fatal(err)
	}
	p, _ := store.ParsePath(b.Item)
	for _, dry := range []bool{true, false} {
		if n := r.collect(store.GCOptions{Delete: []store.Path{p}, DryRun: dry}); n != 1 {
			t.Errorf("dry %v: the view of an item that goes stays", dry)
		}
	}
	if entries, _ := os.ReadDir(filepath.Join(r.s.Root(), "trash")); len(entries) != 0 {
		t.Errorf("left in the trash: %v", entries)
	}
}

// What is left of a view that somebody deleted is no obstacle.
func TestDamaged(t *testing.T) {
	r := newRig(t)
	lowers := []spec.Lower{r.item("a", map[string]string{"a": "a"}), r.item("b", map[string]string{"b": "b"})}
	for _, collect := range []bool{false, true} {
		v := r.make(lowers...)
		_ = v.Close()
		place := filepath.Dir(v.Dir)
		for _, name := range []string{listName, treeName + "/a"} {
			if err := errors.Join(os.Chmod(v.Dir, 0o755), os.Remove(filepath.Join(place, name))); err != nil {
				t.Fatal(err)
			}
		}
		if collect {
			if n := r.collect(store.GCOptions{DryRun: true}); n != 1 {
				t.Errorf("%d views would go, want 1", n)
			}
			if n := r.collect(store.GCOptions{}); n != 1 {
				t.Errorf("%d views went, want 1", n)
			}
			if _, err := os.Stat(place); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("it is still there: %v", err)
			}
			continue
		}
		v = r.make(lowers...)
		if got := strings.Count(show(t, v.Dir), "-r--r--r--"); got != 2 {
			t.Errorf("the view holds %d files", got)
		}
		_ = v.Close()
	}
}

// Uses and collections at once: a view in use is always whole.
func TestMakeBesideCollections(t *testing.T) {
	r := newRig(t)
	a, b := r.item("a", map[string]string{"a": "a"}), r.item("b", map[string]string{"b": "b", "d/c": "c"})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var users, collectors sync.WaitGroup
	for range 2 {
		collectors.Go(func() {
			for ctx.Err() == nil {
				if _, err := Collect(ctx, r.s, store.GCOptions{}, nil); err != nil && ctx.Err() == nil {
					t.Error(err)
				}
			}
		})
	}
	for range 3 {
		users.Go(func() {
			for range 30 {
				v, err := Make(ctx, r.s, []spec.Lower{a, b})
				if err != nil {
					t.Error(err)
					return
				}
				for _, name := range []string{"a", "b", "d/c"} {
					if _, err := os.Stat(filepath.Join(v.Dir, name)); err != nil {
						t.Error(err)
					}
				}
				_ = v.Close()
			}
		})
	}
	users.Wait()
	cancel()
	collectors.Wait()
}

// childEnv makes the test binary a process that makes a view over and over.
const childEnv = "OSBUILD_TEST_VIEW"

func TestMain(m *testing.M) {
	text := os.Getenv(childEnv)
	if text == "" {
		os.Exit(m.Run())
	}
	root, items, _ := strings.Cut(text, "|")
	s, err := store.Open(root, store.Options{})
	if err != nil {
		panic(err)
	}
	var lowers []spec.Lower
	for _, item := range strings.Split(items, ",") {
		lowers = append(lowers, spec.Lower{Item: item})
	}
	v, err := Make(context.Background(), s, lowers)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(v.Dir)
}

// A process that is killed at any moment leaves a whole view or none.
func TestMakeKilled(t *testing.T) {
	r := newRig(t)
	files := map[string]string{}
	for i := range 1000 {
		files[fmt.Sprintf("d%d/f%d", i%50, i)] = "x"
	}
	a, b := r.item("a", files), r.item("b", map[string]string{"b": "b"})
	var places int
	for n := range 8 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s|%s,%s", childEnv, r.s.Root(), a.Item, b.Item))
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(n) * 12 * time.Millisecond)
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		entries, _ := os.ReadDir(filepath.Join(r.s.Root(), folder))
		for _, e := range entries {
			places++
			found := strings.Count(show(t, filepath.Join(r.s.Root(), folder, e.Name(), treeName)), "-r--r--r--")
			if found != 1001 {
				t.Errorf("a view holds %d files", found)
			}
		}
		r.collect(store.GCOptions{})
	}
	t.Logf("%d of 8 were made", places)
	r.make(a, b)
	if _, err := r.s.GC(t.Context(), store.GCOptions{}); err != nil {
		t.Fatal(err)
	}
	if entries, _ := os.ReadDir(filepath.Join(r.s.Root(), "tmp")); len(entries) > 1 {
		t.Errorf("left after a collection: %v", entries)
	}
}
