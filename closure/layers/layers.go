// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

// Package layers decides which parts of an image go into which layer.
//
// An image that is exported again after a change should share as many layers
// as it can with the one before: who has the old one then pulls little. So a
// part has a layer of its own where the budget of layers allows it, and where
// it does not, small parts share one that is chosen by their names alone.
//
// It owns that choice. It never writes anything and does not know what the
// parts hold. Start with [Pack].
package layers

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"slices"

	"osbuild/closure/segment"
)

// Part is what cannot be divided between layers: the files of one item.
type Part struct {
	// Name decides, without what looks like a version in it, which parts the
	// part shares a layer with.
	Name string
	// Size is the sum of the sizes of its files.
	Size int64
	// Parents are the folders that it stands in and shares with other parts.
	// Their entries are the same in all of these.
	Parents []segment.Entry
	// Entries are all its own, sorted by path.
	Entries []segment.Entry
}

// Layer is one layer: parts in order.
type Layer struct{ Parts []Part }

// Size is the sum of the sizes of the files of a layer.
func (l Layer) Size() int64 {
	var n int64
	for _, p := range l.Parts {
		n += p.Size
	}
	return n
}

// Parents are the shared folders of all parts of the layer, each once, sorted
// by path.
func (l Layer) Parents() []segment.Entry {
	var all []segment.Entry
	for _, p := range l.Parts {
		all = append(all, p.Parents...)
	}
	slices.SortFunc(all, func(a, b segment.Entry) int { return cmp.Compare(a.Path, b.Path) })
	return slices.CompactFunc(all, func(a, b segment.Entry) bool { return a.Path == b.Path })
}

// Pack puts parts into at most budget layers. Up to that many, each has its
// own, in the order given. Of more, the largest take half of the budget so;
// the others are spread over the rest by name, so that a new version, or a
// part that comes or goes, changes one layer.
func Pack(parts []Part, budget int) []Layer {
	budget = max(budget, 1)
	if len(parts) <= budget {
		out := make([]Layer, len(parts))
		for i, p := range parts {
			out[i].Parts = []Part{p}
		}
		return out
	}
	alone := largest(parts, budget/2)
	var out []Layer
	bins := make([]Layer, budget-len(alone))
	for i, p := range parts {
		if alone[i] {
			out = append(out, Layer{Parts: []Part{p}})
			continue
		}
		b := &bins[bin(p.Name, len(bins))]
		b.Parts = append(b.Parts, p)
	}
	bins = slices.DeleteFunc(bins, func(l Layer) bool { return len(l.Parts) == 0 })
	return append(out, bins...)
}

// largest are the indexes of the n largest parts, of equal ones the first by
// name.
func largest(parts []Part, n int) map[int]bool {
	order := make([]int, len(parts))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(parts[b].Size, parts[a].Size), cmp.Compare(parts[a].Name, parts[b].Name))
	})
	out := make(map[int]bool, n)
	for _, i := range order[:n] {
		out[i] = true
	}
	return out
}

// bin is the number of the shared layer of a part.
func bin(name string, bins int) int {
	sum := sha256.Sum256([]byte(withoutVersion(name)))
	return int(binary.BigEndian.Uint32(sum[:]) % uint32(bins))
}

// withoutVersion cuts a name at the first dash that a digit follows.
func withoutVersion(name string) string {
	for i := 1; i+1 < len(name); i++ {
		if name[i] == '-' && '0' <= name[i+1] && name[i+1] <= '9' {
			return name[:i]
		}
	}
	return name
}
