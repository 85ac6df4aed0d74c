// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package cache_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"osbuild/store"
	"osbuild/store/cache"
	"osbuild/store/cache/location"
	"osbuild/store/cache/narinfo"
	"osbuild/store/cache/policy"
	"osbuild/store/cache/signature"
	"osbuild/store/fsys"
)

// parties are two caches with the archives of one closure (top needs self and
// dep, and self needs dep), of which only the first one tells by itself, and
// who signs in them.
type parties struct {
	t                *testing.T
	a, b             *hostile
	ca, cb           *cache.Cache
	opened           *openings // in both
	anna, bert, carl signature.Secret
	top, self, dep   narinfo.Narinfo
}

func newParties(t *testing.T) *parties {
	t.Helper()
	p := &parties{t: t, a: newHostile(t), b: newHostile(t)}
	for name, s := range map[string]*signature.Secret{"anna-1": &p.anna, "bert-1": &p.bert, "carl-1": &p.carl} {
		var err error
		if *s, err = signature.Generate(name); err != nil {
			t.Fatal(err)
		}
	}
	p.opened = &openings{names: map[string]bool{}}
	p.ca, p.cb = p.open(p.a), p.open(p.b)
	for path, n := range map[store.Path]*narinfo.Narinfo{p.a.top: &p.top, p.a.self.Path: &p.self, p.a.dep: &p.dep} {
		var err error
		if *n, err = narinfo.Parse(p.a.read(narinfo.Name(path))); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(filepath.Join(p.b.dir, narinfo.Name(path))); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

func (p *parties) open(h *hostile) *cache.Cache {
	p.t.Helper()
	c, err := cache.Open(p.t.Context(), p.opened.of(location.NewFolder(h.dir, fsys.OS{})))
	if err != nil {
		p.t.Fatal(err)
	}
	return c
}

// openings are the names of the files that were read at several places.
type openings struct {
	mu    sync.Mutex
	names map[string]bool
}

type noted struct {
	location.Location
	*openings
}

func (o *openings) of(l location.Location) location.Location { return noted{l, o} }

func (n noted) Open(ctx context.Context, name string) (io.ReadCloser, int64, error) {
	n.mu.Lock()
	n.names[name] = true
	n.mu.Unlock()
	return n.Location.Open(ctx, name)
}

// plain makes a cache tell of an item without a content address.
func (p *parties) plain(h *hostile, n narinfo.Narinfo, sigs ...string) {
	n.CA, n.Sigs = "", sigs
	h.write(narinfo.Name(n.Path), n.Encode())
}

// signed makes a cache tell of an item with its content address, and these
// signatures.
func (p *parties) signed(h *hostile, n narinfo.Narinfo, sigs ...string) {
	n.Sigs = sigs
	h.write(narinfo.Name(n.Path), n.Encode())
}

// by gives the signatures of an item by these keys.
func by(n narinfo.Narinfo, keys ...signature.Secret) (sigs []string) {
	for _, k := range keys {
		sigs = append(sigs, k.Sign(signature.Item(n.Info)))
	}
	return sigs
}

// policy makes a policy of rules.
func (p *parties) policy(rules string) *policy.Policy {
	p.t.Helper()
	text := fmt.Sprintf(`{"version": 1, "trustedKeys": [%q, %q, %q], "rules": [%s]}`, p.anna.Public(), p.bert.Public(), p.carl.Public(), rules)
	read, err := policy.Parse("caches.json", []byte(text))
	if err != nil {
		p.t.Fatal(err)
	}
	return read
}

// archives are the names of those that were asked for.
func (p *parties) archives() (names []string) {
	for name := range p.opened.names {
		if strings.HasPrefix(name, "nar/") {
			names = append(names, name)
		}
	}
	return names
}

// TestPolicyOfItems holds what a policy takes of items, whose signatures may
// lie in several caches, and that nothing is downloaded of what it refuses.
func TestPolicyOfItems(t *testing.T) {
	const (
		both    = `{"name": "both", "for": "items", "keys": ["anna-1", "bert-1"], "signatures": 2}`
		lax     = `{"name": "lax", "for": "items", "keys": ["carl-1", "anna-1"]}`
		far     = `{"name": "far", "for": "items", "names": ["top"], "keys": ["anna-1", "bert-1"], "signatures": 2, "closure": true},` + lax
		near    = `{"name": "near", "for": "items", "names": ["top"], "keys": ["anna-1", "bert-1"], "signatures": 2},` + lax
		pinned  = `{"name": "pinned", "for": "content-addressed", "names": ["self"], "keys": ["anna-1"]}`
		all     = `{"name": "all", "for": "content-addressed", "names": ["top"], "keys": ["anna-1"], "closure": true}`
		hasOnly = `wants signatures of anna-1 and bert-1, and of these it has `
	)
	for _, c := range []struct {
		summary, rules string
		do             func(p *parties)
		want           string // of the error; "" where it is taken
	}{
		{"two signatures in one cache", both, func(p *parties) { p.plain(p.a, p.self, by(p.self, p.anna, p.bert)...) }, ""},
		{"one in each of two", both, func(p *parties) {
			p.plain(p.a, p.self, by(p.self, p.anna)...)
			p.plain(p.b, p.self, by(p.self, p.bert)...)
		}, ""},
		{"one", both, func(p *parties) { p.plain(p.a, p.self, by(p.self, p.anna)...) }, hasOnly + "1: anna-1"},
		{"the same one in both", both, func(p *parties) {
			p.plain(p.a, p.self, by(p.self, p.anna)...)
			p.plain(p.b, p.self, by(p.self, p.anna)...)
		}, hasOnly + "1: anna-1"},
		{"the same one under two names", both, func(p *parties) {
			p.plain(p.a, p.self, by(p.self, p.anna)[0], strings.Replace(by(p.self, p.anna)[0], "anna-1", "bert-1", 1))
		}, hasOnly + "1: anna-1"},
		{"a key that does not count", both, func(p *parties) { p.plain(p.a, p.self, by(p.self, p.anna, p.carl)...) }, hasOnly + "1: anna-1"},
		{"a signature of another item", both, func(p *parties) {
			p.plain(p.a, p.self, append(by(p.self, p.anna), by(p.dep, p.bert)...)...)
		}, hasOnly + "1: anna-1"},
		{"a signature of other bytes in the other cache", both, func(p *parties) {
			p.plain(p.a, p.self, by(p.self, p.anna)...)
			other := p.self
			other.NarSize++
			p.plain(p.b, other, by(other, p.bert)...)
		}, hasOnly + "1: anna-1"},
		{"a cache leaves signatures out", both, func(p *parties) {
			p.plain(p.a, p.self)
			p.plain(p.b, p.self, by(p.self, p.anna, p.bert)...)
		}, ""},
		{"all leave them out", both, func(p *parties) {
			p.plain(p.a, p.self)
			p.plain(p.b, p.self)
		}, hasOnly + "none"},
		{"many that are worth nothing come first", both, func(p *parties) {
			p.plain(p.a, p.self, append(strings.Split(strings.Repeat("bert-1:AAAA ", 300), " "), by(p.self, p.anna)...)[100:]...)
			p.plain(p.b, p.self, by(p.self, p.bert)...)
		}, ""},
		{"a cache is not used for the rule", both + `, {"name": "x", "for": "realisations", "keys": ["anna-1"]}`, func(p *parties) {
			p.cb.Rules = []string{"x"}
			p.plain(p.a, p.self, by(p.self, p.anna)...)
			p.plain(p.b, p.self, by(p.self, p.anna, p.bert)...)
		}, `not used for what the rule "both" decides`},
		{"a cache is trusted", both, func(p *parties) {
			p.ca.Trusted = true
			p.plain(p.a, p.self)
		}, ""},
		{"a cache is trusted for another rule", both, func(p *parties) {
			p.ca.Trusted, p.ca.Rules = true, []string{"x"}
			p.plain(p.a, p.self)
		}, "not used for"},
		{"no rule", `{"name": "x", "for": "realisations", "keys": ["anna-1"]}`, func(p *parties) {
			p.plain(p.a, p.self, by(p.self, p.anna)...)
		}, `no rule of caches.json is for items named "self"`},
		{"a rule for other names", `{"name": "x", "for": "items", "names": ["sel", "self?"], "keys": ["anna-1"]}`, func(p *parties) {
			p.plain(p.a, p.self, by(p.self, p.anna)...)
		}, `no rule of caches.json is for items named "self"`},

		{"what an item needs is the business of its own rule", near, func(p *parties) {
			p.plain(p.a, p.top, by(p.top, p.anna, p.bert)...)
			p.plain(p.a, p.self, by(p.self, p.carl)...)
		}, ""},
		{"unless the rule reaches further", far, func(p *parties) {
			p.plain(p.a, p.top, by(p.top, p.anna, p.bert)...)
			p.plain(p.a, p.self, by(p.self, p.carl)...)
		}, `which /osbuild/store/` + `PATH-top needs: not what it says it is: the rule "far"`},
		{"and is satisfied", far, func(p *parties) {
			p.plain(p.a, p.top, by(p.top, p.anna)...)
			p.plain(p.b, p.top, by(p.top, p.bert)...)
			p.plain(p.a, p.self, by(p.self, p.carl, p.anna)...)
			p.plain(p.b, p.self, by(p.self, p.bert)...)
		}, ""},
		{"it reaches through what needs no signature", far, func(p *parties) {
			p.plain(p.a, p.top, by(p.top, p.anna, p.bert)...)
			p.plain(p.a, p.dep, by(p.dep, p.carl)...)
		}, `the rule "far"`},
		{"another cache has what it reaches as it should be", far, func(p *parties) {
			p.plain(p.a, p.top, by(p.top, p.anna, p.bert)...)
			lie := p.dep
			lie.NarHash[0]++
			p.plain(p.a, lie, by(lie, p.carl)...)
			p.plain(p.b, p.dep, by(p.dep, p.anna, p.bert)...)
		}, ""},
		{"the archive comes from elsewhere, where too few have signed", far, func(p *parties) {
			p.plain(p.a, p.top, by(p.top, p.anna, p.bert)...)
			p.plain(p.a, p.dep, by(p.dep, p.anna, p.bert)...)
			other := p.dep
			other.NarHash[0]++
			p.plain(p.b, other, by(other, p.carl)...)
			if err := os.Remove(filepath.Join(p.a.dir, p.dep.URL)); err != nil {
				p.t.Fatal(err)
			}
		}, "no such file"},

		{"an address where a signature is wanted, too", pinned, func(p *parties) {}, `the rule "pinned" (caches.json:1:`},
		{"an address and a signature", pinned, func(p *parties) { p.signed(p.a, p.self, by(p.self, p.anna)...) }, ""},
		{"an address and a signature elsewhere", pinned, func(p *parties) { p.signed(p.b, p.self, by(p.self, p.anna)...) }, ""},
		{"an address that is wrong, and a signature", pinned, func(p *parties) {
			n := p.self
			n.CA = "fixed:r:sha256:" + store.Hash{1}.Base32()
			p.signed(p.a, n, by(n, p.anna)...)
			p.signed(p.b, n, by(n, p.anna)...)
		}, "its content address"},
		{"the closure of one with an address", all, func(p *parties) {
			p.signed(p.a, p.top, by(p.top, p.anna)...)
			p.signed(p.a, p.self, by(p.self, p.anna)...)
		}, `the rule "all"`},
		{"the closure of one with an address, signed", all, func(p *parties) {
			for _, n := range []narinfo.Narinfo{p.top, p.self, p.dep} {
				p.signed(p.a, n, by(n, p.anna)...)
			}
		}, ""},
	} {
		t.Run(c.summary, func(t *testing.T) {
			t.Parallel()
			p := newParties(t)
			c.do(p)
			to := newRoot(t)
			puller := &cache.Puller{Store: to.store, Caches: []*cache.Cache{p.ca, p.cb}, Policy: p.policy(c.rules)}
			_, err := puller.Pull(t.Context(), to.lease, p.a.top)
			want := strings.Replace(c.want, "PATH", p.a.top.Digest(), 1)
			switch {
			case want == "" && err != nil:
				t.Error(err)
			case want == "":
				if n := len(to.all()); n != 3 {
					t.Errorf("%d items", n)
				}
			case err == nil || !strings.Contains(err.Error(), want):
				t.Errorf("%v", err)
			default:
				if all := to.all(); len(all) > 0 {
					t.Errorf("registered %q", all)
				}
				if got := p.archives(); len(got) > 0 && want != "no such file" {
					t.Errorf("asked for %q", got)
				}
			}
			to.verify()
		})
	}
}

// TestSignaturesStay holds that the store keeps the signatures of all caches,
// so that they can be passed on.
func TestSignaturesStay(t *testing.T) {
	p, to := newParties(t), newRoot(t)
	p.plain(p.a, p.self, by(p.self, p.anna)...)
	p.plain(p.b, p.self, append(by(p.self, p.bert), "dora-1:x")...)
	puller := &cache.Puller{Store: to.store, Caches: []*cache.Cache{p.ca, p.cb}, Policy: p.policy(`{"name": "r", "for": "items", "keys": ["anna-1", "bert-1"], "signatures": 2}`)}
	if _, err := puller.Pull(t.Context(), to.lease, p.a.top); err != nil {
		t.Fatal(err)
	}
	i, err := to.store.Info(p.self.Path)
	if err != nil || len(i.Sigs) != 2 || len((signature.Trust{p.anna.Public(), p.bert.Public()}).Signers(signature.Item(i), i.Sigs)) != 2 {
		t.Errorf("%q, %v", i.Sigs, err)
	}
}

// teller makes a cache tell of a build, signed by keys.
type teller func(to *cache.Cache, r cache.Realisation, keys ...signature.Secret)

// TestPolicyOfBuilds holds what a policy takes of what caches say of builds,
// and that nothing else is asked before.
func TestPolicyOfBuilds(t *testing.T) {
	const (
		two   = `{"name": "two", "for": "realisations", "keys": ["anna-1", "bert-1", "carl-1"], "signatures": 2}`
		parts = `{"name": "parts", "for": "realisations", "names": ["dep"], "keys": ["carl-1"]},` + two
		lacks = `the rule "two" (caches.json:1:`
	)
	key := strings.Repeat("0a", 32)
	for _, c := range []struct {
		summary, rules string
		do             func(p *parties, r cache.Realisation, tell teller)
		want           string // of the warning; "" where it is believed
	}{
		{"two of three in one cache", two, func(p *parties, r cache.Realisation, tell teller) {
			tell(p.ca, r, p.carl, p.bert)
		}, ""},
		{"one in each", two, func(p *parties, r cache.Realisation, tell teller) {
			tell(p.ca, r, p.carl)
			tell(p.cb, r, p.anna)
		}, ""},
		{"one in both", two, func(p *parties, r cache.Realisation, tell teller) {
			tell(p.ca, r, p.carl)
			tell(p.cb, r, p.carl)
		}, "and of these it has 1: carl-1"},
		{"one under two names", two, func(p *parties, r cache.Realisation, tell teller) {
			r.Signatures = []string{strings.Replace(p.carl.Sign(r.Fingerprint()), "carl", "anna", 1)}
			tell(p.ca, r, p.carl)
		}, "and of these it has 1: carl-1"},
		{"none", two, func(p *parties, r cache.Realisation, tell teller) {
			tell(p.ca, r)
		}, "and of these it has none"},
		{"a cache leaves signatures out", two, func(p *parties, r cache.Realisation, tell teller) {
			tell(p.ca, r)
			tell(p.cb, r, p.carl, p.anna)
		}, ""},
		{"signatures of another build", two, func(p *parties, r cache.Realisation, tell teller) {
			other := r
			other.Resolved = strings.Repeat("0b", 32)
			other.Sign(p.anna)
			other.Sign(p.bert)
			r.Signatures = other.Signatures
			tell(p.ca, r)
		}, "and of these it has none"},
		{"signatures of an item", two, func(p *parties, r cache.Realisation, tell teller) {
			r.Signatures = by(p.top, p.anna, p.bert)
			tell(p.ca, r)
		}, "and of these it has none"},
		{"each cache tells of another result", two, func(p *parties, r cache.Realisation, tell teller) {
			tell(p.ca, r, p.anna)
			r.Outputs = map[string]store.Path{"out": p.self.Path}
			tell(p.cb, r, p.bert)
		}, lacks},
		{"the believed one of two results", two, func(p *parties, r cache.Realisation, tell teller) {
			lie := r
			lie.Outputs = map[string]store.Path{"out": p.self.Path}
			tell(p.ca, lie, p.anna)
			tell(p.cb, r, p.bert, p.carl)
		}, ""},
		{"a cache is not used for the rule", two, func(p *parties, r cache.Realisation, tell teller) {
			p.cb.Rules = []string{"x"}
			tell(p.ca, r, p.anna)
			tell(p.cb, r, p.bert)
		}, "and of these it has 1: anna-1"},
		{"a cache is trusted", two, func(p *parties, r cache.Realisation, tell teller) {
			p.cb.Trusted, p.cb.Rules = true, []string{"two"}
			tell(p.cb, r)
		}, ""},
		{"a cache is trusted for another rule", two, func(p *parties, r cache.Realisation, tell teller) {
			p.cb.Trusted, p.cb.Rules = true, []string{"x"}
			tell(p.cb, r)
		}, "and of these it has none"},
		{"each output has its rule", parts, func(p *parties, r cache.Realisation, tell teller) {
			r.Outputs = map[string]store.Path{"out": p.top.Path, "lib": p.dep.Path}
			tell(p.ca, r, p.anna, p.carl)
		}, ""},
		{"the rule of one output is not that of all", parts, func(p *parties, r cache.Realisation, tell teller) {
			r.Outputs = map[string]store.Path{"out": p.top.Path, "lib": p.dep.Path}
			tell(p.ca, r, p.carl)
		}, lacks},
		{"no rule", `{"name": "x", "for": "items", "keys": ["anna-1"]}`, func(p *parties, r cache.Realisation, tell teller) {
			tell(p.ca, r, p.anna)
		}, `no rule of caches.json is for realisations named "top"`},
	} {
		t.Run(c.summary, func(t *testing.T) {
			t.Parallel()
			p := newParties(t)
			r := cache.Realisation{Version: cache.RealisationVersion, Resolved: key, Outputs: map[string]store.Path{"out": p.top.Path}}
			c.do(p, r, func(to *cache.Cache, r cache.Realisation, keys ...signature.Secret) {
				t.Helper()
				for _, k := range keys {
					r.Sign(k)
				}
				if err := to.PutRealisation(t.Context(), r); err != nil {
					t.Fatal(err)
				}
			})
			var warned []string
			puller := &cache.Puller{Store: newRoot(t).store, Caches: []*cache.Cache{p.ca, p.cb}, Policy: p.policy(c.rules), Warn: func(text string) { warned = append(warned, text) }}
			got, by, err := puller.Realisation(t.Context(), key)
			switch {
			case c.want == "" && (err != nil || by == nil || got.Outputs["out"] != p.top.Path || len(warned) > 0):
				t.Errorf("%+v, %v, %q", got, err, warned)
			case c.want != "" && (!errors.Is(err, store.ErrNotFound) || !strings.Contains(strings.Join(warned, "\n"), c.want)):
				t.Errorf("%+v, %v, %q", got, err, warned)
			}
			for name := range p.opened.names {
				if name != cache.RealisationName(key) && name != narinfo.AboutName {
					t.Errorf("%s was asked for", name)
				}
			}
		})
	}
}
