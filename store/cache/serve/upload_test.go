// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package serve_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"osbuild/store"
	"osbuild/store/cache"
	"osbuild/store/cache/codec"
	"osbuild/store/cache/location"
	"osbuild/store/cache/narinfo"
	"osbuild/store/cache/policy"
	"osbuild/store/cache/serve"
	"osbuild/store/cache/signature"
)

func TestPush(t *testing.T) {
	for _, compression := range []string{"zstd", "gzip", "none"} {
		from, to := newRoot(t), newRoot(t)
		top := from.closure()
		s := start(t, to, nil)
		r, err := cache.Push(t.Context(), from.store, s.cache(t), []store.Path{top}, cache.PushOptions{Compression: compression, Listings: true, Jobs: 2})
		if err != nil || r.Items != 3 {
			t.Fatalf("%s: %+v, %v", compression, r, err)
		}
		if to.count() != 3 {
			t.Errorf("%s: %d items", compression, to.count())
		}
		s.stop()
		to.verify()
	}
}

// TestPushTogether pushes from several places at once, items with one archive
// too.
func TestPushTogether(t *testing.T) {
	to := newRoot(t)
	s := start(t, to, nil)
	var wg sync.WaitGroup
	for k := range 3 {
		from := newRoot(t)
		paths := []store.Path{from.closure()}
		for _, name := range []string{"a", "b"} {
			i, err := from.store.AddText(t.Context(), from.lease, name, []byte("the same"), nil)
			if err != nil {
				t.Fatal(err)
			}
			paths = append(paths, i.Path)
		}
		i, err := from.store.AddText(t.Context(), from.lease, "own", []byte{byte(k)}, nil)
		if err != nil {
			t.Fatal(err)
		}
		c := s.cache(t)
		wg.Go(func() {
			if _, err := cache.Push(t.Context(), from.store, c, append(paths, i.Path), cache.PushOptions{Jobs: 2}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := to.count(); n != 3+2+3 {
		t.Errorf("%d items", n)
	}
	s.stop()
	to.verify()
}

// put sends a file and gives the status.
func put(t *testing.T, s *running, auth, name string, body []byte) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, s.url+"/"+name, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if auth != "" {
		req.Header.Set("Authorization", auth)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var text bytes.Buffer
	_, _ = text.ReadFrom(res.Body) // for the message
	return res.StatusCode, text.String()
}

func TestToken(t *testing.T) {
	s := start(t, newRoot(t), nil)
	for _, c := range []struct {
		auth string
		want int
	}{
		{"", 401},
		{"Bearer ", 401},
		{"Bearer another", 401},
		{token, 401},
		{"Bearer " + token + "x", 401},
		{"Basic dXNlcjp4", 401},
		{"Bearer " + token, 201},
		{"Basic dXNlcjphLXRva2VuLW9mLXRoaXMtdGVzdA==", 201},
	} {
		if got, text := put(t, s, c.auth, "nar/x", []byte("x")); got != c.want {
			t.Errorf("%q: %d %s", c.auth, got, text)
		}
	}
}

// TestUploadRefusals holds that nothing is registered but what was checked.
func TestUploadRefusals(t *testing.T) {
	from, to := newRoot(t), newRoot(t)
	from.closure()
	s := start(t, to, func(s *serve.Server) { s.MaxSize = 1 << 20 })
	tree := from.find("tree")
	var archive bytes.Buffer
	if err := from.store.DumpNAR(t.Context(), tree.Path, &archive); err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	z, err := codec.NewWriter("zstd", &packed, -1)
	if err != nil {
		t.Fatal(err)
	}
	z.Write(archive.Bytes())
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	hash := store.Hash(sha256.Sum256(packed.Bytes()))
	bearer := "Bearer " + token
	sound := narinfo.Narinfo{Info: tree, URL: narinfo.NarName(hash, ".zst"), Compression: "zstd", FileHash: hash, FileSize: int64(packed.Len())}
	if code, text := put(t, s, bearer, sound.URL, packed.Bytes()); code != 201 {
		t.Fatalf("%d %s", code, text)
	}
	if has, err := s.location(t, "").Has(t.Context(), sound.URL); !has || err != nil {
		t.Errorf("what was uploaded is not seen: %v", err)
	}
	if _, _, err := s.location(t, "").Open(t.Context(), sound.URL); err == nil {
		t.Error("what is not checked can be read")
	}
	wrong := hash
	wrong[0]++
	for _, c := range []struct {
		summary string
		name    string // "" for the narinfo's own
		change  func(n *narinfo.Narinfo)
		code    int
		want    string
	}{
		{"under another name", "0a1b2c3d4f5g6h7i8j9kalbmcndpfqgr.narinfo", nil, 400, "under another name"},
		{"no such archive", "", func(n *narinfo.Narinfo) { n.URL = "nar/other" }, 409, "is not here"},
		{"wrong archive hash", "", func(n *narinfo.Narinfo) { n.NarHash = wrong }, 422, "hash mismatch"},
		{"wrong size", "", func(n *narinfo.Narinfo) { n.NarSize++ }, 422, "are announced"},
		{"too small a size", "", func(n *narinfo.Narinfo) { n.NarSize -= 8 }, 422, "longer than"},
		{"too large", "", func(n *narinfo.Narinfo) { n.NarSize = 2 << 20 }, 422, "more than 1048576"},
		{"wrong file hash", "", func(n *narinfo.Narinfo) { n.FileHash = wrong }, 422, "has the hash"},
		{"another compression", "", func(n *narinfo.Narinfo) { n.Compression = "gzip" }, 422, "damaged"},
		{"unknown compression", "", func(n *narinfo.Narinfo) { n.Compression = "rar" }, 422, "cannot read the compression"},
		{"no address", "", func(n *narinfo.Narinfo) { n.CA = "" }, 422, "no signature"},
		{"another address", "", func(n *narinfo.Narinfo) { n.CA = "fixed:r:sha256:" + wrong.Base32() }, 422, "content address"},
		{"unknown address", "", func(n *narinfo.Narinfo) { n.CA = "magic:" + n.NarHash.String() }, 422, "content address"},
		{"more references", "", func(n *narinfo.Narinfo) { n.References = []store.Path{from.find("dep").Path} }, 422, "content address"},
	} {
		n := sound
		if c.change != nil {
			c.change(&n)
		}
		name := c.name
		if name == "" {
			name = narinfo.Name(n.Path)
		}
		code, text := put(t, s, bearer, name, n.Encode())
		if code != c.code || !strings.Contains(text, c.want) {
			t.Errorf("%s: %d %s", c.summary, code, text)
		}
		if to.count() != 0 {
			t.Fatalf("%s: it was registered", c.summary)
		}
	}
	// A text that refers to what is not here.
	top := from.find("top")
	if code, text := put(t, s, bearer, narinfo.Name(top.Path), narinfo.Narinfo{Info: top, URL: sound.URL, Compression: "none"}.Encode()); code != 409 || !strings.Contains(text, "push that first") {
		t.Errorf("a hole: %d %s", code, text)
	}
	for _, c := range []struct {
		name, body string
		code       int
	}{
		{"nar/" + hash.Base32() + ".nar", "other bytes", 400},
		{"nar/../x", "x", 404},
		{"nar/a/b", "x", 404},
		{"nar/..", "x", 404},
		{"nar/.x", "x", 404},
		{"x", "x", 404},
		{"root.json", "x", 404},
		{"nar/large", strings.Repeat("x", 1<<20+1), 413},
		{narinfo.Name(tree.Path), "nonsense", 400},
		{narinfo.AboutName, "StoreDir: /nix/store\n", 400},
		{narinfo.AboutName, "StoreDir: /osbuild/store\n", 201},
		{narinfo.ListingName(tree.Path), "{}", 201},
		{cache.RealisationName("x"), "{}", 400},
	} {
		if code, text := put(t, s, bearer, c.name, []byte(c.body)); code != c.code && code != 301 {
			t.Errorf("%s: %d %s", c.name, code, text)
		}
	}
	// After all that, the sound one.
	if code, text := put(t, s, bearer, narinfo.Name(tree.Path), sound.Encode()); code != 201 {
		t.Errorf("%d %s", code, text)
	}
	if code, text := put(t, s, bearer, narinfo.Name(tree.Path), sound.Encode()); code != 201 {
		t.Errorf("again: %d %s", code, text)
	}
	if to.count() != 1 {
		t.Errorf("%d items", to.count())
	}
	s.stop()
	to.verify()
	if left, err := filepath.Glob(to.store.Root() + "/leases/*"); err != nil || len(left) != 1 {
		t.Errorf("leases: %q %v", left, err)
	}
}

func TestRealisationUploads(t *testing.T) {
	to := newRoot(t)
	top := to.closure()
	s := start(t, to, nil)
	secret, err := signature.Generate("builder-1")
	if err != nil {
		t.Fatal(err)
	}
	r := cache.Realisation{Version: cache.RealisationVersion, Resolved: strings.Repeat("0a", 32), Outputs: map[string]store.Path{"out": top}}
	r.Sign(secret)
	c := s.cache(t)
	for range 2 {
		if err := c.PutRealisation(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := s.cache(t).Realisation(t.Context(), r.Resolved); err != nil || got.Fingerprint() != r.Fingerprint() || len(got.Signatures) != 1 {
		t.Errorf("%+v, %v", got, err)
	}
	other := r
	other.Outputs = map[string]store.Path{"out": to.find("dep").Path}
	if code, text := put(t, s, "Bearer "+token, cache.RealisationName(r.Resolved), other.Encode()); code != 409 {
		t.Errorf("another result: %d %s", code, text)
	}
	if code, text := put(t, s, "Bearer "+token, cache.RealisationName(strings.Repeat("0b", 32)), r.Encode()); code != 400 {
		t.Errorf("under another name: %d %s", code, text)
	}
	s.stop()
	to.verify()
}

// TestRealisationInTheWay holds that what anybody claims of a build gives way
// to the word of a trusted key, and that this one stands.
func TestRealisationInTheWay(t *testing.T) {
	to := newRoot(t)
	top, dep := to.closure(), to.find("dep").Path
	secret, err := signature.Generate("builder-1")
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := signature.Generate("builder-1")
	if err != nil {
		t.Fatal(err)
	}
	s := start(t, to, func(s *serve.Server) { s.Policy = policy.Any(signature.Trust{secret.Public()}) })
	resolved := strings.Repeat("0a", 32)
	for _, c := range []struct {
		summary string
		out     store.Path
		key     *signature.Secret
		status  int
		stands  store.Path
	}{
		{"nobody", top, nil, 201, top},
		{"nobody else", dep, nil, 409, top},
		{"a stranger of the same name", dep, &stranger, 409, top},
		{"who is trusted", dep, &secret, 201, dep},
		{"nobody again", top, nil, 409, dep},
		{"who is trusted, with another result", top, &secret, 409, dep},
	} {
		r := cache.Realisation{Version: cache.RealisationVersion, Resolved: resolved, Outputs: map[string]store.Path{"out": c.out}}
		if c.key != nil {
			r.Sign(*c.key)
		}
		if code, text := put(t, s, "Bearer "+token, cache.RealisationName(resolved), r.Encode()); code != c.status {
			t.Errorf("%s: %d %s", c.summary, code, text)
		}
		if got, err := s.cache(t).Realisation(t.Context(), resolved); err != nil || got.Outputs["out"] != c.stands {
			t.Errorf("%s: %v stands, %v", c.summary, got.Outputs, err)
		}
	}
}

// TestAnsweredUploads holds that what is answered is durable, also where
// somebody else registered it a moment ago.
func TestAnsweredUploads(t *testing.T) {
	to := newRoot(t)
	to.closure()
	pending := func() []string {
		t.Helper()
		all, err := filepath.Glob(to.store.Root() + "/pending/*/*")
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	if len(pending()) == 0 {
		t.Fatal("nothing is pending")
	}
	s := start(t, to, nil)
	i := to.find("dep")
	n := narinfo.Narinfo{Info: i, URL: "nar/x", Compression: "none"}
	if code, text := put(t, s, "Bearer "+token, narinfo.Name(i.Path), n.Encode()); code != 201 {
		t.Fatalf("%d %s", code, text)
	}
	if left := pending(); len(left) > 0 {
		t.Errorf("it was answered and waits for the disk: %q", left)
	}
}

// TestCollectedUploads holds that a collection between two uploads of a push
// takes nothing that the next one refers to.
func TestCollectedUploads(t *testing.T) {
	from, to := newRoot(t), newRoot(t)
	top := from.closure()
	s := start(t, to, nil)
	l := &collecting{s.location(t, token), to}
	c, err := cache.Open(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := cache.Push(t.Context(), from.store, c, []store.Path{top}, cache.PushOptions{Jobs: 2}); err != nil || r.Items != 3 || to.count() != 3 {
		t.Errorf("%+v, %d items, %v", r, to.count(), err)
	}
	s.stop()
	if r, err := to.store.GC(t.Context(), store.GCOptions{}); err != nil || len(r.Freed) != 3 {
		t.Errorf("afterwards: %v, %v", r.Freed, err)
	}
}

// collecting is a location whose store is collected after each upload.
type collecting struct {
	location.Location
	to *root
}

func (c *collecting) Create(ctx context.Context) (location.Upload, error) {
	u, err := c.Location.Create(ctx)
	return &collectingUpload{u, c.to}, err
}

type collectingUpload struct {
	location.Upload
	to *root
}

func (u *collectingUpload) Commit(ctx context.Context, name string) error {
	err := u.Upload.Commit(ctx, name)
	if r, gcErr := u.to.store.GC(ctx, store.GCOptions{}); gcErr != nil || len(r.Freed) > 0 {
		u.to.t.Errorf("after %s: %v, %v", name, r.Freed, gcErr)
	}
	return err
}
