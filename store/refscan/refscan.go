// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

// Package refscan finds store digests in a stream of bytes: which of a set of
// known ones occur (the references of an item), and where its own one does
// (so that it can be left out of the hash, and rewritten).
//
// It owns the search and the hash modulo self references, both over chunks
// of any size and for digests glued to any other text. It never reads a file
// and never knows what a digest stands for. Start with [Scanner].
package refscan

import (
	"fmt"
	"slices"
	"strings"
)

// DigestLen is the number of characters of a digest.
const DigestLen = 32

// alphabet has the characters of a digest.
const alphabet = "0123456789abcdfghijklmnpqrsvwxyz"

// Scanner is a writer that notes which of its candidates it has seen.
type Scanner struct {
	parts *parts
	seen  []bool   // of the candidates
	found []string // those seen
	tail  []byte   // the last bytes that may start a digest
}

// NewScanner looks for the given digests.
func NewScanner(digests []string) (*Scanner, error) {
	for _, d := range digests {
		if err := checkDigest(d); err != nil {
			return nil, err
		}
	}
	p := newParts(digests)
	return &Scanner{parts: p, seen: make([]bool, len(p.digests)), tail: make([]byte, 0, 2*DigestLen)}, nil
}

// Clone returns a scanner for another stream and the same digests, which may be
// used beside this one.
func (s *Scanner) Clone() *Scanner {
	return &Scanner{parts: s.parts, seen: make([]bool, len(s.seen)), tail: make([]byte, 0, 2*DigestLen)}
}

// Reset forgets what was seen, for another stream and the same digests. It
// takes as long as there was something: digests and streams may be very many.
func (s *Scanner) Reset() {
	for _, d := range s.found {
		k, _ := slices.BinarySearch(s.parts.digests, d)
		s.seen[k] = false
	}
	s.found, s.tail = nil, s.tail[:0]
}

func checkDigest(d string) error {
	if len(d) != DigestLen {
		return fmt.Errorf("cannot look for the digest %q: it has %d characters, not %d", d, len(d), DigestLen)
	}
	for i := range len(d) {
		if strings.IndexByte(alphabet, d[i]) < 0 {
			return fmt.Errorf("cannot look for the digest %q: %q does not occur in a digest", d, d[i])
		}
	}
	return nil
}

// Found returns the candidates that occurred, sorted.
func (s *Scanner) Found() []string {
	slices.Sort(s.found)
	return slices.Clone(s.found)
}

// Write scans p. It never fails.
func (s *Scanner) Write(p []byte) (int, error) {
	if len(s.found) == len(s.seen) {
		return len(p), nil
	}
	// What starts in the tail ends in the first bytes of p.
	border := append(s.tail, p[:min(len(p), DigestLen-1)]...)
	s.scan(border)
	if len(p) >= DigestLen {
		s.scan(p)
		border = p
	}
	s.tail = append(s.tail[:0], border[max(0, len(border)-(DigestLen-1)):]...)
	return len(p), nil
}

// scan looks for candidates in b.
func (s *Scanner) scan(b []byte) {
	p := s.parts
	for at := p.next(b, 0); at >= 0; at = p.next(b, at+p.stride) {
		for e := p.first(b[at:]); e != 0; e = p.chain[e-1] {
			if k, start := p.entry(e, at); !s.seen[k] && p.stands(b, start, k) {
				s.seen[k] = true
				s.found = append(s.found, p.digests[k])
			}
		}
	}
}
