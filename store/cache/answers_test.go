// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package cache_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"osbuild/store"
	"osbuild/store/cache"
	"osbuild/store/cache/location"
	"osbuild/store/cache/narinfo"
	"osbuild/store/fsys"
)

// TestAnswers holds that a question which was answered is not asked again for
// a while, unless the answer has changed here.
func TestAnswers(t *testing.T) {
	from := newRoot(t)
	top := from.closure()
	l := &counter{Location: location.NewFolder(t.TempDir()+"/cache", fsys.OS{}), opened: map[string]int{}}
	c, err := cache.Create(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	key := strings.Repeat("0a", 32)
	for range 3 {
		if _, err := c.Narinfo(t.Context(), top); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%v", err)
		}
		if _, err := c.Realisation(t.Context(), key); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%v", err)
		}
	}
	if l.opened[narinfo.Name(top)] != 1 || l.opened[cache.RealisationName(key)] != 1 {
		t.Errorf("asked: %v", l.opened)
	}
	push(t, from, c, cache.PushOptions{}, top)
	if _, err := c.Narinfo(t.Context(), top); err != nil {
		t.Errorf("after the push: %v", err)
	}
}

// TestUnreachable holds that a cache which cannot be asked is left alone for
// a while, and that others are asked instead.
func TestUnreachable(t *testing.T) {
	from, to := newRoot(t), newRoot(t)
	top := from.closure()
	good := folder(t, t.TempDir()+"/cache")
	push(t, from, good, cache.PushOptions{}, top)
	l := &counter{Location: unreachable{good.Location}, opened: map[string]int{}}
	bad := &cache.Cache{Location: l}
	p := &cache.Puller{Store: to.store, Caches: []*cache.Cache{bad}}
	if _, err := p.Pull(t.Context(), to.lease, top); !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("%v", err)
	}
	p.Caches = []*cache.Cache{bad, good}
	if _, err := p.Pull(t.Context(), to.lease, top); err != nil {
		t.Errorf("%v", err)
	}
	if len(l.opened) != 1 || l.opened[narinfo.Name(top)] != 1 {
		t.Errorf("asked: %v", l.opened)
	}
	to.verify()
}

type unreachable struct{ location.Location }

func (unreachable) Open(context.Context, string) (io.ReadCloser, int64, error) {
	return nil, 0, &net.OpError{Op: "read", Err: unix.ECONNRESET}
}

// TestOneBadFile holds that a file which cannot be had says nothing of the
// others, and is not asked for again for a while; but a server that does not
// answer for several in a row is left alone.
func TestOneBadFile(t *testing.T) {
	const files = 6
	fails := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }
	for _, test := range []struct {
		summary string
		bad     http.HandlerFunc
		file    bool // the cache is a folder
		many    int  // are bad, the first ones
		want    int  // how many of the bad ones are asked for
		good    bool // the last one can be had
	}{
		{"larger than any narinfo", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, narinfo.MaxSize+1)) }, false, 4, 4, true},
		{"a server error", fails, false, 1, 1, true},
		{"two server errors", fails, false, 2, 2, true},
		{"too many server errors", fails, false, 4, 3, false},
		{"a refusal", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }, false, 4, 4, true},
		{"a redirect elsewhere", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "file:///etc/passwd", http.StatusFound)
		}, false, 4, 4, true},
		{"truncated", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write([]byte("StorePath: ")) // the server breaks it off
		}, false, 4, 4, true},
		{"a folder in a folder", nil, true, 4, 4, true},
		{"a connection that ends", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, false, 4, 1, false},
	} {
		t.Run(test.summary, func(t *testing.T) {
			t.Parallel()
			from, dir := newRoot(t), t.TempDir()+"/cache"
			made := folder(t, dir)
			var paths []store.Path
			bad := map[string]bool{}
			for k := range files {
				paths = append(paths, from.text(fmt.Sprintf("t%d", k), "text"))
				if k < test.many {
					bad["/"+narinfo.Name(paths[k])] = true
				}
			}
			push(t, from, made, cache.PushOptions{}, paths...)
			under := made.Location
			if test.file {
				for name := range bad {
					if err := errors.Join(os.Remove(dir+name), os.Mkdir(dir+name, 0o755)); err != nil {
						t.Fatal(err)
					}
				}
			} else {
				s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if bad[r.URL.Path] {
						test.bad(w, r)
						return
					}
					http.FileServer(http.Dir(dir)).ServeHTTP(w, r)
				}))
				defer s.Close()
				l, err := location.NewWeb(s.URL, location.WebOptions{Pause: time.Millisecond})
				if err != nil {
					t.Fatal(err)
				}
				under = l
			}
			l := &counter{Location: under, opened: map[string]int{}}
			c := &cache.Cache{Location: l}
			for range 2 {
				for k, path := range paths {
					_, err := c.Narinfo(t.Context(), path)
					if want := k >= test.many && test.good; (err == nil) != want || errors.Is(err, store.ErrNotFound) {
						t.Errorf("%s: %v", path.Name(), err)
					}
				}
			}
			asked := 0
			for name := range bad {
				asked += l.opened[name[1:]]
			}
			if asked != test.want {
				t.Errorf("asked for bad ones %d times: %v", asked, l.opened)
			}
		})
	}
}
