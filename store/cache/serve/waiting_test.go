// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestUploads holds that files wait, and go when nobody asked for them.
func TestUploads(t *testing.T) {
	dir := t.TempDir()
	var u uploads
	file := func(name string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	left := func(want int) {
		t.Helper()
		if all, err := os.ReadDir(dir); err != nil || len(all) != want {
			t.Errorf("%d files, want %d (%v)", len(all), want, err)
		}
	}
	for name, path := range map[string]string{"a": file("1"), "b": file("2")} {
		if err := u.put(name, path); err != nil {
			t.Fatal(err)
		}
	}
	if err := u.put("a", file("3")); err != nil {
		t.Fatal(err)
	}
	left(2)
	u.files["b"] = upload{u.files["b"].path, time.Now().Add(-waitFor)}
	f, err := u.open("a")
	if err != nil {
		t.Fatal(err)
	}
	if err := u.sweep(waitFor); err != nil {
		t.Error(err)
	}
	left(1)
	if u.has("b") || !u.has("a") {
		t.Error("the wrong file went")
	}
	if _, err := u.open("b"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
	if err := errors.Join(u.clear(), f.Close()); err != nil {
		t.Error(err)
	}
	left(0)
}

// TestGroupSync holds that nobody returns before a sync that began after he
// asked.
func TestGroupSync(t *testing.T) {
	var g groupSync
	var begun, ended, syncs atomic.Int64
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			for range 20 {
				at := begun.Load()
				err := g.do(func() error {
					n := begun.Add(1)
					syncs.Add(1)
					time.Sleep(time.Millisecond)
					ended.Store(n)
					return nil
				})
				if err != nil || ended.Load() <= at {
					t.Errorf("asked after sync %d had begun, and %d have ended: %v", at, ended.Load(), err)
				}
			}
		})
	}
	wg.Wait()
	if n := syncs.Load(); n >= 400 {
		t.Errorf("%d syncs for 400 questions of 20 at once: none was shared", n)
	}
	failure := errors.New("no")
	if err := g.do(func() error { return failure }); !errors.Is(err, failure) {
		t.Errorf("%v", err)
	}
}
