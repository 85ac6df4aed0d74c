// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package nar_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"osbuild/store/nar"
)

// strict is the grammar of an archive by the rules of current Nix, written down
// a second time: a plain descent over bytes in memory.
type strict struct {
	b   []byte
	bad bool
}

// sound says whether b is one archive and nothing more.
func sound(b []byte) bool {
	s := &strict{b: b}
	s.words("nix-archive-1")
	s.node(0)
	return !s.bad && len(s.b) == 0
}

func (s *strict) take(n uint64) []byte {
	if n > uint64(len(s.b)) {
		s.bad = true
		return nil
	}
	out := s.b[:n]
	s.b = s.b[n:]
	return out
}

func (s *strict) text() string {
	head := s.take(8)
	if s.bad {
		return ""
	}
	n := binary.LittleEndian.Uint64(head)
	text := s.take(n)
	if pad := s.take(-n & 7); !s.bad && !bytes.Equal(pad, make([]byte, len(pad))) {
		s.bad = true
	}
	return string(text)
}

func (s *strict) words(want ...string) {
	for _, w := range want {
		if s.text() != w {
			s.bad = true
		}
	}
}

func (s *strict) node(depth int) {
	if s.bad = s.bad || depth >= 64; s.bad {
		return
	}
	s.words("(", "type")
	switch s.text() {
	case "regular":
		word := s.text()
		if word == "executable" {
			s.words("")
			word = s.text()
		}
		s.bad = s.bad || word != "contents"
		s.text()
		s.words(")")
	case "symlink":
		s.words("target")
		target := s.text()
		s.bad = s.bad || target == "" || len(target) > 4095 || strings.Contains(target, "\x00")
		s.words(")")
	case "directory":
		last := ""
		for !s.bad {
			word := s.text()
			if word == ")" {
				return
			}
			s.bad = s.bad || word != "entry"
			s.words("(", "name")
			name := s.text()
			s.bad = s.bad || name <= last || name == "." || name == ".." || len(name) > 255 || strings.ContainsAny(name, "/\x00")
			last = name
			s.words("node")
			s.node(depth + 1)
			s.words(")")
		}
	default:
		s.bad = true
	}
}

// seeds are archives, as lists of texts, that mutations start from.
func seeds() [][]string {
	file := []string{"(", "type", "regular", "contents", "hello\n", ")"}
	run := []string{"(", "type", "regular", "executable", "", "contents", "12345678", ")"}
	link := []string{"(", "type", "symlink", "target", "a", ")"}
	folder := func(entries ...[]string) []string {
		list := []string{"(", "type", "directory"}
		for k, e := range entries {
			list = append(append(append(list, "entry", "(", "name", string(rune('a'+k)), "node"), e...), ")")
		}
		return append(list, ")")
	}
	nested := func(n int) []string {
		list := file
		for range n {
			list = folder(list)
		}
		return list
	}
	var out [][]string
	for _, node := range [][]string{
		file, run, link, folder(), folder(file, run, link), folder(folder(file), folder(), folder(folder(link), file)), nested(62), nested(63), nested(64),
	} {
		out = append(out, append([]string{magic}, node...))
	}
	return out
}

// oddWords take the place of others.
var oddWords = []string{
	"", "(", ")", "a", "b", "ab", "A", ".", "..", "...", "a/b", "/", "a\x00", "type", "entry", "name", "node", "target", "contents", "executable",
	"regular", "symlink", "directory", "fifo", "nix-archive-2", "~nix~case~hack~1", "\xff",
	strings.Repeat("n", 255), strings.Repeat("n", 256), strings.Repeat("t", 4095), strings.Repeat("t", 4096),
}

// mutate changes an archive in up to two ways, mostly by whole texts; some stay
// as they are.
func mutate(r *rand.Rand, list []string) []byte {
	list = slices.Clone(list)
	for range r.IntN(3) {
		if len(list) < 2 {
			break
		}
		k := r.IntN(len(list))
		if r.IntN(3) > 0 {
			// Near the end: an archive has its variety there, not in its head.
			k = len(list) - 1 - r.IntN(min(len(list), 20))
		}
		switch r.IntN(7) {
		case 0:
			list = slices.Delete(list, k, k+1)
		case 1:
			list = slices.Insert(list, k, list[k])
		case 2:
			j := r.IntN(len(list))
			list[k], list[j] = list[j], list[k]
		case 3:
			list = slices.Insert(list, k, oddWords[r.IntN(len(oddWords))])
		case 4:
			// A part once more, such as a whole entry.
			n := min(len(list)-k, 1+r.IntN(16))
			list = slices.Insert(list, k, slices.Clone(list[k:k+n])...)
		default:
			list[k] = oddWords[r.IntN(len(oddWords))]
		}
	}
	parts := make([]any, len(list))
	for k, w := range list {
		parts[k] = w
	}
	b := raw(parts...)
	if len(b) == 0 {
		return b
	}
	switch r.IntN(12) {
	case 0:
		b = b[:r.IntN(len(b))]
	case 1:
		// Not in the upper bytes of a length: Nix would ask for the memory.
		b[r.IntN(len(b)/8)*8+r.IntN(3)] ^= 1 << r.IntN(8)
	case 2:
		b = append(b, make([]byte, r.IntN(20))...)
	}
	return b
}

// Whatever happens to an archive: we take it if and only if the grammar does,
// in memory and on disk.
func TestMutations(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	dir := t.TempDir()
	all := seeds()
	taken, unpacked := 0, 0
	const count = 10_000
	for k := range count {
		b := mutate(r, all[r.IntN(len(all))])
		want := sound(b)
		in := bytes.NewReader(b)
		_, err := read(in)
		if got := err == nil && in.Len() == 0; got != want {
			t.Fatalf("read: %v, %d are left, by the grammar it is sound: %t\n%q", err, in.Len(), want, b)
		}
		if want {
			taken++
		}
		if k%20 > 0 {
			continue
		}
		place := filepath.Join(dir, fmt.Sprint(k))
		if err := nar.Restore(bytes.NewReader(b), place); (err == nil) != want {
			t.Fatalf("restore: %v, by the grammar it is sound: %t\n%q", err, want, b)
		}
		unpacked++
		if err := os.RemoveAll(place); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d mutations, %d of them still archives, %d unpacked", count, taken, unpacked)
	if taken == 0 || taken == count {
		t.Error("the mutations show nothing")
	}
}

// The same of any bytes.
func FuzzGrammar(f *testing.F) {
	for _, list := range seeds() {
		parts := make([]any, len(list))
		for k, w := range list {
			parts[k] = w
		}
		f.Add(raw(parts...))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		in := bytes.NewReader(b)
		_, err := read(in)
		if want, got := sound(b), err == nil && in.Len() == 0; got != want {
			t.Errorf("%v, %d are left, by the grammar it is sound: %t\n%q", err, in.Len(), want, b)
		}
	})
}
