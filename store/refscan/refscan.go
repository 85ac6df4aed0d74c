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
)

// DigestLen is the number of characters of a digest.
const DigestLen = 32

// digits marks the characters of a digest, and gives them the values that
// the prefix table is indexed by.
var digits = func() (t [256]uint8) {
	for i := range t {
		t[i] = notDigit
	}
	for i, c := range []byte("0123456789abcdfghijklmnpqrsvwxyz") {
		t[c] = uint8(i)
	}
	return t
}()

const notDigit = 0xff

// Four characters of 5 bits index the table of known prefixes.
const (
	prefixLen   = 4
	prefixMask  = 1<<(5*prefixLen) - 1
	prefixWords = (prefixMask + 1) / 64
)

// Scanner is a writer that notes which of its candidates it has seen.
type Scanner struct {
	candidates map[string]bool      // to: seen
	prefixes   *[prefixWords]uint64 // one bit for each possible prefix of a candidate
	found      []string             // candidates seen
	tail       []byte               // the last bytes that may start a digest
}

// NewScanner looks for the given digests.
func NewScanner(digests []string) (*Scanner, error) {
	s := &Scanner{
		candidates: make(map[string]bool, len(digests)),
		prefixes:   new([prefixWords]uint64),
		tail:       make([]byte, 0, 2*DigestLen),
	}
	for _, d := range digests {
		if err := checkDigest(d); err != nil {
			return nil, err
		}
		s.candidates[d] = false
		code := uint32(0)
		for i := range prefixLen {
			code = code<<5 | uint32(digits[d[i]])
		}
		s.prefixes[code/64] |= 1 << (code % 64)
	}
	return s, nil
}

// Reset forgets what was seen, for another stream and the same digests.
func (s *Scanner) Reset() {
	for _, d := range s.found {
		s.candidates[d] = false
	}
	s.found, s.tail = nil, s.tail[:0]
}

func checkDigest(d string) error {
	if len(d) != DigestLen {
		return fmt.Errorf("cannot look for the digest %q: it has %d characters, not %d", d, len(d), DigestLen)
	}
	for i := range len(d) {
		if digits[d[i]] == notDigit {
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
	if len(s.found) == len(s.candidates) {
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

// scan looks at every offset of b. It first finds windows of digest
// characters, looking backwards from a window's end, because then a wrong
// character rules out all windows that hold it. Inside a run only each
// further character needs a look, and the prefix table rules out nearly all
// offsets, so that long runs of digest characters stay fast.
func (s *Scanner) scan(b []byte) {
	for i := 0; i+DigestLen <= len(b); {
		j := i + DigestLen - 1
		for j >= i && digits[b[j]] != notDigit {
			j--
		}
		if j >= i {
			i = j + 1
			continue
		}
		i = s.run(b, i)
	}
}

// run handles the run of digest characters of which the first DigestLen
// start at i, and returns the offset behind it.
func (s *Scanner) run(b []byte, i int) int {
	code := uint32(0)
	for k := range prefixLen - 1 {
		code = code<<5 | uint32(digits[b[i+k]])
	}
	// Two views of b, one at the end of the prefix and one at the end of the
	// window, of equal length, so that no bound is checked in the loop.
	ends := b[i+DigestLen-1:]
	heads := b[i+prefixLen-1:][:len(ends)]
	for k, c := range ends {
		if digits[c] == notDigit {
			return i + k + DigestLen
		}
		code = (code<<5 | uint32(digits[heads[k]])) & prefixMask
		if s.prefixes[code/64]&(1<<(code%64)) != 0 {
			s.look(b[i+k : i+k+DigestLen])
		}
	}
	return len(b) - DigestLen + 1
}

func (s *Scanner) look(window []byte) {
	if seen, known := s.candidates[string(window)]; known && !seen {
		s.candidates[string(window)] = true
		s.found = append(s.found, string(window))
	}
}
