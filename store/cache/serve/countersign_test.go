// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package serve_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"osbuild/store"
	"osbuild/store/cache"
	"osbuild/store/cache/signature"
)

// TestCountersign holds that an upload of what is here adds its signatures,
// but not without end, and changes nothing else.
func TestCountersign(t *testing.T) {
	from, to := newRoot(t), newRoot(t)
	top := from.closure()
	s := start(t, to, nil)
	for k := range 66 {
		name := fmt.Sprintf("key-%d", k)
		secret, err := signature.Generate(name)
		if err != nil {
			t.Fatal(err)
		}
		c, err := cache.Open(t.Context(), s.location(t, token))
		if err != nil {
			t.Fatal(err)
		}
		_, err = cache.Push(t.Context(), from.store, c, []store.Path{from.find("dep").Path}, cache.PushOptions{Key: &secret})
		if k < 64 && err != nil || k >= 64 && (err == nil || !strings.Contains(err.Error(), "more than 64 signatures")) {
			t.Fatalf("%s: %v", name, err)
		}
	}
	i, err := to.store.Info(from.find("dep").Path)
	if err != nil || len(i.Sigs) != 64 || i.CA != from.find("dep").CA || i.NarHash != from.find("dep").NarHash {
		t.Errorf("%+v, %v", i, err)
	}
	if to.store.Valid(top) {
		t.Error("what was not pushed is there")
	}
	s.stop()
	to.verify()
}

// TestCountersignTogether holds that of several who push one item at the same
// time, each leaves his signature.
func TestCountersignTogether(t *testing.T) {
	const signers = 6
	from, to := newRoot(t), newRoot(t)
	var paths []store.Path
	for k := range 40 {
		i, err := from.store.AddText(t.Context(), from.lease, fmt.Sprintf("t%d", k), []byte("text"), nil)
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, i.Path)
	}
	s := start(t, to, nil)
	var wg sync.WaitGroup
	for k := range signers {
		secret, err := signature.Generate(fmt.Sprintf("key-%d", k))
		if err != nil {
			t.Fatal(err)
		}
		c, err := cache.Open(t.Context(), s.location(t, token))
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			if _, err := cache.Push(t.Context(), from.store, c, paths, cache.PushOptions{Key: &secret}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, path := range paths {
		if i, err := to.store.Info(path); err != nil || len(i.Sigs) != signers {
			t.Errorf("%s: %d signatures, %v", path.Name(), len(i.Sigs), err)
		}
	}
	s.stop()
	to.verify()
}
