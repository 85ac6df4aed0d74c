// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"encoding/binary"
	"math/bits"
)

// numbering finds the numbers of paths that have some, from 0. It is a map for
// a hundred thousand keys that are random already: what it looks at first is so
// small that it stays in the processor's cache.
type numbering struct {
	shift int
	slots []int32  // a number + 1, or 0; by the start of the digest
	start []uint64 // of the digests, by number
	path  func(k int32) Path
}

// newNumbering is for the n paths that path gives, all different.
func newNumbering(n int, path func(k int32) Path) *numbering {
	size := bits.Len(uint(2*n)) + 1 // at most half of the slots are taken
	t := &numbering{shift: 64 - size, slots: make([]int32, 1<<size), start: make([]uint64, n), path: path}
	for k := range int32(n) {
		start := digestStart(path(k))
		t.start[k] = start
		at := t.slot(start)
		for t.slots[at] != 0 {
			at = (at + 1) % len(t.slots)
		}
		t.slots[at] = k + 1
	}
	return t
}

// of returns the number of p, or -1.
func (t *numbering) of(p Path) int32 {
	start := digestStart(p)
	for at := t.slot(start); t.slots[at] != 0; at = (at + 1) % len(t.slots) {
		if k := t.slots[at] - 1; t.start[k] == start && t.path(k) == p {
			return k
		}
	}
	return -1
}

// slot spreads the bits of the characters.
func (t *numbering) slot(start uint64) int { return int(start * 0x9e3779b97f4a7c15 >> t.shift) }

// digestStart is the first characters of a digest, in order.
func digestStart(p Path) uint64 {
	var b [8]byte
	copy(b[:], p.Digest())
	return binary.BigEndian.Uint64(b[:])
}
