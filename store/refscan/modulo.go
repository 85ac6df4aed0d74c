// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package refscan

import (
	"bytes"
	"crypto/sha256"
	"hash"
	"strconv"
)

// Modulo is a writer that computes the hash of a stream modulo one digest:
// every occurrence counts as NUL bytes, and the offsets of all occurrences
// follow the stream. So an item that holds its own digest has a hash that
// does not depend on it.
type Modulo struct {
	self    []byte
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
	return &Modulo{self: []byte(self), sum: sha256.New()}, nil
}

// Write takes the next bytes. It never fails.
func (m *Modulo) Write(p []byte) (int, error) {
	n := len(p)
	// The bytes are copied anyway, because they are changed, but in pieces
	// that stay in the cache.
	const piece = 64 << 10
	for len(p) > 0 {
		k := min(len(p), piece)
		m.held = append(m.held, p[:k]...)
		p = p[k:]
		m.digest()
	}
	return n, nil
}

// digest hashes what is held, but for the last bytes that may belong to an
// occurrence that goes on.
func (m *Modulo) digest() {
	done := 0 // behind the last occurrence
	for {
		i := bytes.Index(m.held[done:], m.self)
		if i < 0 {
			break
		}
		at := done + i
		m.offsets = append(m.offsets, m.hashed+int64(at))
		done = at + DigestLen
		clear(m.held[at:done])
	}
	ready := max(done, len(m.held)-(DigestLen-1))
	m.sum.Write(m.held[:ready])
	m.hashed += int64(ready)
	m.held = m.held[:copy(m.held, m.held[ready:])]
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
