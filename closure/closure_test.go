// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package closure_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"osbuild/closure"
	"osbuild/store"
)

// graph adds n texts of which each refers to some earlier ones, and returns
// them with their references.
func graph(t *testing.T, s *store.Store, n int, r *rand.Rand) ([]store.Path, map[store.Path][]store.Path) {
	t.Helper()
	l, err := s.NewLease(t.Name())
	if err != nil {
		t.Fatal(err)
	}
	var all []store.Path
	refs := map[store.Path][]store.Path{}
	for k := range n {
		var mine []store.Path
		for range min(k, r.IntN(4)) {
			mine = append(mine, all[r.IntN(len(all))])
		}
		i, err := s.AddText(context.Background(), l, "n", fmt.Append(nil, k), mine)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, i.Path)
		refs[i.Path] = i.References
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return all, refs
}

func open(t *testing.T) *store.Store {
	t.Helper()
	s, err := store.Open(filepath.Join(t.TempDir(), "root"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// naive is the definition of a closure.
func naive(refs map[store.Path][]store.Path, p store.Path, into map[store.Path]bool) {
	if !into[p] {
		into[p] = true
		for _, r := range refs[p] {
			naive(refs, r, into)
		}
	}
}

func TestClosure(t *testing.T) {
	s := open(t)
	all, refs := graph(t, s, 300, rand.New(rand.NewPCG(1, 1)))
	for k := 0; k < len(all); k += 7 {
		want := map[store.Path]bool{}
		naive(refs, all[k], want)
		naive(refs, all[k/2], want)
		infos, err := closure.Compute(s, all[k], all[k/2], all[k])
		if err != nil {
			t.Fatal(err)
		}
		var size int64
		var got []store.Path
		for _, i := range infos {
			got = append(got, i.Path)
			size += i.NarSize
			if !want[i.Path] {
				t.Errorf("%s does not belong there", i.Path)
			}
		}
		if len(got) != len(want) || !slices.IsSorted(got) || closure.Size(infos) != size {
			t.Errorf("%d items, want %d", len(got), len(want))
		}
		for _, to := range []store.Path{all[0], all[k/3], all[len(all)-1]} {
			checkChain(t, s, refs, all[k], to)
		}
	}
}

// checkChain checks that a chain is one, and is there exactly where it must.
func checkChain(t *testing.T, s *store.Store, refs map[store.Path][]store.Path, from, to store.Path) {
	t.Helper()
	chain, err := closure.Why(s, from, to)
	if err != nil {
		t.Fatal(err)
	}
	reach := map[store.Path]bool{}
	naive(refs, from, reach)
	if !reach[to] {
		if len(chain) > 0 {
			t.Errorf("a chain to what is not needed: %q", chain)
		}
		return
	}
	if len(chain) == 0 || chain[0] != from || chain[len(chain)-1] != to {
		t.Fatalf("from %s to %s: %q", from, to, chain)
	}
	for k := 1; k < len(chain); k++ {
		if !slices.Contains(refs[chain[k-1]], chain[k]) {
			t.Errorf("%s does not refer to %s", chain[k-1], chain[k])
		}
	}
}

func TestMissing(t *testing.T) {
	s := open(t)
	l, err := s.NewLease("test")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx := context.Background()
	a, err := s.AddText(ctx, l, "a", []byte("a"), nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.AddText(ctx, l, "b", []byte("b"), []store.Path{a.Path})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(s.Root() + "/db/info/" + a.Path.Digest() + ".narinfo"); err != nil {
		t.Fatal(err)
	}
	var missing *closure.Missing
	_, err = closure.Compute(s, b.Path)
	if !errors.As(err, &missing) || missing.Path != a.Path || missing.Referrer != b.Path || !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a missing reference: %v", err)
	}
	_, err = closure.Why(s, a.Path, b.Path)
	if !errors.As(err, &missing) || missing.Path != a.Path || missing.Referrer != "" || !strings.Contains(err.Error(), string(a.Path)) {
		t.Errorf("a missing item: %v", err)
	}
}
