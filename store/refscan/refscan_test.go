// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package refscan_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"hash"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"osbuild/store/refscan"
)

const (
	digestA = "0a1b2c3d4f5g6h7i8j9kalbmcndpfqgr"
	digestB = "zyxwvsrqpnmlkjihgfdcba9876543210"
	digestC = "rkfr254jwp3ndfvly304psci24m54bi3"
)

func TestScanner(t *testing.T) {
	all := []string{digestA, digestB, digestC}
	tests := []struct {
		summary, text string
		want          []string
	}{
		{"nothing", "", nil},
		{"one", "/osbuild/store/" + digestA + "-x", []string{digestA}},
		{"no prefix needed", digestB, []string{digestB}},
		{"glued to digest characters", "abc" + digestA + digestB + "zz" + digestC + "xyz", all},
		{"behind a long run", strings.Repeat("a", 1000) + digestC, []string{digestC}},
		{"one character short", digestA[1:] + " " + digestB[:31], nil},
		{"interrupted", digestA[:16] + " " + digestA[16:], nil},
		{"between others", "\x00" + digestA + "\xff", []string{digestA}},
		{"overlapping prefix", digestA[:20] + digestA, []string{digestA}},
	}
	for _, test := range tests {
		t.Run(test.summary, func(t *testing.T) {
			for _, chunk := range []int{1, 7, 31, 32, 33, 1 << 20} {
				s, err := refscan.NewScanner(all)
				if err != nil {
					t.Fatal(err)
				}
				feed(s, []byte(test.text), func() int { return chunk })
				slices.Sort(test.want)
				if got := s.Found(); !slices.Equal(got, test.want) {
					t.Errorf("in pieces of %d: got %q, want %q", chunk, got, test.want)
				}
				// Half a digest of one stream is none of the next.
				feed(s, []byte(digestA[:16]), func() int { return chunk })
				s.Reset()
				feed(s, []byte(digestA[16:]+" "+test.text), func() int { return chunk })
				if got := s.Found(); !slices.Equal(got, test.want) {
					t.Errorf("again, in pieces of %d: got %q, want %q", chunk, got, test.want)
				}
			}
		})
	}
}

func TestBadDigest(t *testing.T) {
	for _, bad := range []string{"", digestA[1:], digestA + "a", "e" + digestA[1:], digestA[:31] + "/"} {
		if _, err := refscan.NewScanner([]string{bad}); err == nil {
			t.Errorf("scanner: %q was taken", bad)
		}
		if _, err := refscan.NewModulo(bad); err == nil {
			t.Errorf("modulo: %q was taken", bad)
		}
	}
}

// feed writes b in pieces.
func feed(w interface{ Write([]byte) (int, error) }, b []byte, piece func() int) {
	for len(b) > 0 {
		n := max(1, min(len(b), piece()))
		_, _ = w.Write(b[:n]) // never fails
		b = b[n:]
	}
}

// naiveModulo is the definition, over a whole text.
func naiveModulo(text []byte, self string) ([32]byte, []int64) {
	text = bytes.Clone(text)
	var offsets []int64
	for at := 0; ; {
		i := bytes.Index(text[at:], []byte(self))
		if i < 0 {
			break
		}
		offsets = append(offsets, int64(at+i))
		clear(text[at+i : at+i+len(self)])
		at += i + len(self)
	}
	var h hash.Hash = sha256.New()
	h.Write(text)
	for _, off := range offsets {
		fmt.Fprintf(h, "|%d", off)
	}
	return [32]byte(h.Sum(nil)), offsets
}

// check compares both searches with naive ones. The text is made of the
// digests, parts of them and other bytes, as ops say.
func check(t *testing.T, ops []byte, seed uint64) {
	t.Helper()
	all := []string{digestA, digestB, digestC}
	parts := []string{
		digestA, digestB, digestC, digestA[:16], digestA[16:], digestB[:31], digestC[1:], "a", "aaaa", "\x00", "e",
		strings.Repeat("0", 33), strings.Repeat("x", 65530), strings.Repeat("\xff", 1000),
	}
	var text []byte
	for _, op := range ops {
		text = append(text, parts[int(op)%len(parts)]...)
		if len(text) > 1<<20 {
			break
		}
	}
	r := rand.New(rand.NewPCG(seed, 0))
	piece := func() int { return 1 << r.IntN(18) }
	s, err := refscan.NewScanner(all)
	if err != nil {
		t.Fatal(err)
	}
	m, err := refscan.NewModulo(digestA)
	if err != nil {
		t.Fatal(err)
	}
	feed(s, text, piece)
	feed(m, text, piece)
	want := slices.DeleteFunc(slices.Clone(all), func(d string) bool { return !bytes.Contains(text, []byte(d)) })
	slices.Sort(want)
	if got := s.Found(); !slices.Equal(got, want) {
		t.Errorf("found %q, want %q", got, want)
	}
	wantHash, wantOffsets := naiveModulo(text, digestA)
	gotHash, gotOffsets := m.Finish()
	if gotHash != wantHash || !slices.Equal(gotOffsets, wantOffsets) {
		t.Errorf("modulo: offsets %v, want %v", gotOffsets, wantOffsets)
	}
}

func TestRandom(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for k := range 500 {
		ops := make([]byte, r.IntN(40))
		for i := range ops {
			ops[i] = byte(r.Uint32())
		}
		check(t, ops, uint64(k))
	}
}

func FuzzScan(f *testing.F) {
	f.Add([]byte{0, 1, 2}, uint64(1))
	f.Add([]byte{12, 0, 3, 4, 0, 0, 5, 6}, uint64(2))
	f.Fuzz(check)
}

func BenchmarkScanner(b *testing.B) {
	s, err := refscan.NewScanner([]string{digestA, digestB, digestC})
	if err != nil {
		b.Fatal(err)
	}
	r := rand.New(rand.NewPCG(5, 6))
	binary := make([]byte, 1<<20)
	text := make([]byte, 1<<20)
	const alphabet = "0123456789abcdfghijklmnpqrsvwxyz"
	for k := range binary {
		binary[k] = byte(r.Uint32())
		text[k] = alphabet[r.IntN(32)]
	}
	for _, c := range []struct {
		name string
		data []byte
	}{{"binary", binary}, {"digests", text}} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(c.data)))
			for b.Loop() {
				_, _ = s.Write(c.data)
			}
		})
	}
}
