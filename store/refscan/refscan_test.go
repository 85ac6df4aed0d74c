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
				// What a clone sees is nothing to the other.
				other := s.Clone()
				feed(other, []byte(digestB), func() int { return chunk })
				if got := other.Found(); !slices.Equal(got, []string{digestB}) {
					t.Errorf("the clone, in pieces of %d: got %q", chunk, got)
				}
				if got := s.Found(); !slices.Equal(got, test.want) {
					t.Errorf("beside a clone, in pieces of %d: got %q, want %q", chunk, got, test.want)
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

// TestMany looks for sets of all sizes: for very many digests the table has
// fewer parts of each.
func TestMany(t *testing.T) {
	for _, n := range []int{0, 1, 2, 500, 20_000, 80_000} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			r := rand.New(rand.NewPCG(uint64(n), 7))
			digests := make([]string, n)
			for k := range digests {
				digests[k] = randomText(r, refscan.DigestLen)
			}
			var want []string
			var text strings.Builder
			for k := range min(n, 300) {
				d := digests[r.IntN(n)]
				text.WriteString(randomText(r, r.IntN(100)))
				switch k % 4 {
				case 0: // most of one, which is nothing
					text.WriteString("e" + d[r.IntN(4)+1:])
				case 1:
					text.WriteString(d[:refscan.DigestLen-1] + "e")
				default:
					text.WriteString(d)
					want = append(want, d)
				}
			}
			text.WriteString("e")
			slices.Sort(want)
			want = slices.Compact(want)
			// A digest given twice is one.
			s, err := refscan.NewScanner(append(digests, digests[:min(n, 1)]...))
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				feed(s, []byte(text.String()), func() int { return 1 + r.IntN(200) })
				if got := s.Found(); !slices.Equal(got, want) {
					t.Errorf("found %d of %d", len(got), len(want))
				}
				s.Reset()
			}
		})
	}
}

// TestAlike looks for digests that consist of the same parts over and over.
func TestAlike(t *testing.T) {
	digests := []string{strings.Repeat("0", 32), strings.Repeat("01", 16), strings.Repeat("10", 16), strings.Repeat("01234567", 4)}
	for _, test := range []struct {
		text string
		want []string
	}{
		{strings.Repeat("0", 31) + "1" + strings.Repeat("0", 31), nil},
		{strings.Repeat("0", 32), digests[:1]},
		{strings.Repeat("01", 16), digests[1:2]},
		{strings.Repeat("01", 16) + "0", digests[1:3]},
		{"7" + strings.Repeat("01234567", 4) + "1", digests[3:]},
		{strings.Repeat("12345670", 4), nil},
	} {
		for pad := range 40 {
			s, err := refscan.NewScanner(digests)
			if err != nil {
				t.Fatal(err)
			}
			text := strings.Repeat("x", pad) + test.text
			_, _ = s.Write([]byte(text)) // never fails
			want := slices.Sorted(slices.Values(test.want))
			if got := s.Found(); !slices.Equal(got, want) {
				t.Errorf("%s: found %q, want %q", text, got, want)
			}
			for _, self := range digests {
				m, err := refscan.NewModulo(self)
				if err != nil {
					t.Fatal(err)
				}
				feed(m, []byte(text+text), func() int { return 1 + pad })
				wantHash, wantOffsets := naiveModulo([]byte(text+text), self)
				if gotHash, got := m.Finish(); gotHash != wantHash || !slices.Equal(got, wantOffsets) {
					t.Errorf("%s in %s twice: offsets %v, want %v", self, text, got, wantOffsets)
				}
			}
		}
	}
}

func randomText(r *rand.Rand, n int) string {
	const alphabet = "0123456789abcdfghijklmnpqrsvwxyz"
	b := make([]byte, n)
	for k := range b {
		b[k] = alphabet[r.IntN(len(alphabet))]
	}
	return string(b)
}

func FuzzScan(f *testing.F) {
	f.Add([]byte{0, 1, 2}, uint64(1))
	f.Add([]byte{12, 0, 3, 4, 0, 0, 5, 6}, uint64(2))
	f.Fuzz(check)
}

// BenchmarkScanner looks for as many digests as a large build may refer to.
func BenchmarkScanner(b *testing.B) {
	const size = 1 << 20
	r := rand.New(rand.NewPCG(5, 6))
	digests := make([]string, 500)
	for k := range digests {
		digests[k] = randomText(r, refscan.DigestLen)
	}
	s, err := refscan.NewScanner(digests)
	if err != nil {
		b.Fatal(err)
	}
	binary := make([]byte, size)
	for k := range binary {
		binary[k] = byte(r.Uint32())
	}
	var parts strings.Builder
	for k := 0; parts.Len() < size; k++ {
		parts.WriteString(digests[k%len(digests)][:refscan.DigestLen-1])
	}
	for _, c := range []struct {
		name string
		data []byte
	}{{"binary", binary}, {"digests", []byte(randomText(r, size))}, {"parts", []byte(parts.String())}} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(c.data)))
			for b.Loop() {
				_, _ = s.Write(c.data)
			}
		})
	}
}
