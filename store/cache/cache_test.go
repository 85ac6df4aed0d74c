// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package cache_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"osbuild/store"
	"osbuild/store/cache"
	"osbuild/store/cache/location"
	"osbuild/store/cache/narinfo"
	"osbuild/store/cache/policy"
	"osbuild/store/cache/signature"
	"osbuild/store/fsys"
)

func TestPushPull(t *testing.T) {
	for _, compression := range []string{"", "zstd", "gzip", "none"} {
		t.Run(compression, func(t *testing.T) {
			from, to := newRoot(t), newRoot(t)
			top := from.closure()
			from.text("other", "nobody pushes this")
			dir := filepath.Join(t.TempDir(), "cache")
			c := folder(t, dir)
			o := cache.PushOptions{Compression: compression, Jobs: 2}
			if r := push(t, from, c, o, top); r.Items != 3 || r.Present != 0 || r.Bytes <= 0 || r.FileBytes <= 0 {
				t.Errorf("pushed %+v", r)
			}
			if r := push(t, from, c, o, top); r.Items != 0 || r.Present != 3 {
				t.Errorf("pushed again %+v", r)
			}
			if left, err := filepath.Glob(dir + "/.tmp-*"); err != nil || len(left) > 0 {
				t.Errorf("left in the cache: %q %v", left, err)
			}
			p := &cache.Puller{Store: to.store, Caches: []*cache.Cache{c}}
			r, err := p.Pull(t.Context(), to.lease, top)
			if err != nil || r.Items != 3 {
				t.Fatalf("%+v, %v", r, err)
			}
			to.verify()
			if r, err := p.Pull(t.Context(), to.lease, top); err != nil || r.Items != 0 {
				t.Errorf("pulled again %+v, %v", r, err)
			}
			for _, path := range to.all() {
				here, err := to.store.Info(path)
				if err != nil {
					t.Fatal(err)
				}
				there, err := from.store.Info(path)
				if err != nil {
					t.Fatal(err)
				}
				if here.NarHash != there.NarHash || here.CA != there.CA || !slices.Equal(here.References, there.References) {
					t.Errorf("%+v became %+v", there, here)
				}
			}
		})
	}
}

// TestPushOrder holds that a cache never tells of an item whose closure it
// lacks: at each change of its folder.
func TestPushOrder(t *testing.T) {
	from := newRoot(t)
	top := from.closure()
	dir := filepath.Join(t.TempDir(), "cache")
	watch := &watcher{FS: fsys.OS{}, check: func() { wholeCache(t, dir) }}
	c, err := cache.Create(t.Context(), location.NewFolder(dir, watch))
	if err != nil {
		t.Fatal(err)
	}
	push(t, from, c, cache.PushOptions{Jobs: 2}, top)
	if watch.renames != 7 { // cache-info, and two an item
		t.Errorf("%d files appeared", watch.renames)
	}
}

// wholeCache checks that what the cache tells of is there.
func wholeCache(t *testing.T, dir string) {
	t.Helper()
	texts, err := filepath.Glob(dir + "/*.narinfo")
	if err != nil {
		t.Error(err)
	}
	for _, file := range texts {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Error(err)
			continue
		}
		n, err := narinfo.Parse(text)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		needs := []string{n.URL}
		for _, r := range n.References {
			needs = append(needs, narinfo.Name(r))
		}
		for _, name := range needs {
			if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
				t.Errorf("%s is there and needs %s: %v", n.Path.Name(), name, err)
			}
		}
	}
}

// TestPushFaults lets each change of the cache's folder fail: what is there
// is whole, and another push mends the rest.
func TestPushFaults(t *testing.T) {
	from, to := newRoot(t), newRoot(t)
	top := from.closure()
	points := 0
	for n := int64(1); ; n++ {
		dir := filepath.Join(t.TempDir(), "cache")
		fault := &fsys.Fault{FS: fsys.OS{}, Before: func(k int64, _, _ string) error {
			if k == n {
				return syscall.ENOSPC
			}
			return nil
		}}
		tryPush := func() error {
			c, err := cache.Create(t.Context(), location.NewFolder(dir, fault))
			if err == nil {
				_, err = cache.Push(t.Context(), from.store, c, []store.Path{top}, cache.PushOptions{Listings: true, Jobs: 2})
			}
			return err
		}
		err := tryPush()
		if fault.Count() < n {
			if err != nil {
				t.Fatal(err)
			}
			break
		}
		points++
		if err != nil && !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("point %d: %v", n, err)
		}
		wholeCache(t, dir)
		if err := tryPush(); err != nil {
			t.Errorf("after point %d: %v", n, err)
		}
		wholeCache(t, dir)
		if left, err := filepath.Glob(dir + "/.tmp-*"); err != nil || len(left) > 0 {
			t.Errorf("point %d: left in the cache: %q %v", n, left, err)
		}
		p := &cache.Puller{Store: to.store, Caches: []*cache.Cache{folder(t, dir)}}
		if _, err := p.Pull(t.Context(), to.lease, top); err != nil {
			t.Errorf("after point %d: %v", n, err)
		}
	}
	t.Logf("%d points", points)
	if points < 30 {
		t.Errorf("only %d points", points)
	}
}

// watcher calls check after each file that appears.
type watcher struct {
	fsys.FS
	check   func()
	mu      sync.Mutex
	renames int
}

func (w *watcher) Rename(from, to string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	err := w.FS.Rename(from, to)
	if err == nil {
		w.renames++
		w.check()
	}
	return err
}

// TestDamagedItem holds that what is damaged here is not shared.
func TestDamagedItem(t *testing.T) {
	from := newRoot(t)
	dep := from.text("dep", "a text")
	place := from.store.Physical(dep)
	if err := errors.Join(os.Chmod(place, 0o644), os.WriteFile(place, []byte("A text"), 0o644)); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "cache")
	_, err := cache.Push(t.Context(), from.store, folder(t, dir), []store.Path{dep}, cache.PushOptions{})
	if err == nil || !strings.Contains(err.Error(), "is damaged in the store") {
		t.Errorf("%v", err)
	}
	if found, err := filepath.Glob(dir + "/nar/*"); err != nil || len(found) > 0 {
		t.Errorf("pushed %q, %v", found, err)
	}
}

func TestListing(t *testing.T) {
	from := newRoot(t)
	out := from.output("self", from.text("dep", "a text"))
	dir := filepath.Join(t.TempDir(), "cache")
	push(t, from, folder(t, dir), cache.PushOptions{Compression: "none", Listings: true}, out)
	text, err := os.ReadFile(filepath.Join(dir, narinfo.ListingName(out)))
	if err != nil {
		t.Fatal(err)
	}
	type entry struct {
		Type, Target string
		Size         int
		NarOffset    int
		Executable   bool
		Entries      map[string]entry
	}
	var listing struct {
		Version int
		Root    entry
	}
	if err := json.Unmarshal(text, &listing); err != nil {
		t.Fatal(err)
	}
	me := listing.Root.Entries["bin"].Entries["me"]
	if listing.Version != 1 || listing.Root.Type != "directory" || !me.Executable || listing.Root.Entries["link"].Target != string(out)+"/bin/me" {
		t.Errorf("%s", text)
	}
	n, err := folder(t, dir).Narinfo(t.Context(), out)
	if err != nil {
		t.Fatal(err)
	}
	archive, err := os.ReadFile(filepath.Join(dir, n.URL))
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(from.store.Physical(out) + "/bin/me")
	if err != nil {
		t.Fatal(err)
	}
	if got := archive[me.NarOffset : me.NarOffset+me.Size]; string(got) != string(want) {
		t.Errorf("at its offset stands %q, not %q", got, want)
	}
}

// TestSeveralCaches pulls a closure of which no cache has all.
func TestSeveralCaches(t *testing.T) {
	from, to := newRoot(t), newRoot(t)
	top := from.closure()
	first, second := folder(t, t.TempDir()+"/1"), folder(t, t.TempDir()+"/2")
	push(t, from, first, cache.PushOptions{}, top)
	push(t, from, second, cache.PushOptions{}, top)
	lacking := func(c *cache.Cache, name string) {
		for _, path := range from.all() {
			if path.Name() == name {
				if err := os.Remove(strings.TrimPrefix(c.String(), "file://") + "/" + narinfo.Name(path)); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	lacking(first, "dep")
	lacking(second, "top")
	// And an archive that is gone is taken from where it still is.
	n, err := first.Narinfo(t.Context(), top)
	if err != nil {
		t.Fatal(err)
	}
	third := folder(t, t.TempDir()+"/3")
	push(t, from, third, cache.PushOptions{}, top)
	if err := os.Remove(strings.TrimPrefix(first.String(), "file://") + "/" + n.URL); err != nil {
		t.Fatal(err)
	}
	p := &cache.Puller{Store: to.store, Caches: []*cache.Cache{first, second, third}}
	if r, err := p.Pull(t.Context(), to.lease, top); err != nil || r.Items != 3 {
		t.Errorf("%+v, %v", r, err)
	}
	to.verify()
}

func TestPriority(t *testing.T) {
	var all []*cache.Cache
	for _, priority := range []int{50, 30, 50, 40} {
		all = append(all, &cache.Cache{About: narinfo.About{Priority: priority}})
	}
	got := cache.ByPriority(all)
	if want := []*cache.Cache{all[1], all[3], all[0], all[2]}; !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
}

// TestTogether pulls overlapping closures at once: each item comes once.
func TestTogether(t *testing.T) {
	from, to := newRoot(t), newRoot(t)
	dep := from.output("shared", from.text("dep", "a text"))
	var tops []store.Path
	for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
		tops = append(tops, from.text(name, name+" needs "+string(dep), dep))
	}
	counting := &counter{Location: location.NewFolder(t.TempDir()+"/cache", fsys.OS{}), opened: map[string]int{}}
	c, err := cache.Create(t.Context(), counting)
	if err != nil {
		t.Fatal(err)
	}
	push(t, from, c, cache.PushOptions{}, tops...)
	p := &cache.Puller{Store: to.store, Caches: []*cache.Cache{c}}
	var wg sync.WaitGroup
	for _, top := range tops {
		wg.Go(func() {
			if _, err := p.Pull(t.Context(), to.lease, top); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := to.all(); len(got) != 8 {
		t.Errorf("%d items", len(got))
	}
	for name, n := range counting.opened {
		if strings.HasPrefix(name, "nar/") && n != 1 {
			t.Errorf("%s was read %d times", name, n)
		}
	}
	to.verify()
}

type counter struct {
	location.Location
	mu     sync.Mutex
	opened map[string]int
}

func (c *counter) Open(ctx context.Context, name string) (io.ReadCloser, int64, error) {
	c.mu.Lock()
	c.opened[name]++
	c.mu.Unlock()
	return c.Location.Open(ctx, name)
}

// TestCancelled leaves nothing behind.
func TestCancelled(t *testing.T) {
	from, to := newRoot(t), newRoot(t)
	top := from.closure()
	c := folder(t, t.TempDir()+"/cache")
	push(t, from, c, cache.PushOptions{}, top)
	ctx, cancel := context.WithCancel(t.Context())
	p := &cache.Puller{Store: to.store, Caches: []*cache.Cache{c}, Observe: func(cache.Transfer) { cancel() }}
	if _, err := p.Pull(ctx, to.lease, top); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if all := to.all(); len(all) > 0 {
		t.Errorf("registered %q", all)
	}
	to.verify()
	p.Observe = nil
	if _, err := p.Pull(t.Context(), to.lease, top); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestNotACache(t *testing.T) {
	empty := location.NewFolder(t.TempDir(), fsys.OS{})
	if _, err := cache.Open(t.Context(), empty); err == nil || !strings.Contains(err.Error(), "there is no nix-cache-info") {
		t.Errorf("%v", err)
	}
	if err := location.Write(t.Context(), empty, narinfo.AboutName, []byte("StoreDir: /nix/store\n")); err != nil {
		t.Fatal(err)
	}
	for _, open := range []func(context.Context, location.Location) (*cache.Cache, error){cache.Open, cache.Create} {
		if _, err := open(t.Context(), empty); err == nil || !strings.Contains(err.Error(), "/nix/store") {
			t.Errorf("%v", err)
		}
	}
}

func TestRealisations(t *testing.T) {
	secret, err := signature.Generate("mine-1")
	if err != nil {
		t.Fatal(err)
	}
	other, err := signature.Generate("other-1")
	if err != nil {
		t.Fatal(err)
	}
	from := newRoot(t)
	a, b := from.text("a", "1"), from.text("b", "2")
	key := strings.Repeat("0a", 32)
	r := cache.Realisation{Version: cache.RealisationVersion, Resolved: key, Outputs: map[string]store.Path{"out": a, "lib": b}}
	c := folder(t, t.TempDir()+"/cache")
	unsigned := r
	if err := c.PutRealisation(t.Context(), unsigned); err != nil {
		t.Fatal(err)
	}
	var warned []string
	p := &cache.Puller{Store: from.store, Caches: []*cache.Cache{c}, Policy: policy.Any(signature.Trust{secret.Public()}), Warn: func(text string) { warned = append(warned, text) }}
	for range 2 {
		if _, _, err := p.Realisation(t.Context(), key); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("unsigned: %v", err)
		}
	}
	if len(warned) != 1 || !strings.Contains(warned[0], "--trusted-keys") {
		t.Errorf("warned %q", warned)
	}
	// Signatures add up.
	for _, s := range []signature.Secret{other, secret} {
		signed := r
		signed.Sign(s)
		if err := c.PutRealisation(t.Context(), signed); err != nil {
			t.Fatal(err)
		}
	}
	got, by, err := p.Realisation(t.Context(), key)
	if err != nil || by != c || got.Outputs["lib"] != b || len(got.Signatures) != 2 {
		t.Errorf("%+v, %v", got, err)
	}
	// The first result stands.
	lie := r
	lie.Outputs = map[string]store.Path{"out": b}
	if err := c.PutRealisation(t.Context(), lie); !errors.Is(err, cache.ErrDiffers) {
		t.Errorf("%v", err)
	}
	// A signature is for one build.
	lie.Resolved, lie.Signatures = strings.Repeat("0b", 32), got.Signatures
	if err := c.PutRealisation(t.Context(), lie); err != nil {
		t.Fatal(err)
	}
	if _, _, err := p.Realisation(t.Context(), lie.Resolved); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("another build with the signatures: %v", err)
	}
	c.Trusted = true
	if _, _, err := p.Realisation(t.Context(), lie.Resolved); err != nil {
		t.Errorf("of a trusted cache: %v", err)
	}
}

func TestParseRealisation(t *testing.T) {
	path := "/osbuild/store/zw0fpjqjszp5qcp4r41mj0060yqvyv5x-a"
	key := strings.Repeat("0a", 32)
	sound := `{"version":1,"resolved":"` + key + `","outputs":{"out":"` + path + `"}}`
	for _, c := range []struct{ summary, text, want string }{
		{"sound", sound, ""},
		{"more fields", strings.Replace(sound, `"version"`, `"later":1,"version"`, 1), ""},
		{"of the future", strings.Replace(sound, `:1,`, `:2,`, 1), "version 2"},
		{"upper case key", strings.Replace(sound, "0a", "0A", 1), "is no key"},
		{"short key", strings.Replace(sound, "0a", "", 1), "is no key"},
		{"no outputs", `{"version":1,"resolved":"` + key + `","outputs":{}}`, "no outputs"},
		{"no path", strings.Replace(sound, path, "/etc/passwd", 1), "store path"},
		{"odd output", strings.Replace(sound, `"out"`, `"out=x,b"`, 1), "no name of an output"},
		{"two", sound + sound, "more follows"},
		{"no JSON", "hello", "invalid"},
		{"nothing", "", "EOF"},
	} {
		_, err := cache.ParseRealisation([]byte(c.text))
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v", c.summary, err)
		}
	}
}

// FuzzRealisation holds that two realisations never have one fingerprint.
func FuzzRealisation(f *testing.F) {
	f.Add([]byte(`{"version":1,"resolved":"` + strings.Repeat("0a", 32) + `","outputs":{"out":"/osbuild/store/zw0fpjqjszp5qcp4r41mj0060yqvyv5x-a","b":"/osbuild/store/zw0fpjqjszp5qcp4r41mj0060yqvyv5x-b"},"signatures":["k:x"]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := cache.ParseRealisation(text)
		if err != nil {
			return
		}
		again, err := cache.ParseRealisation(r.Encode())
		if err != nil || again.Fingerprint() != r.Fingerprint() || strings.Count(r.Fingerprint(), "=/osbuild/store/") != len(r.Outputs) {
			t.Errorf("%q became %q, %v", r.Fingerprint(), again.Fingerprint(), err)
		}
	})
}
