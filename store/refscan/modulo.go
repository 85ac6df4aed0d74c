// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package refscan

import (
	"crypto/sha256"
	"hash"
	"strconv"
)

// Modulo is a writer that computes the hash of a stream modulo one digest:
// every occurrence counts as NUL bytes, and the offsets of all occurrences
// follow the stream. So an item that holds its own digest has a hash that
// does not depend on it.
type Modulo struct {
	parts   *parts // of the digest
	sum     hash.Hash
	held    []byte // not hashed yet: may be the start of an occurrence
	hashed  int64  // bytes hashed
	offsets []int64
}

// NewModulo leaves out self.
func NewModulo(self string) (*Modulo, error) {
	if err := checkDigest(self); err != nil {
		return nil, err
	}
	return &Modulo{parts: newParts([]string{self}), sum: sha256.New(), held: make([]byte, 0, 2*DigestLen)}, nil
}

// Write takes the next bytes. It never fails.
func (m *Modulo) Write(p []byte) (int, error) {
	n := len(p)
	// What was searched is hashed while it is in the processor's cache.
	const piece = 64 << 10
	for len(p) > 0 {
		k := min(len(p), piece)
		m.write(p[:k])
		p = p[k:]
	}
	return n, nil
}

func (m *Modulo) write(p []byte) {
	k := min(len(p), DigestLen-1)
	m.held = append(m.held, p[:k]...)
	rest := m.digest(m.held)
	if k < len(p) {
		// The rest is not longer than k, so it stands in p, too, and needs no
		// copy.
		rest = m.digest(p[k-len(rest):])
	}
	m.held = append(m.held[:0], rest...)
}

var zeros [DigestLen]byte

// digest hashes b, but for the last bytes, which it returns: they may belong
// to an occurrence that goes on.
func (m *Modulo) digest(b []byte) (rest []byte) {
	for {
		at := m.find(b)
		if at < 0 {
			break
		}
		m.take(b[:at])
		m.offsets = append(m.offsets, m.hashed)
		m.take(zeros[:])
		b = b[at+DigestLen:]
	}
	ready := max(0, len(b)-(DigestLen-1))
	m.take(b[:ready])
	return b[ready:]
}

func (m *Modulo) take(b []byte) {
	m.sum.Write(b)
	m.hashed += int64(len(b))
}

// find gives the first place of the digest in b, or -1.
func (m *Modulo) find(b []byte) int {
	p := m.parts
	for at := p.next(b, 0); at >= 0; at = p.next(b, at+p.stride) {
		first := -1
		for e := p.first(b[at:]); e != 0; e = p.chain[e-1] {
			if k, start := p.entry(e, at); p.stands(b, start, k) && (first < 0 || start < first) {
				first = start
			}
		}
		if first >= 0 {
			return first
		}
	}
	return -1
}

// Finish returns the hash and the offsets of all occurrences. Where there is
// none, it is the plain hash of the stream.
func (m *Modulo) Finish() ([sha256.Size]byte, []int64) {
	m.sum.Write(m.held)
	m.held = nil
	for _, off := range m.offsets {
		m.sum.Write([]byte("|" + strconv.FormatInt(off, 10)))
	}
	return [sha256.Size]byte(m.sum.Sum(nil)), m.offsets
}
