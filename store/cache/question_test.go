// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package cache_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"osbuild/store/cache"
	"osbuild/store/cache/location"
	"osbuild/store/cache/narinfo"
)

// TestAttacksOnQuestions holds that a server which does not answer a question
// as it should is given up, before any archive is asked for.
func TestAttacksOnQuestions(t *testing.T) {
	endless := func(w http.ResponseWriter, _ *http.Request) {
		var err error
		for err == nil {
			_, err = w.Write([]byte(strings.Repeat("Sig: x:y\n", 1000)))
		}
	}
	for _, c := range []struct {
		summary string
		handler http.HandlerFunc
		want    string
	}{
		{"silence", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "timeout"},
		{"silence in the middle", func(w http.ResponseWriter, r *http.Request) {
			_, _ = w.Write([]byte("StorePath: ")) // the client goes away
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}, "silent"},
		{"a redirect to a file", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "file:///etc/passwd", http.StatusFound)
		}, "points from http to file"},
		{"a redirect to another protocol", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "ftp://127.0.0.1/x", http.StatusFound)
		}, "points from http to ftp"},
		{"redirects without end", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, r.URL.Path, http.StatusFound)
		}, "from place to place"},
		{"an answer without end", endless, "more than"},
		{"a truncated answer", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write([]byte("StorePath: ")) // the server breaks it off
		}, "unexpected EOF"},
		{"a page", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>\n")) }, "cannot read a narinfo"},
		{"an error", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }, "418"},
	} {
		t.Run(c.summary, func(t *testing.T) {
			t.Parallel()
			h := newHostile(t)
			files := http.FileServer(http.Dir(h.dir))
			var mu sync.Mutex
			var archives []string
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/"+narinfo.Name(h.self.Path) {
					c.handler(w, r)
					return
				}
				if strings.HasPrefix(r.URL.Path, "/nar/") {
					mu.Lock()
					archives = append(archives, r.URL.Path)
					mu.Unlock()
				}
				files.ServeHTTP(w, r)
			}))
			defer s.Close()
			l, err := location.NewWeb(s.URL, location.WebOptions{Stall: stallFor(c.summary), Pause: time.Millisecond})
			if err != nil {
				t.Fatal(err)
			}
			remote, err := cache.Open(t.Context(), l)
			if err != nil {
				t.Fatal(err)
			}
			to := newRoot(t)
			p := &cache.Puller{Store: to.store, Caches: []*cache.Cache{remote}}
			_, err = p.Pull(t.Context(), to.lease, h.top)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), h.self.Path.Base()) {
				t.Errorf("%v", err)
			}
			mu.Lock()
			defer mu.Unlock()
			if len(archives) > 0 {
				t.Errorf("asked for %q", archives)
			}
			to.untouched()
		})
	}
}

// stallFor is how long a server may be silent in a test: not long where that is
// the test, and otherwise so long that no busy machine is taken for it.
func stallFor(summary string) time.Duration {
	if strings.Contains(summary, "silen") {
		return 1500 * time.Millisecond
	}
	return time.Minute
}

// TestImpossibleAddress holds that an archive whose hash contradicts its
// content address is not asked for.
func TestImpossibleAddress(t *testing.T) {
	from, to := newRoot(t), newRoot(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte("a file\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	tree, err := from.store.AddTree(t.Context(), from.lease, "tree", filepath.Join(dir, "file"), nil)
	if err != nil {
		t.Fatal(err)
	}
	c := folder(t, filepath.Join(dir, "cache"))
	push(t, from, c, cache.PushOptions{}, tree.Path)
	n, err := c.Narinfo(t.Context(), tree.Path)
	if err == nil {
		n.NarHash[0]++
		err = location.Write(t.Context(), c.Location, narinfo.Name(tree.Path), n.Encode())
	}
	if err == nil {
		// If it were asked for, that would show in the error.
		err = os.Remove(filepath.Join(dir, "cache", n.URL))
	}
	if err != nil {
		t.Fatal(err)
	}
	p := &cache.Puller{Store: to.store, Caches: []*cache.Cache{c}}
	if _, err := p.Pull(t.Context(), to.lease, tree.Path); err == nil || !strings.Contains(err.Error(), "its content address tells: hash mismatch") {
		t.Errorf("%v", err)
	}
	to.untouched()
}

// untouched holds that nothing was registered and that nothing is left, not
// even what waits to be deleted.
func (r *root) untouched() {
	r.t.Helper()
	if all := r.all(); len(all) > 0 {
		r.t.Errorf("registered %q", all)
	}
	r.verify()
	for _, folder := range []string{"store", "trash"} {
		left, err := os.ReadDir(filepath.Join(r.store.Root(), folder))
		if err != nil || len(left) > 0 {
			r.t.Errorf("left in %s: %v %v", folder, left, err)
		}
	}
}
