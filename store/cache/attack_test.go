// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package cache_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"osbuild/store"
	"osbuild/store/cache"
	"osbuild/store/cache/codec"
	"osbuild/store/cache/location"
	"osbuild/store/cache/narinfo"
	"osbuild/store/cache/nixtest"
	"osbuild/store/cache/policy"
	"osbuild/store/cache/signature"
	"osbuild/store/fsys"
)

// hostile is a cache in a folder that an attacker changes. Its closure is
// that of root.closure; the attack is on the item "self".
type hostile struct {
	t      *testing.T
	dir    string
	secret signature.Secret
	top    store.Path
	self   narinfo.Narinfo
	dep    store.Path
}

func newHostile(t *testing.T) *hostile {
	t.Helper()
	from := newRoot(t)
	h := &hostile{t: t, dir: filepath.Join(t.TempDir(), "cache"), top: from.closure()}
	var err error
	if h.secret, err = signature.Generate("trusted-1"); err != nil {
		t.Fatal(err)
	}
	c := folder(t, h.dir)
	push(t, from, c, cache.PushOptions{}, h.top)
	for _, p := range from.all() {
		switch p.Name() {
		case "self":
			if h.self, err = c.Narinfo(t.Context(), p); err != nil {
				t.Fatal(err)
			}
		case "dep":
			h.dep = p
		}
	}
	return h
}

func (h *hostile) write(name string, text []byte) {
	h.t.Helper()
	if err := os.WriteFile(filepath.Join(h.dir, name), text, 0o644); err != nil {
		h.t.Fatal(err)
	}
}

func (h *hostile) read(name string) []byte {
	h.t.Helper()
	text, err := os.ReadFile(filepath.Join(h.dir, name))
	if err != nil {
		h.t.Fatal(err)
	}
	return text
}

// tell writes the narinfo of the item as change makes it.
func (h *hostile) tell(change func(n *narinfo.Narinfo)) {
	n := h.self
	change(&n)
	h.write(narinfo.Name(h.self.Path), n.Encode())
}

// edit changes the text of its narinfo.
func (h *hostile) edit(old, text string) {
	name := narinfo.Name(h.self.Path)
	h.write(name, bytes.Replace(h.read(name), []byte(old), []byte(text), 1))
}

// archive replaces the archive by another one, of which the narinfo then
// tells the truth but for what the path stands for.
func (h *hostile) archive(compression string, plain []byte, change func(n *narinfo.Narinfo)) {
	var packed bytes.Buffer
	w, err := codec.NewWriter(compression, &packed, -1)
	if err != nil {
		h.t.Fatal(err)
	}
	if _, err := w.Write(plain); err != nil {
		h.t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		h.t.Fatal(err)
	}
	h.write(h.self.URL, packed.Bytes())
	h.tell(func(n *narinfo.Narinfo) {
		n.Compression = compression
		n.NarHash, n.NarSize = sha256.Sum256(plain), int64(len(plain))
		n.FileHash, n.FileSize = sha256.Sum256(packed.Bytes()), int64(packed.Len())
		if change != nil {
			change(n)
		}
	})
}

// trusted makes the item one that only a signature vouches for, and signs it.
func (h *hostile) trusted(n *narinfo.Narinfo) {
	n.CA = ""
	n.Sigs = []string{h.secret.Sign(signature.Item(n.Info))}
}

// plain gives the archive of the item.
func (h *hostile) plain() []byte {
	h.t.Helper()
	r, err := codec.NewReader("zstd", bytes.NewReader(h.read(h.self.URL)))
	if err != nil {
		h.t.Fatal(err)
	}
	defer r.Close()
	var b bytes.Buffer
	if _, err := b.ReadFrom(r); err != nil {
		h.t.Fatal(err)
	}
	return b.Bytes()
}

// oddArchive is a folder with one file of this name.
func oddArchive(name string) []byte {
	var b []byte
	for _, s := range []string{"nix-archive-1", "(", "type", "directory", "entry", "(", "name", name, "node", "(", "type", "regular", "contents", "x", ")", ")", ")"} {
		b = append(b, byte(len(s)), 0, 0, 0, 0, 0, 0, 0)
		b = append(b, s...)
		b = append(b, make([]byte, -len(s)&7)...)
	}
	return b
}

// attacks are what a hostile cache may try. Where download is not set, the
// narinfo tells, and no archive is touched.
var attacks = []struct {
	summary  string
	do       func(h *hostile)
	download bool
	want     string
	// nix says that Nix is shown this too, and must refuse it.
	nix bool
}{
	{"no signature", func(h *hostile) { h.tell(func(n *narinfo.Narinfo) { n.CA = "" }) }, false, "neither a content address nor a signature", true},
	{"a signature of another key", func(h *hostile) {
		other, err := signature.Generate("trusted-1")
		if err != nil {
			h.t.Fatal(err)
		}
		h.tell(func(n *narinfo.Narinfo) { n.CA, n.Sigs = "", []string{other.Sign(signature.Item(n.Info))} })
	}, false, "no signature of a trusted key", true},
	{"a signature for another size", func(h *hostile) {
		h.tell(func(n *narinfo.Narinfo) {
			h.trusted(n)
			n.NarSize++
		})
	}, false, "no signature of a trusted key", true},
	{"a signature for other references", func(h *hostile) {
		h.tell(func(n *narinfo.Narinfo) {
			h.trusted(n)
			n.References = []store.Path{h.dep}
		})
	}, false, "no signature of a trusted key", true},
	{"a content address of something else", func(h *hostile) {
		h.tell(func(n *narinfo.Narinfo) { n.CA = "fixed:r:sha256:" + store.Hash{1}.Base32() })
	}, false, "its content address", true},
	{"a content address that is none", func(h *hostile) { h.tell(func(n *narinfo.Narinfo) { n.CA = "magic:1" }) }, false, "content address", false},
	{"fewer references", func(h *hostile) {
		h.tell(func(n *narinfo.Narinfo) { n.References = []store.Path{n.Path} })
	}, false, "its content address", true},
	{"another path", func(h *hostile) {
		h.edit("-self\nURL", "-other\nURL")
	}, false, "it tells of", false},
	{"the narinfo of another item", func(h *hostile) {
		h.write(narinfo.Name(h.self.Path), h.read(narinfo.Name(h.dep)))
	}, false, "it tells of", false},
	{"another store", func(h *hostile) { h.edit("/osbuild/store", "/nix/store") }, false, "does not start with", false},
	{"too large", func(h *hostile) { h.tell(func(n *narinfo.Narinfo) { n.NarSize = 1 << 40 }) }, false, "are not taken", false},
	{"a file that is too large", func(h *hostile) { h.tell(func(n *narinfo.Narinfo) { n.FileSize = 1 << 40 }) }, false, "are not taken", false},
	{"a missing reference", func(h *hostile) {
		if err := os.Remove(filepath.Join(h.dir, narinfo.Name(h.dep))); err != nil {
			h.t.Fatal(err)
		}
	}, false, "which is in no cache", true},
	{"a size that no archive has", func(h *hostile) { h.tell(func(n *narinfo.Narinfo) { n.NarSize++ }) }, false, "no archive has", true},
	{"an unknown compression", func(h *hostile) { h.tell(func(n *narinfo.Narinfo) { n.Compression = "rar" }) }, false, "cannot read the compression", false},
	{"another file where none is compressed", func(h *hostile) { h.tell(func(n *narinfo.Narinfo) { n.Compression = "none" }) }, false, "another one than its archive", false},
	{"a file outside of the cache", func(h *hostile) { h.edit("URL: nar/", "URL: ../../etc/") }, false, "no name of a file", false},
	{"a page instead", func(h *hostile) { h.write(narinfo.Name(h.self.Path), []byte("<html>\nSorry\n</html>\n")) }, false, "lacks URL", false},
	{"half a narinfo", func(h *hostile) {
		text := h.read(narinfo.Name(h.self.Path))
		h.write(narinfo.Name(h.self.Path), text[:len(text)-10])
	}, false, "torn", false},

	{"a wrong archive hash", func(h *hostile) { h.tell(func(n *narinfo.Narinfo) { n.NarHash[0]++ }) }, true, "hash mismatch", true},
	{"a wrong archive size", func(h *hostile) { h.tell(func(n *narinfo.Narinfo) { n.NarSize += 8 }) }, true, "are announced", true},
	{"too small an archive size", func(h *hostile) { h.tell(func(n *narinfo.Narinfo) { n.NarSize -= 8 }) }, true, "longer than", true},
	{"a wrong file hash", func(h *hostile) { h.tell(func(n *narinfo.Narinfo) { n.FileHash[0]++ }) }, true, "hash mismatch", false},
	{"a wrong file size", func(h *hostile) { h.tell(func(n *narinfo.Narinfo) { n.FileSize++ }) }, true, "are announced", false},
	{"a truncated file", func(h *hostile) {
		b := h.read(h.self.URL)
		h.write(h.self.URL, b[:len(b)-20])
	}, true, "are announced", true},
	{"a truncated file of unknown size", func(h *hostile) {
		b := h.read(h.self.URL)
		h.write(h.self.URL, b[:len(b)-20])
		h.tell(func(n *narinfo.Narinfo) { n.FileSize, n.FileHash = 0, store.Hash{} })
	}, true, "too early", true},
	{"a file that goes on", func(h *hostile) {
		h.write(h.self.URL, append(h.read(h.self.URL), make([]byte, 1<<20)...))
		h.tell(func(n *narinfo.Narinfo) { n.FileSize = 0 })
	}, true, "", false},
	{"a changed byte", func(h *hostile) {
		b := h.read(h.self.URL)
		b[len(b)/2]++
		h.write(h.self.URL, b)
	}, true, "", true},
	{"no file", func(h *hostile) {
		if err := os.Remove(filepath.Join(h.dir, h.self.URL)); err != nil {
			h.t.Fatal(err)
		}
	}, true, "no such file", true},
	{"no data at all", func(h *hostile) {
		h.write(h.self.URL, nil)
		h.tell(func(n *narinfo.Narinfo) { n.FileSize = 0 })
	}, true, "", true},
	{"other content, with its own hashes", func(h *hostile) {
		h.archive("zstd", bytes.Replace(h.plain(), []byte("0123456789abcdef"), []byte("0123456789ABCDEF"), 1), nil)
	}, true, "its content has the address", true},
	{"a bomb", func(h *hostile) {
		h.archive("zstd", make([]byte, 256<<20), func(n *narinfo.Narinfo) { n.NarSize = h.self.NarSize })
	}, true, "nix-archive-1", false},
	{"a bomb in an archive", func(h *hostile) {
		h.archive("gzip", append(h.plain(), make([]byte, 64<<20)...), func(n *narinfo.Narinfo) { n.NarHash, n.NarSize = h.self.NarHash, h.self.NarSize })
	}, true, "longer than", false},
	{"a name that leads out", func(h *hostile) { h.archive("none", oddArchive(".."), h.trusted) }, true, `named ".."`, true},
	{"a name with a slash", func(h *hostile) { h.archive("none", oddArchive("a/b"), h.trusted) }, true, "holds a slash", true},
	{"an empty name", func(h *hostile) { h.archive("none", oddArchive(""), h.trusted) }, true, `named ""`, true},
	{"a name with a NUL", func(h *hostile) { h.archive("none", oddArchive("a\x00"), h.trusted) }, true, "NUL", true},
	{"a circle", func(h *hostile) {
		h.archive("zstd", h.plain(), func(n *narinfo.Narinfo) {
			n.References = []store.Path{h.top}
			h.trusted(n)
		})
	}, true, "refer to each other", false},
}

// TestAttacks holds that nothing of a closure is registered when something is
// wrong with one item of it, and that nothing is left behind.
func TestAttacks(t *testing.T) {
	for _, a := range attacks {
		t.Run(a.summary, func(t *testing.T) {
			t.Parallel()
			h := newHostile(t)
			a.do(h)
			to := newRoot(t)
			l := &counter{Location: location.NewFolder(h.dir, fsys.OS{}), opened: map[string]int{}}
			c, err := cache.Open(t.Context(), l)
			if err != nil {
				t.Fatal(err)
			}
			p := &cache.Puller{Store: to.store, Caches: []*cache.Cache{c}, Policy: policy.Any(signature.Trust{h.secret.Public()})}
			_, err = p.Pull(t.Context(), to.lease, h.top)
			if err == nil || !strings.Contains(err.Error(), a.want) {
				t.Errorf("%v", err)
			}
			if errors.Is(err, store.ErrNotFound) {
				t.Errorf("it counts as missing: %v", err)
			}
			for name := range l.opened {
				if strings.HasPrefix(name, "nar/") && !a.download {
					t.Errorf("%s was read", name)
				}
			}
			to.untouched()
			if a.nix {
				showNix(t, h)
			}
		})
	}
}

// showNix holds that Nix refuses the same.
func showNix(t *testing.T, h *hostile) {
	t.Helper()
	if testing.Short() {
		return
	}
	n := nixtest.New(t)
	if out, err := n.Try("nix", "--option", "trusted-public-keys", h.secret.Public().String(), "copy", "--from", "file://"+h.dir, "--to", n.URI, string(h.top)); err == nil {
		t.Errorf("Nix takes it: %s", out)
	}
}

// TestSoundHostile holds that the attacks fail for what they do: without one
// the closure is taken.
func TestSoundHostile(t *testing.T) {
	h := newHostile(t)
	h.tell(h.trusted)
	to := newRoot(t)
	p := &cache.Puller{Store: to.store, Caches: []*cache.Cache{folder(t, h.dir)}, Policy: policy.Any(signature.Trust{h.secret.Public()})}
	if r, err := p.Pull(t.Context(), to.lease, h.top); err != nil || r.Items != 3 {
		t.Errorf("%+v, %v", r, err)
	}
	to.verify()
}

// TestAttacksOfServers holds the same of what only a server can do.
func TestAttacksOfServers(t *testing.T) {
	for _, c := range []struct {
		summary string
		handler func(w http.ResponseWriter, r *http.Request, plain []byte)
		want    string
	}{
		{"it is silent", func(_ http.ResponseWriter, r *http.Request, _ []byte) { <-r.Context().Done() }, "timeout"},
		{"it is silent in the middle", func(w http.ResponseWriter, r *http.Request, plain []byte) {
			w.Header().Set("Content-Length", strconv.Itoa(len(plain)))
			_, _ = w.Write(plain[:1000]) // the client goes away
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}, "silent"},
		{"it points to a file", func(w http.ResponseWriter, r *http.Request, _ []byte) {
			http.Redirect(w, r, "file:///etc/passwd", http.StatusFound)
		}, "points from http to file"},
		{"it sends without end", func(w http.ResponseWriter, _ *http.Request, plain []byte) {
			_, err := w.Write(plain)
			for err == nil {
				_, err = w.Write(make([]byte, 1<<16))
			}
		}, "longer than announced"},
		{"it compresses a bomb on the way", func(w http.ResponseWriter, _ *http.Request, plain []byte) {
			w.Header().Set("Content-Encoding", "zstd")
			z, err := codec.NewWriter("zstd", w, -1)
			if err == nil {
				_, err = z.Write(plain)
			}
			for err == nil {
				_, err = z.Write(make([]byte, 1<<20))
			}
		}, "longer than announced"},
	} {
		t.Run(c.summary, func(t *testing.T) {
			t.Parallel()
			h := newHostile(t)
			// Not compressed, so that the encoding on the way is allowed.
			plain := h.plain()
			h.self.URL = "nar/x.nar"
			h.archive("none", plain, nil)
			files := http.FileServer(http.Dir(h.dir))
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.HasSuffix(r.URL.Path, "/x.nar") {
					c.handler(w, r, plain)
				} else {
					files.ServeHTTP(w, r)
				}
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
			if _, err := p.Pull(t.Context(), to.lease, h.top); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v", err)
			}
			to.untouched()
		})
	}
}
