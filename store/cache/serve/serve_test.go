// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package serve_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"osbuild/store"
	"osbuild/store/cache"
	"osbuild/store/cache/location"
	"osbuild/store/cache/narinfo"
	"osbuild/store/cache/origin"
	"osbuild/store/cache/serve"
	"osbuild/store/cache/signature"
	"osbuild/store/storetest"
)

const token = "a-token-of-this-test"

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

// closure adds three items, of which the last needs the others.
func (r *root) closure() store.Path {
	r.t.Helper()
	dep, err := r.store.AddText(r.t.Context(), r.lease, "dep", []byte("what others need"), nil)
	if err != nil {
		r.t.Fatal(err)
	}
	dir := filepath.Join(r.t.TempDir(), "tree")
	for name, text := range map[string]string{"bin/x": "#!/bin/sh\n", "share/big": strings.Repeat("0123456789abcdef\n", 30_000), "share/empty": ""} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o755)); err != nil {
			r.t.Fatal(err)
		}
	}
	tree, err := r.store.AddTree(r.t.Context(), r.lease, "tree", dir, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	top, err := r.store.AddText(r.t.Context(), r.lease, "top", []byte("it needs "+string(tree.Path)+" and "+string(dep.Path)), []store.Path{tree.Path, dep.Path})
	if err != nil {
		r.t.Fatal(err)
	}
	return top.Path
}

func (r *root) find(name string) store.Info {
	r.t.Helper()
	infos, err := r.store.Infos()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, i := range infos {
		if i.Path.Name() == name {
			return i
		}
	}
	r.t.Fatalf("there is no %s", name)
	return store.Info{}
}

func (r *root) count() int {
	r.t.Helper()
	all, err := r.store.All()
	if err != nil {
		r.t.Fatal(err)
	}
	return len(all)
}

// verify checks the whole store, and that no lease but this one left
// anything in a folder.
func (r *root) verify() {
	r.t.Helper()
	report, err := r.store.Verify(r.t.Context(), store.VerifyOptions{Contents: true})
	if err != nil || len(report.Problems) > 0 {
		r.t.Errorf("verify: %v %v", err, report.Problems)
	}
	left, err := filepath.Glob(r.store.Root() + "/tmp/*/*")
	if err != nil || len(left) > 0 {
		r.t.Errorf("left behind: %q %v", left, err)
	}
}

// running is a server with its log.
type running struct {
	url  string
	log  *syncBuffer
	stop func()
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// start serves a root until the test ends.
func start(t testing.TB, r *root, change func(*serve.Server)) *running {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	log := &syncBuffer{}
	s := &serve.Server{Origin: &origin.Origin{Store: r.store, Priority: origin.DefaultPriority}, Lease: r.lease, Token: token, Log: log}
	if change != nil {
		change(s)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serving: %v", err)
		}
	})
	t.Cleanup(stop)
	return &running{"http://" + l.Addr().String(), log, stop}
}

func (s *running) location(t testing.TB, token string) *location.Web {
	t.Helper()
	w, err := location.NewWeb(s.url, location.WebOptions{Token: token, TempDir: func() (string, error) { return t.TempDir(), nil }, Pause: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (s *running) cache(t testing.TB) *cache.Cache {
	t.Helper()
	c, err := cache.Open(t.Context(), s.location(t, token))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestPull(t *testing.T) {
	from := newRoot(t)
	top := from.closure()
	for _, compress := range []bool{false, true} {
		to := newRoot(t)
		s := start(t, from, func(s *serve.Server) { s.Compress = compress })
		p := &cache.Puller{Store: to.store, Caches: []*cache.Cache{s.cache(t)}}
		if r, err := p.Pull(t.Context(), to.lease, top); err != nil || r.Items != 3 {
			t.Fatalf("%+v, %v", r, err)
		}
		to.verify()
		s.stop()
		if log := s.log.String(); strings.Count(log, "\n") != 1+3+3 || !strings.Contains(log, " 127.0.0.1 GET /nix-cache-info 200 ") {
			t.Errorf("the log:\n%s", log)
		}
	}
}

// TestRanges reads every kind of part of an archive.
func TestRanges(t *testing.T) {
	from := newRoot(t)
	from.closure()
	s := start(t, from, nil)
	for _, name := range []string{"tree", "top"} {
		i := from.find(name)
		var want bytes.Buffer
		if err := from.store.DumpNAR(t.Context(), i.Path, &want); err != nil {
			t.Fatal(err)
		}
		n, err := s.cache(t).Narinfo(t.Context(), i.Path)
		if err != nil {
			t.Fatal(err)
		}
		size := want.Len()
		for _, c := range []struct {
			spec        string
			status      int
			first, last int
		}{
			{"", 200, 0, size - 1},
			{"bytes=0-0", 206, 0, 0},
			{"bytes=7-", 206, 7, size - 1},
			{"bytes=100-150", 206, 100, 150},
			{"bytes=-9", 206, size - 9, size - 1},
			{fmt.Sprintf("bytes=%d-", size-1), 206, size - 1, size - 1},
			{fmt.Sprintf("bytes=%d-", size), 416, 0, -1},
			{"bytes=5-3", 416, 0, -1},
			{"bytes=-0", 416, 0, -1},
			{"bytes=-00, 7-", 206, 7, size - 1},
			{"Bytes=7-", 206, 7, size - 1},
			{"bytes=1-x", 416, 0, -1},
			{"lines=1-2", 200, 0, size - 1},
			{"7-", 200, 0, size - 1},
			{"bytes=0-0" + strings.Repeat(",1-1", 16), 200, 0, size - 1},
		} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/"+n.URL, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Range", c.spec)
			if c.spec == "" {
				req.Header.Del("Range")
			}
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(res.Body)
			res.Body.Close()
			if err != nil || res.StatusCode != c.status {
				t.Errorf("%s %q: %d, %v", name, c.spec, res.StatusCode, err)
			} else if c.status < 300 && !bytes.Equal(got, want.Bytes()[c.first:c.last+1]) {
				t.Errorf("%s %q: %d bytes, which are others", name, c.spec, len(got))
			}
			if res.Header.Get("Last-Modified") != "" {
				t.Errorf("it lies about the time: %v", res.Header)
			}
			if tag := res.Header.Get("ETag"); c.status < 300 && tag != `"`+i.NarHash.Base32()+`"` {
				t.Errorf("tag %s", tag)
			}
		}
	}
}

func TestFiles(t *testing.T) {
	from := newRoot(t)
	top := from.closure()
	secret, err := signature.Generate("server-1")
	if err != nil {
		t.Fatal(err)
	}
	key, foreign := strings.Repeat("0a", 32), strings.Repeat("0c", 32)
	s := start(t, from, func(s *serve.Server) {
		s.Origin.Key, s.Origin.Priority = &secret, 7
		s.Origin.Built = func(resolved string) (map[string]store.Path, bool, error) {
			if resolved != key && resolved != foreign {
				return nil, false, store.ErrNotFound
			}
			return map[string]store.Path{"out": top}, resolved == key, nil
		}
	})
	w := s.location(t, "")
	about, err := location.Read(t.Context(), w, narinfo.AboutName, 1000)
	if err != nil || string(about) != "StoreDir: /osbuild/store\nWantMassQuery: 1\nPriority: 7\n" {
		t.Errorf("%q, %v", about, err)
	}
	c := s.cache(t)
	n, err := c.Narinfo(t.Context(), top)
	trust := signature.Trust{secret.Public()}
	if err != nil || !slices.Equal(trust.Signers(signature.Item(n.Info), n.Sigs), []string{"server-1"}) || n.FileSize != n.NarSize || n.Registered != (time.Time{}) {
		t.Errorf("%+v, %v", n, err)
	}
	listing, err := location.Read(t.Context(), w, narinfo.ListingName(from.find("tree").Path), 10_000)
	if err != nil || !bytes.Contains(listing, []byte(`"big":{"type":"regular","size":510000,`)) {
		t.Errorf("%s, %v", listing, err)
	}
	r, err := c.Realisation(t.Context(), key)
	if err != nil || r.Outputs["out"] != top || !slices.Equal(trust.Signers(r.Fingerprint(), r.Signatures), []string{"server-1"}) {
		t.Errorf("%+v, %v", r, err)
	}
	// What was built elsewhere the server does not vouch for.
	if r, err = c.Realisation(t.Context(), foreign); err != nil || r.Outputs["out"] != top || len(r.Signatures) > 0 {
		t.Errorf("%+v, %v", r, err)
	}
	for _, name := range []string{
		"", "x", "nar", "nar/x", n.URL + "x", "x" + n.URL, strings.Replace(n.URL, "-1", "-0", 1) + ".nar", "db/info", "root.json",
		"0a1b2c3d4f5g6h7i8j9kalbmcndpfqgr.narinfo", ".narinfo", "a.ls", "osbuild-realisations/x.json", "osbuild-realisations/..%2f..%2froot.json",
		cache.RealisationName(strings.Repeat("0b", 32)), strings.TrimPrefix(string(top), "/"), "..%2froot.json",
	} {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			req, err := http.NewRequestWithContext(t.Context(), method, s.url+"/"+name, nil)
			if err != nil {
				t.Fatal(err)
			}
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if res.StatusCode != http.StatusNotFound {
				t.Errorf("%s %s: %d", method, name, res.StatusCode)
			}
		}
	}
	// Without a token nobody writes.
	s = start(t, from, func(s *serve.Server) { s.Token = "" })
	for _, method := range []string{http.MethodPut, http.MethodPost, http.MethodDelete} {
		req, err := http.NewRequestWithContext(t.Context(), method, s.url+"/nar/x", strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusMethodNotAllowed || res.Header.Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: %d", method, res.StatusCode)
		}
	}
}

// TestDamaged holds that an archive which cannot be read to its end is not
// taken for whole.
func TestDamaged(t *testing.T) {
	from, to := newRoot(t), newRoot(t)
	from.closure()
	i := from.find("tree")
	for _, compress := range []bool{false, true} {
		s := start(t, from, func(s *serve.Server) { s.Compress = compress })
		c := s.cache(t)
		place := from.store.Physical(i.Path) + "/share/big"
		text, err := os.ReadFile(place)
		if err != nil {
			t.Fatal(err)
		}
		text[100_000]++
		if err := errors.Join(os.Chmod(place, 0o755), os.WriteFile(place, text, 0o755)); err != nil {
			t.Fatal(err)
		}
		p := &cache.Puller{Store: to.store, Caches: []*cache.Cache{c}}
		if _, err := p.Pull(t.Context(), to.lease, i.Path); !errors.Is(err, store.ErrWrong) {
			t.Errorf("changed: %v", err)
		}
		if err := os.Truncate(place, 1000); err != nil {
			t.Fatal(err)
		}
		if _, err := p.Pull(t.Context(), to.lease, i.Path); err == nil {
			t.Error("a truncated item was taken")
		}
		s.stop()
		if !strings.Contains(s.log.String(), "another size than registered") {
			t.Errorf("the log:\n%s", s.log)
		}
		text[100_000]--
		if err := os.WriteFile(place, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if n := to.count(); n != 0 {
		t.Errorf("%d items", n)
	}
	to.verify()
}

// TestStop holds that a request under way is finished when the server stops.
func TestStop(t *testing.T) {
	from := newRoot(t)
	from.closure()
	s := start(t, from, nil)
	n, err := s.cache(t).Narinfo(t.Context(), from.find("tree").Path)
	if err != nil {
		t.Fatal(err)
	}
	r, _, err := s.location(t, "").Open(t.Context(), n.URL)
	if err != nil {
		t.Fatal(err)
	}
	stopped := make(chan struct{})
	go func() {
		s.stop()
		close(stopped)
	}()
	if size, err := io.Copy(io.Discard, r); err != nil || size != n.NarSize {
		t.Errorf("%d of %d bytes, %v", size, n.NarSize, err)
	}
	r.Close()
	<-stopped
	if _, err := s.location(t, "").Has(t.Context(), "x"); err == nil {
		t.Error("it still answers")
	}
}

// TestCollection holds that what was just asked for stays.
func TestCollection(t *testing.T) {
	from := newRoot(t)
	top := from.closure()
	if err := from.lease.Close(); err != nil {
		t.Fatal(err)
	}
	s := start(t, from, nil)
	n, err := s.cache(t).Narinfo(t.Context(), top)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := from.store.GC(t.Context(), store.GCOptions{}); err != nil || len(r.Freed) > 0 {
		t.Errorf("%v, %v", r.Freed, err)
	}
	if has, err := s.location(t, "").Has(t.Context(), n.URL); !has || err != nil {
		t.Errorf("%v, %v", has, err)
	}
	s.stop()
	if r, err := from.store.GC(t.Context(), store.GCOptions{}); err != nil || len(r.Freed) != 3 {
		t.Errorf("afterwards: %v, %v", r.Freed, err)
	}
}

// TestPlace pulls from the store of another user, as from a cache.
func TestPlace(t *testing.T) {
	from, to := newRoot(t), newRoot(t)
	top := from.closure()
	s, err := store.Open(from.store.Root(), store.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	place := origin.Place{Origin: &origin.Origin{Store: s, Priority: origin.DefaultPriority}}
	c, err := cache.Open(t.Context(), place)
	if err != nil {
		t.Fatal(err)
	}
	p := &cache.Puller{Store: to.store, Caches: []*cache.Cache{c}}
	if r, err := p.Pull(t.Context(), to.lease, top); err != nil || r.Items != 3 {
		t.Errorf("%+v, %v", r, err)
	}
	to.verify()
	if has, err := place.Has(t.Context(), narinfo.Name(top)); !has || err != nil {
		t.Errorf("%v %v", has, err)
	}
	if _, _, err := place.Open(t.Context(), "x"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
	if _, err := cache.Push(t.Context(), to.store, c, []store.Path{top}, cache.PushOptions{}); err != nil {
		t.Errorf("what is there need not be pushed: %v", err)
	}
	if _, err := place.Create(t.Context()); !errors.Is(err, location.ErrReadOnly) {
		t.Errorf("%v", err)
	}
	if err := place.Close(); err != nil {
		t.Error(err)
	}
}
