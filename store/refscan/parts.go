// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package refscan

import (
	"encoding/binary"
	"math/bits"
	"slices"
)

const (
	// partLen is the length of the parts of digests that are looked up: few
	// other texts have one by chance.
	partLen = 8
	// maxStride is the largest distance at which every digest still holds one
	// whole part, wherever it begins.
	maxStride = DigestLen - partLen + 1
	// maxEntries bounds the table for very many digests, at the price of a
	// shorter stride.
	maxEntries = 1 << 18
	minStride  = 4
)

// parts is a table of parts of digests. A text is looked at only every stride
// bytes, because each digest is in the table with the parts at its first
// stride offsets: so the work does not depend on which characters the text is
// made of.
type parts struct {
	digests []string // sorted, each once
	stride  int
	shift   int      // makes a hash an index of filter, and of heads
	filter  []uint64 // one bit for each of some values of a hash
	heads   []uint32 // by hash: the first entry + 1, or 0
	chain   []uint32 // by entry: the next one + 1, or 0
}

// Entry e - 1 is the part at the offset (e - 1) % stride of the digest
// (e - 1) / stride.

const (
	// filterBits and headBits are how many bits of the filter, and fractions
	// of heads, there are for an entry, as powers of two.
	filterBits = 5
	headBits   = 1
)

func newParts(digests []string) *parts {
	digests = slices.Compact(slices.Sorted(slices.Values(digests)))
	p := &parts{digests: digests, stride: max(minStride, min(maxStride, maxEntries/max(1, len(digests))))}
	n := len(digests) * p.stride
	size := bits.Len(uint(n)) // 1<<size is more than n
	p.shift = 64 - size - filterBits
	p.filter = make([]uint64, (1<<(size+filterBits))/64+1)
	p.heads = make([]uint32, 1<<(size+headBits))
	p.chain = make([]uint32, n)
	for k, d := range digests {
		for off := range p.stride {
			h := hashOf([]byte(d[off : off+partLen]))
			bit := h >> p.shift
			p.filter[bit/64] |= 1 << (bit % 64)
			head := &p.heads[bit>>(filterBits-headBits)]
			e := k*p.stride + off
			p.chain[e], *head = *head, uint32(e+1)
		}
	}
	return p
}

// hashOf spreads the part that b begins with over 64 bits, of which the first
// are the best.
func hashOf(b []byte) uint64 { return binary.LittleEndian.Uint64(b) * 0x9e3779b97f4a7c15 }

// next gives the first place from at on, in strides, that may hold a part of
// a digest, or -1.
func (p *parts) next(b []byte, at int) int {
	filter, shift, stride := p.filter, p.shift&63, p.stride
	for ; at+partLen <= len(b); at += stride {
		bit := hashOf(b[at:]) >> shift
		if filter[bit/64]&(1<<(bit%64)) != 0 {
			return at
		}
	}
	return -1
}

// first gives the first entry that may be the part that b begins with.
func (p *parts) first(b []byte) uint32 {
	return p.heads[hashOf(b)>>p.shift>>(filterBits-headBits)]
}

// entry gives the digest that an entry is of, and where it would begin if the
// part were at the given place.
func (p *parts) entry(e uint32, at int) (digest, start int) {
	return int(e-1) / p.stride, at - int(e-1)%p.stride
}

// stands says whether the digest with this number begins at start.
func (p *parts) stands(b []byte, start, digest int) bool {
	return start >= 0 && start+DigestLen <= len(b) && string(b[start:start+DigestLen]) == p.digests[digest]
}
