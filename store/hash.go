// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
)

// base32Digits is the alphabet of digests: it lacks e, o, t and u, so that a
// placeholder that starts with o can never be taken for a digest.
const base32Digits = "0123456789abcdfghijklmnpqrsvwxyz"

const invalidDigit = 0xff

// base32Value maps a character to its value, or to invalidDigit.
var base32Value = func() (t [256]byte) {
	for i := range t {
		t[i] = invalidDigit
	}
	for i := range len(base32Digits) {
		t[base32Digits[i]] = byte(i)
	}
	return t
}()

// encodeBase32 writes b in the base 32 of Nix: 5 bits a digit from the least
// significant end, the most significant digit first.
func encodeBase32(b []byte) string {
	n := (len(b)*8 + 4) / 5
	out := make([]byte, n)
	for i := range n {
		bit := i * 5
		lo, shift := bit/8, bit%8
		v := uint16(b[lo]) >> shift
		if lo+1 < len(b) {
			v |= uint16(b[lo+1]) << (8 - shift)
		}
		out[n-1-i] = base32Digits[v&31]
	}
	return string(out)
}

// decodeBase32 is the inverse of encodeBase32 for size bytes. It refuses
// other lengths, characters and set bits beyond the last byte.
func decodeBase32(s string, size int) ([]byte, error) {
	if want := (size*8 + 4) / 5; len(s) != want {
		return nil, fmt.Errorf("%q has %d characters, not %d", s, len(s), want)
	}
	out := make([]byte, size)
	for i := range len(s) {
		v := base32Value[s[len(s)-1-i]]
		if v == invalidDigit {
			return nil, fmt.Errorf("%q holds %q, which is no base 32 digit", s, s[len(s)-1-i])
		}
		bit := i * 5
		lo, shift := bit/8, bit%8
		out[lo] |= v << shift
		carry := v >> (8 - shift)
		if lo+1 < size {
			out[lo+1] |= carry
		} else if carry != 0 {
			return nil, fmt.Errorf("%q holds more than %d bytes", s, size)
		}
	}
	return out, nil
}

// Hash is a SHA-256 digest.
type Hash [sha256.Size]byte

// Base32 returns the 52 characters that info files use.
func (h Hash) Base32() string { return encodeBase32(h[:]) }

// Hex returns 64 lower case hexadecimal digits.
func (h Hash) Hex() string { return hex.EncodeToString(h[:]) }

// SRI returns sha256-<base64>.
func (h Hash) SRI() string { return "sha256-" + base64.StdEncoding.EncodeToString(h[:]) }

// String returns sha256:<base 32>, the form of info files.
func (h Hash) String() string { return "sha256:" + h.Base32() }

// ParseHash reads a SHA-256 digest as hex, base 32 or SRI, the first two
// with or without the prefix "sha256:".
func ParseHash(s string) (Hash, error) {
	b, err := ParseDigest("sha256", s)
	if err != nil {
		return Hash{}, err
	}
	return Hash(b), nil
}

// ParseDigest reads a digest of the given algorithm in any of the forms of
// [ParseHash].
func ParseDigest(algo, s string) ([]byte, error) {
	newHash, err := hashAlgo(algo)
	if err != nil {
		return nil, err
	}
	size := newHash().Size()
	if b64, ok := strings.CutPrefix(s, algo+"-"); ok {
		b, err := base64.StdEncoding.Strict().DecodeString(b64)
		if err != nil || len(b) != size {
			return nil, fmt.Errorf("cannot read the hash %q: it is not %s-<base 64 of %d bytes>", s, algo, size)
		}
		return b, nil
	}
	body := strings.TrimPrefix(s, algo+":")
	switch len(body) {
	case size * 2:
		b, err := hex.DecodeString(body)
		if err != nil {
			return nil, fmt.Errorf("cannot read the hash %q: %w", s, err)
		}
		return b, nil
	case (size*8 + 4) / 5:
		b, err := decodeBase32(body, size)
		if err != nil {
			return nil, fmt.Errorf("cannot read the hash %q: %w", s, err)
		}
		return b, nil
	}
	return nil, fmt.Errorf("cannot read the hash %q: a %s hash has %d hexadecimal or %d base 32 characters, or is %s-<base 64>",
		s, algo, size*2, (size*8+4)/5, algo)
}
