// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package realise_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"osbuild/builder/derivation"
	"osbuild/builder/realise"
	"osbuild/store"
)

// otherRoot is a substituter that has what another store has, but for what is
// in lacks.
type otherRoot struct {
	store *store.Store
	known map[string]map[string]store.Path // by resolved key
	lacks map[string]bool                  // names of items

	mu      sync.Mutex
	fetched []string
}

func (o *otherRoot) Name() string { return "other" }

func (o *otherRoot) Realisation(_ context.Context, k derivation.Key) (map[string]store.Path, error) {
	return o.known[string(k)], nil
}

func (o *otherRoot) Fetch(ctx context.Context, l *store.Lease, p store.Path) error {
	i, err := o.store.Info(p)
	if err != nil || o.lacks[p.Name()] {
		return store.ErrNotFound
	}
	o.mu.Lock()
	o.fetched = append(o.fetched, p.Name())
	o.mu.Unlock()
	return o.copy(ctx, l, i)
}

func (o *otherRoot) copy(ctx context.Context, l *store.Lease, i store.Info) error {
	for _, r := range i.References {
		ref, err := o.store.Info(r)
		if err == nil && r != i.Path {
			err = o.copy(ctx, l, ref)
		}
		if err != nil {
			return err
		}
	}
	var b bytes.Buffer
	if err := o.store.DumpNAR(ctx, i.Path, &b); err != nil {
		return err
	}
	to := ctx.Value(o).(*store.Store)
	a, err := to.Unpack(ctx, l, i, &b)
	if err != nil {
		return err
	}
	return to.Admit(ctx, l, a)
}

// chain declares three derivations, of which each needs the one before, and
// the last mentions the second.
func chain(t *testing.T, g *derivation.Graph) (first, second, third string) {
	derive := func(name, text string) string {
		return must(t)(g.Derive(derivation.Derivation{Name: name, Builder: "/write", Env: map[string]string{"text": text}}))
	}
	first = derive("first", "1")
	second = must(t)(g.Derive(derivation.Derivation{Name: "second", Builder: "/write", Args: []string{first}, Env: map[string]string{"text": "2"}}))
	third = derive("third", "it needs "+second)
	return first, second, third
}

// TestLocated holds that what was built elsewhere is fetched without what was
// needed to build it.
func TestLocated(t *testing.T) {
	elsewhere := newWorld(t, programs{"/write": write})
	g := elsewhere.graph()
	_, _, third := chain(t, g)
	elsewhere.realise(g, third)
	ref, _ := g.Lookup(third)
	trace, err := realise.Trace(elsewhere.store, ref.Drv)
	if err != nil || len(trace) != 3 {
		t.Fatalf("%+v, %v", trace, err)
	}
	all := map[string]map[string]store.Path{}
	for _, r := range trace {
		all[string(r.Resolved)] = r.Outputs
		if outs, here, err := realise.Recorded(elsewhere.store, string(r.Resolved)); err != nil || !here || outs["out"] != r.Outputs["out"] {
			t.Errorf("recorded: %v, %v", outs, err)
		}
	}
	without := func(name string) map[string]map[string]store.Path {
		some := map[string]map[string]store.Path{}
		for k, outs := range all {
			if outs["out"].Name() != name {
				some[k] = outs
			}
		}
		return some
	}
	for _, c := range []struct {
		summary string
		known   map[string]map[string]store.Path
		lacks   []string
		fetched string
		built   string
		planned string // to fetch
	}{
		{"all is known", all, nil, "third", "", "third"},
		{"the last is not known", without("third"), nil, "second", "third", "second"},
		{"the first is not known", without("first"), nil, "second third", "first", ""},
		{"the last is known and not there", all, []string{"third"}, "second", "third", "third"},
		{"nothing is there", all, []string{"first", "second", "third"}, "", "first second third", "third"},
		{"nothing is known", nil, nil, "", "first second third", ""},
	} {
		t.Run(c.summary, func(t *testing.T) {
			w := newWorld(t, programs{"/write": write})
			sub := &otherRoot{store: elsewhere.store, known: c.known, lacks: map[string]bool{}}
			for _, name := range c.lacks {
				sub.lacks[name] = true
			}
			w.r.Substituters = []realise.Substituter{sub}
			g := w.graph()
			_, _, third := chain(t, g)
			plan, err := w.r.Plan(t.Context(), g, third)
			if err != nil {
				t.Fatal(err)
			}
			var planned []string
			for _, f := range plan.Fetch {
				planned = append(planned, f.Path.Name())
			}
			if got := strings.Join(planned, " "); got != c.planned {
				t.Errorf("planned to fetch %q, want %q", got, c.planned)
			}
			w.seen.take()
			paths, err := w.r.Realise(context.WithValue(t.Context(), sub, w.store), g, third)
			if err != nil {
				t.Fatal(err)
			}
			if paths[0] != all[string(trace[0].Resolved)]["out"] && paths[0].Name() != "third" {
				t.Errorf("%q", paths)
			}
			built := strings.Join(w.seen.built(), " ")
			slices.Sort(sub.fetched)
			if got := strings.Join(sub.fetched, " "); got != c.fetched || built != c.built {
				t.Errorf("fetched %q, built %q; want %q and %q", got, built, c.fetched, c.built)
			}
			// Who built what is recorded.
			for key, outs := range all {
				name := outs["out"].Name()
				if _, here, err := realise.Recorded(w.store, key); err == nil && here != slices.Contains(strings.Fields(c.built), name) {
					t.Errorf("%s: built here: %v", name, here)
				}
			}
			// It is remembered.
			sub.fetched = nil
			if _, err := w.r.Realise(context.WithValue(t.Context(), sub, w.store), g, third); err != nil || len(sub.fetched) > 0 {
				t.Errorf("again: fetched %q, %v", sub.fetched, err)
			}
			w.verify()
		})
	}
}

// TestLocatedHere holds that what was built here stands before what others
// built, so that the two never mix.
func TestLocatedHere(t *testing.T) {
	elsewhere := newWorld(t, programs{"/write": write})
	g := elsewhere.graph()
	_, _, third := chain(t, g)
	elsewhere.realise(g, third)
	ref, _ := g.Lookup(third)
	trace, err := realise.Trace(elsewhere.store, ref.Drv)
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]map[string]store.Path{}
	for _, r := range trace {
		known[string(r.Resolved)] = r.Outputs
	}
	// Here the second one turns out in another way.
	w := newWorld(t, programs{"/write": func(p *process) error {
		p.env["text"] += " here"
		return write(p)
	}})
	g = w.graph()
	_, second, third := chain(t, g)
	own := w.realise(g, second)[0]
	sub := &otherRoot{store: elsewhere.store, known: known}
	w.r.Substituters = []realise.Substituter{sub}
	paths, err := w.r.Realise(context.WithValue(t.Context(), sub, w.store), g, third)
	if err != nil {
		t.Fatal(err)
	}
	if len(sub.fetched) > 0 {
		t.Errorf("fetched %q", sub.fetched)
	}
	if i, err := w.store.Info(paths[0]); err != nil || !slices.Contains(i.References, own) {
		t.Errorf("%+v, %v", i, err)
	}
}

func TestRecorded(t *testing.T) {
	w := newWorld(t, programs{"/write": write})
	g := w.graph()
	first, _, _ := chain(t, g)
	p := w.realise(g, first)[0]
	i, err := w.store.Info(p)
	if err != nil {
		t.Fatal(err)
	}
	ref, _ := g.Lookup(first)
	if keys, err := realise.Derivers(w.store, []store.Info{{Deriver: "x"}, i, {}}); err != nil || !slices.Equal(keys, []derivation.Key{ref.Drv}) {
		t.Errorf("%q, %v", keys, err)
	}
	key := strings.Repeat("0a", 32)
	for _, text := range []string{"", "{}", `{"outputs":{"out":"/etc"}}`} {
		if err := w.store.PutRecord("realised", key, []byte(text)); err != nil {
			t.Fatal(err)
		}
		if _, _, err := realise.Recorded(w.store, key); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%q: %v", text, err)
		}
	}
	for _, bad := range []string{"", "x", "../realised/x", strings.Repeat("0b", 32)} {
		if _, _, err := realise.Recorded(w.store, bad); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if trace, err := realise.Trace(w.store, derivation.Key(key)); err != nil || len(trace) > 0 {
		t.Errorf("%+v, %v", trace, err)
	}
}
