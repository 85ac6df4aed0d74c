// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package derivation

import (
	"context"
	"fmt"
	"slices"

	"osbuild/store"
)

// TextItem is a text whose path is known at evaluation.
type TextItem struct {
	Name       string
	Text       string
	Executable bool
	Refs       []store.Path
	Pos        Position
}

// SourceItem is a local file or tree.
type SourceItem struct {
	Name     string
	Physical string
	Filter   store.Filter
	Pos      Position
}

// Text declares a file with this text and gives its path: the final one when
// the text mentions nothing but known paths, otherwise the placeholder of a
// derivation that fills the text in. The error is an *[Error] with pos.
func (g *Graph) Text(name, text string, executable bool, pos Position) (string, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	s, err := g.text(name, text, executable, pos)
	if err != nil {
		return "", &Error{pos, fmt.Errorf("cannot declare text %q: %w", name, err)}
	}
	return s, nil
}

func (g *Graph) text(name, text string, executable bool, pos Position) (string, error) {
	f, err := g.index.scan(text)
	if err != nil {
		return "", err
	}
	if len(f.selfs) > 0 {
		return "", fmt.Errorf("%w: only a derivation's arguments and environment can mention its own output", ErrUnknown)
	}
	var refs []store.Path
	for _, e := range f.entries {
		if e.ref.Kind == KindDerivation {
			d := Derivation{
				Name: name, Builder: BuiltinPrefix + BuiltinText, Version: VersionText,
				Env: map[string]string{"text": text}, Pos: pos,
			}
			if executable {
				d.Env["executable"] = "1"
			}
			return g.derive(d)
		}
		refs = append(refs, e.ref.Path)
	}
	slices.Sort(refs)
	var p store.Path
	if executable {
		h, _ := store.ExecutableHash([]byte(text))
		p, err = store.SourcePath(name, h, refs, false)
	} else {
		p, err = store.TextPath(name, []byte(text), refs)
	}
	if err != nil {
		return "", err
	}
	if _, ok := g.texts[p]; !ok {
		g.texts[p] = TextItem{name, text, executable, refs, pos}
		g.index.add(string(p), Ref{Kind: KindText, Path: p})
	}
	return string(p), nil
}

// TextItem gives the text whose path is p.
func (g *Graph) TextItem(p store.Path) (TextItem, bool) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	t, ok := g.texts[p]
	return t, ok
}

// Source declares the local file or tree at physical and gives its path. It
// hashes the tree now; the store gets it when something needs it. filterKey
// identifies f, so that one tree with one filter is hashed once an
// evaluation; "" with a filter means that it is hashed each time. The error
// is an *[Error] with pos.
func (g *Graph) Source(ctx context.Context, name, physical string, f store.Filter, filterKey string, pos Position) (string, error) {
	p, err := g.source(ctx, name, physical, f, filterKey, pos)
	if err != nil {
		return "", &Error{pos, fmt.Errorf("cannot declare source %q: %w", name, err)}
	}
	return string(p), nil
}

func (g *Graph) source(ctx context.Context, name, physical string, f store.Filter, filterKey string, pos Position) (store.Path, error) {
	memo := physical + "\x00" + filterKey
	g.mu.RLock()
	h, ok := g.hashed[memo]
	g.mu.RUnlock()
	if f != nil && filterKey == "" {
		ok = false
	}
	if !ok {
		var err error
		// Not under the lock: a filter may be a function of the declaration,
		// which may use the graph.
		if h, _, err = g.hasher.HashTree(ctx, physical, f); err != nil {
			return "", err
		}
	}
	p, err := store.SourcePath(name, h, nil, false)
	if err != nil {
		return "", err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.hashed[memo] = h
	if _, ok := g.sources[p]; !ok {
		g.sources[p] = SourceItem{name, physical, f, pos}
		g.index.add(string(p), Ref{Kind: KindSource, Path: p})
	}
	return p, nil
}

// SourceItem gives the local file or tree whose path is p.
func (g *Graph) SourceItem(p store.Path) (SourceItem, bool) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	s, ok := g.sources[p]
	return s, ok
}
