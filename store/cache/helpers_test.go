// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package cache_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"osbuild/store"
	"osbuild/store/cache"
	"osbuild/store/cache/location"
	"osbuild/store/fsys"
	"osbuild/store/storetest"
)

// root is a store with a lease.
type root struct {
	t     testing.TB
	store *store.Store
	lease *store.Lease
}

func newRoot(t testing.TB) *root {
	t.Helper()
	s, l := storetest.New(t)
	return &root{t, s, l}
}

func (r *root) text(name, text string, refs ...store.Path) store.Path {
	r.t.Helper()
	i, err := r.store.AddText(r.t.Context(), r.lease, name, []byte(text), refs)
	if err != nil {
		r.t.Fatal(err)
	}
	return i.Path
}

// output adds a tree that refers to itself and to dep.
func (r *root) output(name string, dep store.Path) store.Path {
	r.t.Helper()
	scratch, err := store.TextPath(name, []byte("scratch"), nil)
	if err != nil {
		r.t.Fatal(err)
	}
	temp, err := r.lease.TempDir()
	if err != nil {
		r.t.Fatal(err)
	}
	for file, text := range map[string]string{
		"bin/me":    "#!" + string(dep) + "\n" + string(scratch) + "/bin/me\n",
		"empty/.d":  "",
		"share/big": strings.Repeat("0123456789abcdef\n", 20_000),
	} {
		path := filepath.Join(temp, "out", file)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			r.t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			r.t.Fatal(err)
		}
	}
	if err := os.Symlink(string(scratch)+"/bin/me", filepath.Join(temp, "out", "link")); err != nil {
		r.t.Fatal(err)
	}
	i, err := r.store.AddOutput(r.t.Context(), r.lease, store.Output{Name: name, Physical: temp + "/out", Scratch: scratch, Candidates: []store.Path{dep}})
	if err != nil {
		r.t.Fatal(err)
	}
	return i.Path
}

// closure adds a chain of three items and gives the last.
func (r *root) closure() store.Path {
	r.t.Helper()
	dep := r.text("dep", "what others need")
	out := r.output("self", dep)
	return r.text("top", "it needs "+string(out)+" and "+string(dep), out, dep)
}

// verify checks the whole store, and that nothing is left in the lease's
// folder.
func (r *root) verify() {
	r.t.Helper()
	report, err := r.store.Verify(r.t.Context(), store.VerifyOptions{Contents: true})
	if err != nil || len(report.Problems) > 0 {
		r.t.Errorf("verify: %v %v", err, report.Problems)
	}
	temp, err := r.lease.TempDir()
	if err != nil {
		r.t.Fatal(err)
	}
	if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
		r.t.Errorf("left behind: %v %v", left, err)
	}
}

func (r *root) all() []store.Path {
	r.t.Helper()
	all, err := r.store.All()
	if err != nil {
		r.t.Fatal(err)
	}
	return all
}

// folder opens or makes a cache in a folder.
func folder(t testing.TB, dir string) *cache.Cache {
	t.Helper()
	c, err := cache.Create(t.Context(), location.NewFolder(dir, fsys.OS{}))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func push(t testing.TB, from *root, c *cache.Cache, o cache.PushOptions, paths ...store.Path) cache.PushResult {
	t.Helper()
	r, err := cache.Push(t.Context(), from.store, c, paths, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
