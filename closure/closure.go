// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

// Package closure answers what a store item needs: everything it refers to,
// directly or not.
//
// It owns the walk over references and what is computed from it. It never
// changes the store and never looks into an item: the info files say all.
// Start with [Compute].
package closure

import (
	"cmp"
	"fmt"
	"slices"

	"osbuild/store"
)

// Missing is the error of a closure that is not whole: an item that is needed
// has no info. errors.Is(err, store.ErrNotFound) holds for it.
type Missing struct {
	Path     store.Path // what is missing
	Referrer store.Path // what refers to it; empty where it was asked for itself
	Err      error
}

func (e *Missing) Error() string {
	if e.Referrer == "" {
		return fmt.Sprintf("cannot compute a closure: %s is not in the store", e.Path)
	}
	return fmt.Sprintf("cannot compute a closure: %s, which %s refers to, is not in the store (osbuild store verify shows what else is wrong)", e.Path, e.Referrer)
}

func (e *Missing) Unwrap() error { return e.Err }

// Compute returns the infos of paths and of all they refer to, sorted by
// path.
func Compute(s *store.Store, paths ...store.Path) ([]store.Info, error) {
	_, infos, err := walk(s, paths, "")
	if err != nil {
		return nil, err
	}
	slices.SortFunc(infos, func(a, b store.Info) int { return cmp.Compare(a.Path, b.Path) })
	return infos, nil
}

// Size returns the sum of the archive sizes of infos.
func Size(infos []store.Info) int64 {
	var n int64
	for _, i := range infos {
		n += i.NarSize
	}
	return n
}

// Why returns a shortest chain of references that leads from one item to
// another, both included. It is empty where there is none.
func Why(s *store.Store, from, to store.Path) ([]store.Path, error) {
	parents, _, err := walk(s, []store.Path{from}, to)
	if err != nil {
		return nil, err
	}
	if _, ok := parents[to]; !ok {
		return nil, nil
	}
	chain := []store.Path{to}
	for p := parents[to]; p != ""; p = parents[p] {
		chain = append(chain, p)
	}
	slices.Reverse(chain)
	return chain, nil
}

// walk goes breadth first, so that parents holds shortest ways. It ends early
// at the item to, if that is given.
func walk(s *store.Store, paths []store.Path, to store.Path) (parents map[store.Path]store.Path, infos []store.Info, err error) {
	parents = make(map[store.Path]store.Path)
	var queue []store.Path
	for _, p := range paths {
		if _, seen := parents[p]; !seen {
			parents[p] = ""
			queue = append(queue, p)
		}
	}
	for len(queue) > 0 {
		p := queue[0]
		queue = queue[1:]
		info, err := s.Info(p)
		if err != nil {
			return nil, nil, &Missing{Path: p, Referrer: parents[p], Err: err}
		}
		infos = append(infos, info)
		if p == to {
			return parents, infos, nil
		}
		for _, r := range info.References {
			if _, seen := parents[r]; !seen {
				parents[r] = p
				queue = append(queue, r)
			}
		}
	}
	return parents, infos, nil
}
