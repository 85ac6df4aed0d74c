// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package service

import (
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// randomGraph is a random list of services whose types extend each other
// without a cycle. Their compute functions count their calls.
type randomGraph struct {
	types    []*Type
	services []*Service
	// computed and composed count calls, by extension and service, and by
	// service.
	computed map[string]int
	composed map[string]int
}

func (g *randomGraph) String() string {
	text := ""
	for _, t := range g.types {
		text += t.Name + " extends"
		for _, e := range t.Extensions {
			text += " " + e.Target.Name
		}
		text += "\n"
	}
	return text + fmt.Sprint("list: ", names(g.services))
}

// newRandomGraph makes types of which each extends only later ones, so that
// there is no cycle, and shuffles the services of them.
func newRandomGraph(r *rand.Rand) *randomGraph {
	g := &randomGraph{computed: map[string]int{}, composed: map[string]int{}}
	for i := range 2 + r.IntN(9) {
		g.types = append(g.types, &Type{Name: fmt.Sprint("t", i)})
	}
	extended := map[*Type]bool{}
	for i, t := range g.types {
		for _, target := range g.types[i+1:] {
			if r.IntN(3) == 0 {
				extended[target] = true
				g.extend(t, target, r.IntN(4))
			}
		}
	}
	for i, t := range g.types {
		switch {
		case !extended[t]:
			for n := range 1 + r.IntN(3) {
				g.services = append(g.services, of(t, fmt.Sprintf("own-%d-%d", i, n)))
			}
		case r.IntN(2) == 0:
			g.services = append(g.services, of(t, fmt.Sprint("own-", i)))
		default:
			t.Default, t.HasDefault = fmt.Sprint("default-", i), true
		}
		if extended[t] || r.IntN(2) == 0 {
			g.extensible(t)
		}
	}
	r.Shuffle(len(g.services), func(i, j int) { g.services[i], g.services[j] = g.services[j], g.services[i] })
	return g
}

// digest stands for a value, so that what is told of it stays short.
func digest(v any) string {
	h := fnv.New64a()
	fmt.Fprint(h, v)
	return fmt.Sprintf("%x", h.Sum64())
}

func (g *randomGraph) extend(t, target *Type, contributions int) {
	t.Extensions = append(t.Extensions, Extension{Target: target, Compute: func(_ *Env, v any) ([]any, error) {
		g.computed[fmt.Sprint(digest(v), ">", target.Name)]++
		return contributed(t, target, v, contributions), nil
	}})
}

func contributed(t, target *Type, v any, n int) []any {
	var out []any
	for i := range n {
		out = append(out, fmt.Sprintf("%s>%s:%d:%s", t.Name, target.Name, i, digest(v)))
	}
	return out
}

func (g *randomGraph) extensible(t *Type) {
	t.Compose = func(_ *Env, contributions []any) (any, error) {
		g.composed[t.Name]++
		return fmt.Sprint(contributions), nil
	}
	t.Extend = func(_ *Env, v, composed any) (any, error) { return fmt.Sprint(v, "+", composed), nil }
}

// model is the fold by its definition: no memory, and the whole list is
// searched for whoever extends a service.
func model(list []*Service, s *Service) string {
	v, _ := s.Get()
	if s.Type.Extend == nil {
		return v.(string)
	}
	var all []any
	for _, from := range list {
		for _, e := range from.Type.Extensions {
			if e.Target == s.Type {
				got, _ := e.Compute(nil, model(list, from))
				all = append(all, got...)
			}
		}
	}
	composed, _ := s.Type.Compose(nil, all)
	v, _ = s.Type.Extend(nil, v, composed)
	return v.(string)
}

// Whatever the graph: contributions come in the order of the list, with those
// added for it last; each extension of a service is computed once, and each
// service composed once, however often anybody asks.
func TestFoldOfRandomGraphs(t *testing.T) {
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 4))
		g := newRandomGraph(r)
		all, err := InstantiateMissing(g.services)
		if err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, g)
		}
		checkCompleted(t, seed, g, all)
		want := map[string]string{}
		for i, s := range all {
			want[fmt.Sprint(i)] = model(all, s)
		}
		clear(g.computed)
		clear(g.composed)
		f, err := NewFolding(&Env{}, all)
		if err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, g)
		}
		// Ask in any order, several times.
		for range 3 {
			s := all[r.IntN(len(all))]
			if len(Find(all, s.Type)) > 1 {
				continue
			}
			if _, err := f.Fold(s.Type); err != nil {
				t.Fatalf("seed %d: %v\n%s", seed, err, g)
			}
		}
		folded, err := f.Services()
		if err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, g)
		}
		if _, err := f.Services(); err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		extensible, extensions := 0, 0
		for i, s := range folded {
			got[fmt.Sprint(i)] = s.Value.(string)
			extensions += len(s.Type.Extensions)
			if s.Type.Extend != nil {
				extensible++
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("seed %d (-want +got):\n%s\n%s", seed, diff, g)
		}
		if n := total(g.computed); n != extensions {
			t.Fatalf("seed %d: %d extensions were computed %d times\n%s", seed, extensions, n, g)
		}
		if n := total(g.composed); n != extensible {
			t.Fatalf("seed %d: %d services were composed %d times\n%s", seed, extensible, n, g)
		}
	}
}

func total(calls map[string]int) int {
	n := 0
	for _, c := range calls {
		n += c
	}
	return n
}

// checkCompleted holds what InstantiateMissing added against what is needed.
func checkCompleted(t *testing.T, seed uint64, g *randomGraph, all []*Service) {
	t.Helper()
	for i, s := range g.services {
		if all[i] != s {
			t.Fatalf("seed %d: the list's own services moved\n%s", seed, g)
		}
	}
	needed := map[*Type]bool{}
	for _, s := range all {
		for _, e := range s.Type.Extensions {
			needed[e.Target] = true
			if len(Find(all, e.Target)) != 1 {
				t.Fatalf("seed %d: there are %d of %s\n%s", seed, len(Find(all, e.Target)), e.Target.Name, g)
			}
		}
	}
	for _, s := range all[len(g.services):] {
		if !needed[s.Type] {
			t.Fatalf("seed %d: %s was added, and nobody needs it\n%s", seed, s.Type.Name, g)
		}
	}
	again, err := InstantiateMissing(all)
	if err != nil || len(again) != len(all) {
		t.Fatalf("seed %d: a complete list grew: %v, %v", seed, names(again), err)
	}
}

// A random graph with one fault is refused, and as that fault.
func TestFaultsInRandomGraphs(t *testing.T) {
	tried := map[string]int{}
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 5))
		g := newRandomGraph(r)
		var from, target *Type
		for _, typ := range g.types {
			if n := len(typ.Extensions); n > 0 {
				from, target = typ, typ.Extensions[r.IntN(n)].Target
			}
		}
		if from == nil {
			continue
		}
		all, err := InstantiateMissing(g.services)
		if err != nil {
			t.Fatal(err)
		}
		var want error
		fault := []string{"cycle", "twice", "closed", "absent", "ambiguous"}[r.IntN(5)]
		switch fault {
		case "cycle":
			g.extensible(from)
			g.extend(target, from, 1)
			want = ErrCycle
		case "twice":
			g.extend(from, target, 1)
			want = ErrDuplicateExtension
		case "closed":
			target.Extend = nil
			want = ErrNotExtensible
		case "absent":
			all = Remove(all, target)
			want = ErrMissingTarget
		case "ambiguous":
			all = append(all, of(target, "another"))
			want = ErrAmbiguousTarget
		}
		if len(Find(all, from)) == 0 {
			continue // nobody extends target
		}
		tried[fault]++
		if _, err := NewFolding(&Env{}, all); !errors.Is(err, want) {
			t.Fatalf("seed %d, %s: %v\n%s", seed, fault, err, g)
		}
	}
	if len(tried) != 5 {
		t.Errorf("not every fault was tried: %v", tried)
	}
}

// Neither a long chain of types nor very many services are a burden.
func TestLargeGraphs(t *testing.T) {
	const depth, width = 5000, 20000
	top := sink("top")
	target := top
	var list []*Service
	for i := range depth {
		link := sink(fmt.Sprint("link", i))
		link.Extensions = []Extension{{Target: target, Compute: func(_ *Env, v any) ([]any, error) { return []any{len(v.([]any))}, nil }}}
		target = link
	}
	leaf := source("leaf", target)
	for i := range width {
		list = append(list, of(leaf, i))
	}
	all, err := InstantiateMissing(list)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != width+depth+1 {
		t.Fatalf("%d services, want %d", len(all), width+depth+1)
	}
	f, err := NewFolding(&Env{}, all)
	if err != nil {
		t.Fatal(err)
	}
	bottom, err := f.Fold(target)
	if err != nil {
		t.Fatal(err)
	}
	values := bottom.Value.([]any)
	for i, v := range values {
		if v != i {
			t.Fatalf("contribution %d is %v", i, v)
		}
	}
	if got, err := f.Fold(top); err != nil || len(values) != width || fmt.Sprint(got.Value) != "[1]" {
		t.Errorf("%d contributions, and %v at the top: %v", len(values), got, err)
	}
}
