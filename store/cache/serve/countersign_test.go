// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package serve_test

import (
	"fmt"
	"strings"
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
