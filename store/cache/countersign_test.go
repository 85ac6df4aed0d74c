// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package cache_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"osbuild/store"
	"osbuild/store/cache"
	"osbuild/store/cache/location"
	"osbuild/store/cache/narinfo"
	"osbuild/store/cache/signature"
	"osbuild/store/fsys"
)

// TestCountersign holds that a push adds its signature to what is there, and
// to nothing else.
func TestCountersign(t *testing.T) {
	from := newRoot(t)
	top := from.closure()
	dir := t.TempDir() + "/cache"
	c := folder(t, dir)
	var trust signature.Trust
	for k, name := range []string{"anna-1", "bert-1"} {
		secret, err := signature.Generate(name)
		if err != nil {
			t.Fatal(err)
		}
		trust = append(trust, secret.Public())
		r := push(t, from, c, cache.PushOptions{Key: &secret}, top)
		if want := (cache.PushResult{Present: 3 * k, Signed: 3 * k}); r.Present != want.Present || r.Signed != want.Signed || r.Items != 3-3*k {
			t.Errorf("%s: %+v", name, r)
		}
		if r := push(t, from, c, cache.PushOptions{Key: &secret}, top); r.Present != 3 || r.Signed != 0 {
			t.Errorf("%s again: %+v", name, r)
		}
	}
	push(t, from, c, cache.PushOptions{}, top)
	for _, path := range from.all() {
		n, err := c.Narinfo(t.Context(), path)
		if err != nil || len(trust.Signers(signature.Item(n.Info), n.Sigs)) != 2 || len(n.Sigs) != 2 {
			t.Errorf("%s: %q, %v", path, n.Sigs, err)
		}
		i, err := from.store.Info(path)
		if err != nil || len(i.Sigs) > 0 {
			t.Errorf("the store has the signatures, too: %q, %v", i.Sigs, err)
		}
	}
	to := newRoot(t)
	if _, err := (&cache.Puller{Store: to.store, Caches: []*cache.Cache{c}}).Pull(t.Context(), to.lease, top); err != nil {
		t.Error(err)
	}
	to.verify()

	// What the cache says otherwise is not signed, nor mended.
	n, err := c.Narinfo(t.Context(), top)
	if err != nil {
		t.Fatal(err)
	}
	lie := n
	lie.NarSize += 8
	for _, text := range [][]byte{lie.Encode(), []byte("nonsense\n")} {
		if err := location.Write(t.Context(), c.Location, narinfo.Name(top), text); err != nil {
			t.Fatal(err)
		}
		secret, err := signature.Generate("carl-1")
		if err != nil {
			t.Fatal(err)
		}
		if r, err := cache.Push(t.Context(), from.store, c, []store.Path{top}, cache.PushOptions{Key: &secret}); err != nil || r.Signed != 2 {
			t.Errorf("%+v, %v", r, err)
		}
		if got, err := os.ReadFile(dir + "/" + narinfo.Name(top)); err != nil || string(got) != string(text) {
			t.Errorf("it became %q, %v", got, err)
		}
	}
}

// hesitant is a folder to which nothing is written at once, so that who reads
// before he writes is overtaken.
type hesitant struct{ *location.Folder }

func (h hesitant) Create(ctx context.Context) (location.Upload, error) {
	time.Sleep(3 * time.Millisecond)
	return h.Folder.Create(ctx)
}

// TestSignersTogether holds that of several who push to one folder at the same
// time, each leaves his signature: of what is new, of what is there, and of
// builds.
func TestSignersTogether(t *testing.T) {
	const signers, builds = 3, 5
	from, dir := newRoot(t), t.TempDir()+"/cache"
	var paths []store.Path
	for k := range 20 {
		paths = append(paths, from.text(fmt.Sprintf("t%d", k), "text", paths[max(0, k-1):]...))
	}
	push(t, from, folder(t, dir), cache.PushOptions{}, paths[:10]...)
	var trust signature.Trust
	var wg sync.WaitGroup
	for k := range signers {
		secret, err := signature.Generate(fmt.Sprintf("key-%d", k))
		if err != nil {
			t.Fatal(err)
		}
		trust = append(trust, secret.Public())
		// Each is as good as a process of its own.
		c := &cache.Cache{Location: hesitant{location.NewFolder(dir, fsys.OS{})}}
		wg.Go(func() {
			if _, err := cache.Push(t.Context(), from.store, c, paths, cache.PushOptions{Key: &secret}); err != nil {
				t.Error(err)
			}
			var list []cache.Realisation
			for n := range builds {
				r := cache.Realisation{Version: cache.RealisationVersion, Resolved: strings.Repeat(fmt.Sprintf("%02x", n), 32), Outputs: map[string]store.Path{"out": paths[n]}}
				r.Sign(secret)
				list = append(list, r)
			}
			if differing, err := c.PutRealisations(t.Context(), list); err != nil || len(differing) > 0 {
				t.Errorf("%q, %v", differing, err)
			}
		})
	}
	wg.Wait()
	c := folder(t, dir)
	for _, path := range paths {
		n, err := c.Narinfo(t.Context(), path)
		if err != nil || len(trust.Signers(signature.Item(n.Info), n.Sigs)) != signers || len(n.Sigs) != signers {
			t.Errorf("%s: %q, %v", path.Name(), n.Sigs, err)
		}
	}
	for n := range builds {
		r, err := c.Realisation(t.Context(), strings.Repeat(fmt.Sprintf("%02x", n), 32))
		if err != nil || len(trust.Signers(r.Fingerprint(), r.Signatures)) != signers {
			t.Errorf("build %d: %q, %v", n, r.Signatures, err)
		}
	}
}

// TestSteps holds that a push tells how many items it has asked for, and of how
// many it has told.
func TestSteps(t *testing.T) {
	from := newRoot(t)
	top := from.closure()
	c := folder(t, t.TempDir()+"/cache")
	secret, err := signature.Generate("anna-1")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		summary         string
		key             *signature.Secret
		asking, telling int
	}{
		{"all is new", nil, 4, 4},
		{"all is there", nil, 4, 0},
		{"all is there, and is signed", &secret, 4, 4},
	} {
		told := map[cache.Step][]int{}
		steps := func(s cache.Step, done, all int) {
			if told[s] = append(told[s], done); all != 3 || done != len(told[s])-1 {
				t.Errorf("%s: %s %d of %d", test.summary, s, done, all)
			}
		}
		push(t, from, c, cache.PushOptions{Key: test.key, Steps: steps}, top)
		if len(told[cache.Asking]) != test.asking || len(told[cache.Telling]) != test.telling {
			t.Errorf("%s: %v", test.summary, told)
		}
	}
}
