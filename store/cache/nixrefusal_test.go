// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package cache_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"osbuild/store"
	"osbuild/store/cache"
	"osbuild/store/cache/location"
	"osbuild/store/cache/narinfo"
	"osbuild/store/cache/nixtest"
)

// shared is a cache in a folder, which Nix or we wrote, with a closure whose
// top needs dep and one more.
type shared struct {
	t        *testing.T
	dir      string
	top, dep store.Path
}

// harms are what makes a cache wrong for both readers.
var harms = []struct {
	summary string
	do      func(c *shared, n narinfo.Narinfo) narinfo.Narinfo
}{
	{"a flipped byte", func(c *shared, n narinfo.Narinfo) narinfo.Narinfo {
		file := filepath.Join(c.dir, n.URL)
		b, err := os.ReadFile(file)
		if err != nil {
			c.t.Fatal(err)
		}
		b[len(b)/2] ^= 0x10
		if err := os.WriteFile(file, b, 0o644); err != nil {
			c.t.Fatal(err)
		}
		return n
	}},
	{"a wrong content address", func(_ *shared, n narinfo.Narinfo) narinfo.Narinfo {
		n.CA = n.CA[:strings.LastIndexByte(n.CA, ':')+1] + store.Hash{1, 2, 3}.Base32()
		return n
	}},
	{"a wrong archive hash", func(_ *shared, n narinfo.Narinfo) narinfo.Narinfo {
		n.NarHash[5] ^= 1
		return n
	}},
	{"a wrong size", func(_ *shared, n narinfo.Narinfo) narinfo.Narinfo {
		n.NarSize += 8
		return n
	}},
	{"a missing reference", func(c *shared, n narinfo.Narinfo) narinfo.Narinfo {
		if err := os.Remove(filepath.Join(c.dir, narinfo.Name(c.dep))); err != nil {
			c.t.Fatal(err)
		}
		return n
	}},
	{"a reference left out", func(c *shared, n narinfo.Narinfo) narinfo.Narinfo {
		n.References = n.References[1:]
		return n
	}},
}

// TestNixRefusals shows damaged caches of each compression, from a folder and
// over HTTP, to Nix and to us: both refuse, and both take the same cache
// without the damage.
func TestNixRefusals(t *testing.T) {
	t.Parallel()
	n := nixtest.New(t)
	from := newRoot(t)
	ourTop := from.closure()
	nixTop, _ := nixItems(t, n)
	for _, compression := range []string{"none", "zstd", "gzip", "xz"} {
		t.Run(compression, func(t *testing.T) {
			whole := &shared{t: t, dir: filepath.Join(t.TempDir(), "cache"), top: ourTop}
			if compression == "xz" { // which we only read
				whole.top = nixTop
				n.Run("nix", "copy", "--from", n.URI, "--to", "file://"+whole.dir+"?compression=xz", string(nixTop))
			} else {
				push(t, from, folder(t, whole.dir), cache.PushOptions{Compression: compression}, ourTop)
			}
			info, err := folder(t, whole.dir).Narinfo(t.Context(), whole.top)
			if err != nil {
				t.Fatal(err)
			}
			whole.dep = info.References[0]
			for _, web := range []bool{false, true} {
				if ours, theirs := whole.read(web); ours != nil || theirs != nil {
					t.Errorf("without damage, http %t: we say %v, Nix %v", web, ours, theirs)
				}
			}
			for _, h := range harms {
				c := &shared{t: t, dir: filepath.Join(t.TempDir(), "cache"), top: whole.top, dep: whole.dep}
				if err := os.CopyFS(c.dir, os.DirFS(whole.dir)); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(c.dir, narinfo.Name(c.top)), h.do(c, info).Encode(), 0o644); err != nil {
					t.Fatal(err)
				}
				for _, web := range []bool{false, true} {
					if ours, theirs := c.read(web); ours == nil || theirs == nil {
						t.Errorf("%s, http %t: we say %v, Nix %v", h.summary, web, ours, theirs)
					}
				}
			}
		})
	}
}

// read lets us and Nix fetch the closure into stores that are empty, and
// checks that what is refused leaves nothing behind here.
func (c *shared) read(web bool) (ours, theirs error) {
	c.t.Helper()
	to := newRoot(c.t)
	remote, uri := folder(c.t, c.dir), "file://"+c.dir
	if web {
		s := httptest.NewServer(http.FileServer(http.Dir(c.dir)))
		defer s.Close()
		l, err := location.NewWeb(s.URL, location.WebOptions{})
		if err == nil {
			remote, err = cache.Open(c.t.Context(), l)
		}
		if err != nil {
			c.t.Fatal(err)
		}
		uri = s.URL
	}
	p := &cache.Puller{Store: to.store, Caches: []*cache.Cache{remote}}
	_, ours = p.Pull(c.t.Context(), to.lease, c.top)
	if ours != nil && len(to.all()) > 0 {
		c.t.Errorf("registered %q", to.all())
	}
	to.verify()
	// One peer has a home of its own, so that it remembers no narinfo.
	fresh := nixtest.New(c.t)
	_, theirs = fresh.Try("nix", "copy", "--from", uri, "--to", fresh.URI, string(c.top))
	return ours, theirs
}

// TestNixListings reads the same listing for the same tree from both sides'
// caches by `nix store ls`, and a file by its place in it.
func TestNixListings(t *testing.T) {
	t.Parallel()
	n := nixtest.New(t)
	from := newRoot(t)
	top := from.closure()
	dir := filepath.Join(t.TempDir(), "cache")
	push(t, from, folder(t, dir), cache.PushOptions{Compression: "none", Listings: true}, top)
	for _, p := range from.all() {
		ours := n.Run("nix", "store", "ls", "--json", "--recursive", "--store", "file://"+dir, string(p))
		var dump bytes.Buffer
		if err := from.store.DumpNAR(t.Context(), p, &dump); err != nil {
			t.Fatal(err)
		}
		if theirs := n.Run("nix", "nar", "ls", "--json", "--recursive", n.Write(p.Base()+".nar", dump.String()), "/"); ours != theirs {
			t.Errorf("%s:\n%s\nby the archive\n%s", p, ours, theirs)
		}
	}
}
