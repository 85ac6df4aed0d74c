// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package cache_test

import (
	"os"
	"testing"

	"osbuild/store"
	"osbuild/store/cache"
	"osbuild/store/cache/location"
	"osbuild/store/cache/narinfo"
	"osbuild/store/cache/signature"
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
