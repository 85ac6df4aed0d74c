// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package cache_test

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"osbuild/store"
	"osbuild/store/cache"
)

// TestPushSame holds that items give the same cache whoever pushes them: on
// any number of processors, many at once or one by one, and however often.
func TestPushSame(t *testing.T) {
	from := newRoot(t)
	var paths []store.Path
	for k := range 12 {
		var text strings.Builder
		for n := range k * k * 500 {
			fmt.Fprintln(&text, "line", n%(k+1), n)
		}
		paths = append(paths, from.text(fmt.Sprintf("text%d", k), text.String(), paths[max(0, k-2):]...))
	}
	for _, compression := range []string{"zstd", "gzip", "none"} {
		var want map[string]string
		for _, c := range []struct{ jobs, processors int }{{1, 1}, {8, 1}, {2, 4}} {
			before := runtime.GOMAXPROCS(c.processors)
			dir := filepath.Join(t.TempDir(), "cache")
			_, err := cache.Push(t.Context(), from.store, folder(t, dir), paths, cache.PushOptions{Compression: compression, Jobs: c.jobs, Listings: true})
			runtime.GOMAXPROCS(before)
			if err != nil {
				t.Fatal(err)
			}
			got := filesOf(t, dir)
			if want == nil {
				want = got
			}
			if len(got) < 3*len(paths) || !maps.Equal(got, want) {
				t.Errorf("%s, %d jobs on %d processors: another cache, of %d files", compression, c.jobs, c.processors, len(got))
			}
		}
	}
}

// filesOf reads all files below dir.
func filesOf(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		files[path[len(dir):]] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestDamagedSize holds that an item of another size than it had is called
// damaged, too, with each compression.
func TestDamagedSize(t *testing.T) {
	from := newRoot(t)
	dep := from.text("dep", strings.Repeat("a text ", 100_000))
	place := from.store.Physical(dep)
	for _, text := range []string{"a text", strings.Repeat("a text ", 200_000)} {
		if err := errors.Join(os.Chmod(place, 0o644), os.WriteFile(place, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
		for _, compression := range []string{"zstd", "gzip", "none"} {
			dir := filepath.Join(t.TempDir(), "cache")
			_, err := cache.Push(t.Context(), from.store, folder(t, dir), []store.Path{dep}, cache.PushOptions{Compression: compression})
			if err == nil || !strings.Contains(err.Error(), "is damaged in the store") {
				t.Errorf("%s, %d bytes: %v", compression, len(text), err)
			}
			if got := filesOf(t, dir); len(got) > 1 {
				t.Errorf("%s, %d bytes: pushed %d files", compression, len(text), len(got))
			}
		}
	}
}
