// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package cache_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"osbuild/store"
	"osbuild/store/cache"
	"osbuild/store/cache/location"
	"osbuild/store/cache/narinfo"
	"osbuild/store/cache/policy"
	"osbuild/store/cache/signature"
	"osbuild/store/fsys"
)

// gated holds some files back.
type gated struct {
	location.Location
	gates map[string]chan struct{} // closed when it may be read
}

func (g gated) Open(ctx context.Context, name string) (io.ReadCloser, int64, error) {
	if gate := g.gates[name]; gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return nil, 0, ctx.Err()
		}
	}
	return g.Location.Open(ctx, name)
}

// pullBoth pulls two items that share a third. The second call joins the
// flight of the first one, and goes on when the first one has ended.
func pullBoth(t *testing.T, p *cache.Puller, l *store.Lease, first, second, shared store.Path, come, goOn chan struct{}) (firstErr, secondErr error) {
	t.Helper()
	users := func(n int) {
		t.Helper()
		for range 2000 {
			if p.Users(shared) == n {
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
		t.Fatalf("the flight never had %d users", n)
	}
	errs := [2]chan error{make(chan error, 1), make(chan error, 1)}
	pull := func(k int, path store.Path) {
		_, err := p.Pull(t.Context(), l, path)
		errs[k] <- err
	}
	go pull(0, first)
	users(1)
	go pull(1, second)
	users(2)
	close(come)
	firstErr = <-errs[0]
	close(goOn)
	return firstErr, <-errs[1]
}

// TestOtherFails holds that a call goes on whose item came for another call,
// where that one cannot register what it wanted besides.
func TestOtherFails(t *testing.T) {
	h := newHostile(t)
	from, to := newRoot(t), newRoot(t)
	dep := from.text("dep", "what others need")
	side := from.text("side", "it needs "+string(dep), dep)
	c := folder(t, h.dir)
	push(t, from, c, cache.PushOptions{}, side)
	h.archive("zstd", h.plain(), func(n *narinfo.Narinfo) {
		n.References = []store.Path{h.top, dep} // which refers to it
		h.trusted(n)
	})
	gates := map[string]chan struct{}{}
	for _, path := range []store.Path{dep, side} {
		n, err := c.Narinfo(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		gates[n.URL] = make(chan struct{})
	}
	n, err := c.Narinfo(t.Context(), dep)
	if err != nil {
		t.Fatal(err)
	}
	come := gates[n.URL]
	if n, err = c.Narinfo(t.Context(), side); err != nil {
		t.Fatal(err)
	}
	c.Location = gated{c.Location, gates}
	p := &cache.Puller{Store: to.store, Caches: []*cache.Cache{c}, Policy: policy.Any(signature.Trust{h.secret.Public()})}
	first, second := pullBoth(t, p, to.lease, h.top, side, dep, come, gates[n.URL])
	if !errors.Is(first, store.ErrWrong) || !strings.Contains(first.Error(), "refer to each other") {
		t.Errorf("the first call: %v", first)
	}
	if second != nil || !to.store.Valid(side) || !to.store.Valid(dep) || to.store.Valid(h.top) {
		t.Errorf("the second call: %v", second)
	}
	to.verify()
}

// TestStricterTogether holds that a call does not take what came for another
// call of which less is asked, unless it would have taken it, too.
func TestStricterTogether(t *testing.T) {
	const rules = `
{"name": "strict", "for": "content-addressed", "names": ["top"], "keys": ["anna-1"], "closure": true},
{"name": "lax", "for": "items", "keys": ["anna-1", "carl-1"]}`
	for _, test := range []struct {
		summary string
		signers func(p *parties, n narinfo.Narinfo) []string // of what the first call takes
		other   bool                                         // with other bytes
		want    string
	}{
		{"of the key that the stricter one wants", func(p *parties, n narinfo.Narinfo) []string { return by(n, p.anna) }, false, ""},
		{"the same by another key", func(p *parties, n narinfo.Narinfo) []string { return by(n, p.carl) }, false, ""},
		{"other bytes by another key", func(p *parties, n narinfo.Narinfo) []string { return by(n, p.carl) }, true, `the rule "strict"`},
	} {
		t.Run(test.summary, func(t *testing.T) {
			t.Parallel()
			ps := newParties(t)
			archive := ps.a.plain()
			if test.other {
				archive = bytes.Replace(archive, []byte("0123456789abcdef"), []byte("0123456789ABCDEF"), 1)
			}
			var lax narinfo.Narinfo
			ps.a.archive("zstd", archive, func(n *narinfo.Narinfo) {
				n.CA = ""
				n.Sigs = test.signers(ps, *n)
				lax = *n
			})
			strict := ps.self
			strict.URL = "nar/strict.nar.zst"
			ps.b.write(strict.URL, ps.b.read(ps.self.URL))
			ps.signed(ps.b, strict, by(strict, ps.anna)...)
			ps.signed(ps.a, ps.top, by(ps.top, ps.anna)...)
			ps.signed(ps.a, ps.dep, by(ps.dep, ps.anna)...)
			come, goOn := make(chan struct{}), make(chan struct{})
			gates := map[string]chan struct{}{lax.URL: come, ps.top.URL: goOn}
			ca, cb := &cache.Cache{Location: gated{location.NewFolder(ps.a.dir, fsys.OS{}), gates}}, &cache.Cache{Location: location.NewFolder(ps.b.dir, fsys.OS{})}
			to := newRoot(t)
			p := &cache.Puller{Store: to.store, Caches: []*cache.Cache{ca, cb}, Policy: ps.policy(rules)}
			first, second := pullBoth(t, p, to.lease, ps.self.Path, ps.top.Path, ps.self.Path, come, goOn)
			if first != nil {
				t.Errorf("the first call: %v", first)
			}
			if test.want == "" && second != nil || test.want != "" && (!errors.Is(second, store.ErrWrong) || !strings.Contains(second.Error(), test.want)) {
				t.Errorf("the second call: %v", second)
			}
			if valid := to.store.Valid(ps.top.Path); valid != (test.want == "") {
				t.Errorf("what asks for more is valid: %v", valid)
			}
		})
	}
}
