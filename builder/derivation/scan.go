// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package derivation

import (
	"fmt"
	"strings"

	"osbuild/store"
)

// gramLen is the length of the pieces of placeholder digests that the scanner
// looks up, and minFragment that of the shortest piece it is sure about. Any
// piece of minFragment characters holds a piece of gramLen that begins at a
// multiple of gramLen, so four entries a placeholder find every such piece.
const (
	gramLen     = 8
	minFragment = 2*gramLen - 1
)

// index finds the paths of an evaluation in strings.
type index struct {
	// known holds placeholders and paths by the digest in them.
	known map[string]*entry
	// grams holds pieces of the placeholders' digests.
	grams map[string]gram
}

type entry struct {
	text string
	ref  Ref
}

type gram struct {
	digest string
	offset int
}

// found is what a string depends on, each thing once: placeholders before known
// paths, and otherwise in the order of first occurrence.
type found struct {
	entries []*entry
	// selfs are the outputs whose Self placeholders occur.
	selfs []string
}

// add makes text, a placeholder or a path, known as ref. What is known already
// stays as it was first declared.
func (x *index) add(text string, ref Ref) {
	if x.known == nil {
		x.known, x.grams = map[string]*entry{}, map[string]gram{}
	}
	d := text[len(store.Dir)+1:][:digestLen]
	if _, ok := x.known[d]; ok {
		return
	}
	x.known[d] = &entry{text, ref}
	if d[0] != 'o' {
		return
	}
	for i := 0; i < digestLen; i += gramLen {
		x.grams[d[i:i+gramLen]] = gram{d, i}
	}
}

// scan finds the placeholders and the known paths in s. A placeholder must be
// whole; of a known path the digest is enough, as it is in a built item.
func (x *index) scan(s string) (found, error) {
	var f found
	whole, err := x.placeholders(s, &f)
	if err != nil {
		return found{}, err
	}
	for i := 0; i < len(s); {
		if !digestChar[s[i]] {
			i++
			continue
		}
		j := i + 1
		for j < len(s) && digestChar[s[j]] {
			j++
		}
		if err := x.scanRun(s, i, j, whole, &f); err != nil {
			return found{}, err
		}
		i = j
	}
	return f, nil
}

// placeholders finds everything that begins like a placeholder, and tells the
// offsets of the digests of those that are whole.
func (x *index) placeholders(s string, f *found) (whole map[int]bool, err error) {
	for i := 0; ; {
		n := strings.Index(s[i:], placeholderPrefix)
		if n < 0 {
			return whole, nil
		}
		at := i + n
		start := at + len(placeholderPrefix) - 1
		i = start + 1
		rest := s[start:]
		e := x.lookup(rest)
		switch {
		case e != nil && strings.HasPrefix(s[at:], e.text):
			f.add(e)
		case e != nil:
			return nil, fmt.Errorf("%w: the name after %s is not %q: use the string of an item whole, and join strings to it with +, %% or join",
				ErrFragment, s[at:start+digestLen], e.text[start-at+digestLen:])
		default:
			out, ok := selfOutput(rest)
			if !ok {
				return nil, x.unknown(s[at:])
			}
			f.addSelf(out)
		}
		if whole == nil {
			whole = map[int]bool{}
		}
		whole[start] = true
	}
}

// lookup gives what has the digest at the beginning of s, or nil.
func (x *index) lookup(s string) *entry {
	if len(s) < digestLen {
		return nil
	}
	return x.known[s[:digestLen]]
}

// unknown makes the error for s, which begins like a placeholder.
func (x *index) unknown(s string) error {
	n := len(placeholderPrefix)
	for n < len(s) && digestChar[s[n]] {
		n++
	}
	if n < len(placeholderPrefix)-1+digestLen {
		return fmt.Errorf("%w: %q is the beginning of one: use the string of an item whole, and join strings to it with +, %% or join", ErrFragment, s[:n])
	}
	return fmt.Errorf("%w: %q belongs to no item of this evaluation", ErrUnknown, s[:n])
}

// selfOutput tells the output of the Self placeholder whose digest and name s
// begins with.
func selfOutput(s string) (string, bool) {
	if len(s) <= digestLen || s[digestLen] != '-' {
		return "", false
	}
	name := s[digestLen+1:]
	for n := 1; n <= len(name) && n <= 64; n++ {
		if selfDigest(name[:n]) == s[:digestLen] {
			return name[:n], true
		}
	}
	return "", false
}

// scanRun looks at s[i:j], all of whose characters may stand in a digest.
func (x *index) scanRun(s string, i, j int, whole map[int]bool, f *found) error {
	for ; i+gramLen <= j; i++ {
		if i+digestLen <= j && s[i] != 'o' {
			if e := x.known[s[i:i+digestLen]]; e != nil {
				f.add(e)
			}
		}
		g, ok := x.grams[s[i:i+gramLen]]
		if !ok || whole[i-g.offset] {
			continue
		}
		// How much of the digest is here, to the left and to the right?
		left, right := 0, gramLen
		for left < g.offset && i-left > 0 && s[i-left-1] == g.digest[g.offset-left-1] {
			left++
		}
		for g.offset+right < digestLen && i+right < len(s) && s[i+right] == g.digest[g.offset+right] {
			right++
		}
		if left+right >= minFragment {
			return fmt.Errorf("%w: %q is a part of %s: use the string of an item whole, and join strings to it with +, %% or join",
				ErrFragment, s[i-left:i+right], x.known[g.digest].text)
		}
	}
	return nil
}

func (f *found) add(e *entry) {
	for _, o := range f.entries {
		if o == e {
			return
		}
	}
	f.entries = append(f.entries, e)
}

func (f *found) addSelf(output string) {
	for _, o := range f.selfs {
		if o == output {
			return
		}
	}
	f.selfs = append(f.selfs, output)
}

// digestChar holds the letters of digests and of placeholders' digests.
var digestChar = func() (t [256]bool) {
	for _, c := range []byte("0123456789abcdfghijklmnopqrsvwxyz") {
		t[c] = true
	}
	return t
}()
