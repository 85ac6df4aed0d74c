// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package derivation

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"osbuild/store"
)

// Hasher tells the hash of the NAR of a local tree; *store.Store does.
type Hasher interface {
	HashTree(ctx context.Context, src string, f store.Filter) (store.Hash, int64, error)
}

// Kind says what a path of an evaluation is.
type Kind string

// Kinds of paths.
const (
	// KindText is a text whose path is known.
	KindText Kind = "text"
	// KindSource is a local file or tree.
	KindSource Kind = "source"
	// KindDerivation is an output of a derivation, known by a placeholder.
	KindDerivation Kind = "derivation"
	// KindItem is a path that was given as such and must be in the store.
	KindItem Kind = "item"
)

// Ref is what a string of an evaluation stands for: Path is set, but for
// KindDerivation, for which Drv and Output are.
type Ref struct {
	Kind   Kind
	Drv    Key
	Output string
	Path   store.Path
}

// Graph collects what one evaluation declares. Any goroutine may read it; the
// positions it keeps are those of the first declaration of each thing.
type Graph struct {
	hasher Hasher

	mu      sync.RWMutex
	index   index
	drvs    map[Key]*Derivation
	texts   map[store.Path]TextItem
	sources map[store.Path]SourceItem
	hosts   map[string]string
	hashed  map[string]store.Hash
}

// NewGraph begins an evaluation.
func NewGraph(h Hasher) *Graph {
	return &Graph{
		hasher:  h,
		drvs:    map[Key]*Derivation{},
		texts:   map[store.Path]TextItem{},
		sources: map[store.Path]SourceItem{},
		hosts:   map[string]string{},
		hashed:  map[string]store.Hash{},
	}
}

// Derive adds a derivation and gives the string that stands for its output
// "out", or for the first of Outputs when none is called so; [Placeholder]
// gives the others. What Builder, Args and Env mention becomes an input. The
// error is an *[Error] with d.Pos.
func (g *Graph) Derive(d Derivation) (string, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	s, err := g.derive(d)
	if err != nil {
		return "", &Error{d.Pos, fmt.Errorf("cannot declare %q: %w", d.Name, err)}
	}
	return s, nil
}

func (g *Graph) derive(d Derivation) (string, error) {
	first := "out"
	if len(d.Outputs) > 0 && !slices.Contains(d.Outputs, "out") {
		first = d.Outputs[0]
	}
	d.normalise()
	if err := g.inputs(&d); err != nil {
		return "", err
	}
	d.normalise()
	if err := d.validate(); err != nil {
		return "", err
	}
	for _, h := range d.Host {
		if _, ok := g.hosts[h.Hash]; !ok {
			return "", fmt.Errorf("the host tree at %s is not known to the evaluation", h.Target)
		}
	}
	k := d.Key()
	if g.drvs[k] == nil {
		g.drvs[k] = &d
		for _, o := range d.Outputs {
			g.index.add(Placeholder(k, o, d.Name), Ref{Kind: KindDerivation, Drv: k, Output: o})
		}
	}
	return Placeholder(k, first, d.Name), nil
}

// inputs completes d.Inputs by what its strings mention.
func (g *Graph) inputs(d *Derivation) error {
	for _, in := range d.Inputs {
		if err := in.validate(); err != nil {
			return err
		}
		if in.Drv == "" {
			g.index.add(string(in.Path), Ref{Kind: KindItem, Path: in.Path})
		} else if e := g.drvs[in.Drv]; e == nil || !slices.Contains(e.Outputs, in.Output) {
			return fmt.Errorf("%w: input %s!%s", ErrUnknown, in.Drv, in.Output)
		}
	}
	return d.strings(func(what, s string) error {
		f, err := g.index.scan(s)
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		for _, e := range f.entries {
			d.Inputs = append(d.Inputs, Input{e.ref.Drv, e.ref.Output, e.ref.Path})
		}
		for _, o := range f.selfs {
			if !slices.Contains(d.Outputs, o) {
				return fmt.Errorf("%s: %w: the derivation has no output %q", what, ErrUnknown, o)
			}
		}
		return nil
	})
}

// AddHost tells where a host tree lies whose content has this hash.
func (g *Graph) AddHost(hash, physical string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, ok := g.hosts[hash]; !ok {
		g.hosts[hash] = physical
	}
}

// HostPath tells where the host tree with this hash lies.
func (g *Graph) HostPath(hash string) (string, bool) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	p, ok := g.hosts[hash]
	return p, ok
}

// AddItem makes a path known that is in the store already, so that strings
// which mention it depend on it.
func (g *Graph) AddItem(p store.Path) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.index.add(string(p), Ref{Kind: KindItem, Path: p})
}

// Deps gives the placeholders and then the known paths that s mentions, each
// once.
func (g *Graph) Deps(s string) ([]string, error) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	f, err := g.index.scan(s)
	if err != nil {
		return nil, err
	}
	var deps []string
	for _, e := range f.entries {
		deps = append(deps, e.text)
	}
	return deps, nil
}

// Lookup tells what a placeholder or a known path stands for.
func (g *Graph) Lookup(path string) (Ref, bool) {
	ref, rest, ok := g.Split(path)
	return ref, ok && rest == ""
}

// Split tells what the item is that path lies in, and the rest of the path:
// "" or a string that begins with a slash.
func (g *Graph) Split(path string) (ref Ref, rest string, ok bool) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	const dir = store.Dir + "/"
	if len(path) < len(dir)+digestLen || path[:len(dir)] != dir {
		return Ref{}, "", false
	}
	e := g.index.lookup(path[len(dir):])
	if e == nil || len(path) < len(e.text) || path[:len(e.text)] != e.text {
		return Ref{}, "", false
	}
	if rest = path[len(e.text):]; rest != "" && rest[0] != '/' {
		return Ref{}, "", false
	}
	return e.ref, rest, true
}

// Derivation gives the derivation with this key. It must not be changed.
func (g *Graph) Derivation(k Key) (*Derivation, bool) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	d, ok := g.drvs[k]
	return d, ok
}
