// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"

	"osbuild/store/nar"
	"osbuild/store/refscan"
)

// checkTree checks an item's tree against its info. With contents refs, unless
// it is nil, also looks for references.
func (s *Store) checkTree(ctx context.Context, i Info, contents bool, refs *refscan.Scanner) []Problem {
	one := func(kind, format string, args ...any) []Problem {
		return []Problem{{i.Path, kind, fmt.Sprintf(format, args...)}}
	}
	t, err := nar.List(ctx, s.Physical(i.Path), nil)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return one(ProblemMissing, "its tree is not there")
	case errors.As(err, new(*nar.SpecialFileError)):
		return one(ProblemContent, "%v", err)
	case err != nil:
		return one(ProblemUnread, "%v", err)
	}
	problems := checkModes(i.Path, t)
	if !contents {
		return problems
	}
	if !scanned(i) {
		refs = nil
	}
	r, err := readTree(ctx, i, t, refs)
	if err != nil {
		return append(problems, one(ProblemUnread, "%v", err)...)
	}
	if r.hash != i.NarHash || r.size != i.NarSize {
		return append(problems, one(ProblemContent, "its tree has the hash %s and the size %d, but %s and %d are registered", r.hash, r.size, i.NarHash, i.NarSize)...)
	}
	if err := s.checkAddress(i, r.modulo); err != nil {
		problems = append(problems, one(ProblemAddress, "%v", err)...)
	}
	return append(problems, checkReferences(i, r, refs)...)
}

// reading is what the archive of a tree tells.
type reading struct {
	hash, modulo Hash
	size         int64
	self         bool // it holds the item's own digest
}

// readTree reads a tree once. What has a content address and does not refer to
// itself has one hash: that it holds its own digest all the same would need a
// text that holds its own hash.
func readTree(ctx context.Context, i Info, t *nar.Tree, refs *refscan.Scanner) (r reading, err error) {
	plain := sha256.New()
	w := io.Writer(plain)
	var modulo *refscan.Modulo
	if slices.Contains(i.References, i.Path) || i.CA == "" {
		if modulo, err = refscan.NewModulo(i.Path.Digest()); err != nil {
			return r, err
		}
		w = io.MultiWriter(w, modulo)
	}
	if refs != nil {
		refs.Reset()
		w = io.MultiWriter(w, refs)
	}
	e := nar.NewEncoder(w)
	if err := t.Encode(ctx, e, fileContents(ctx, t), nil); err != nil {
		return r, err
	}
	r.size = e.Offset()
	r.hash = Hash(plain.Sum(nil))
	r.modulo = r.hash
	if modulo != nil {
		h, self := modulo.Finish()
		r.modulo, r.self = h, len(self) > 0
	}
	return r, nil
}

// readBuffers are for those who read many small trees: such a buffer takes
// longer to make than most trees to read.
var readBuffers = sync.Pool{New: func() any { return new([copyBuffer]byte) }}

// fileContents is [nar.Tree.FileContents] with these buffers.
func fileContents(ctx context.Context, t *nar.Tree) nar.Contents {
	return func(e *nar.Encoder, n *nar.Node) error {
		buf := readBuffers.Get().(*[copyBuffer]byte)
		defer readBuffers.Put(buf)
		e.OpenFile(n.Size, n.Executable)
		err := nar.ReadContent(t.Physical(n), n.Size, buf[:], func(p []byte) ([]byte, error) {
			if err := ctx.Err(); err != nil {
				return buf[:], err
			}
			_, err := e.Write(p)
			return buf[:], err
		})
		if err != nil {
			return err
		}
		e.CloseFile(n.Size)
		return nil
	}
}

func hashTree(ctx context.Context, t *nar.Tree) (Hash, int64, error) {
	sum := sha256.New()
	e := nar.NewEncoder(sum)
	err := t.Encode(ctx, e, fileContents(ctx, t), nil)
	return Hash(sum.Sum(nil)), e.Offset(), err
}

// scanned says whether the references that occur in a tree tell something. What
// a builder made was scanned, and what has no content address is only believed.
// For all others the path follows from the references too, and a source may
// well name other items.
func scanned(i Info) bool { return i.CA == "" || i.Deriver != "" }

// checkReferences compares the references that occur in the tree with those
// registered: all of these must occur and, where there is no content address,
// no others.
func checkReferences(i Info, r reading, refs *refscan.Scanner) (problems []Problem) {
	if refs == nil {
		return nil
	}
	occurs := make(map[string]bool)
	for _, d := range refs.Found() {
		occurs[d] = true
	}
	delete(occurs, i.Path.Digest())
	for _, p := range i.References {
		if p == i.Path && !r.self || p != i.Path && !occurs[p.Digest()] {
			problems = append(problems, Problem{i.Path, ProblemReference, "it is registered as referring to " + string(p) + ", which does not occur in it"})
		}
		delete(occurs, p.Digest())
	}
	if i.CA == "" {
		for _, d := range slices.Sorted(maps.Keys(occurs)) {
			problems = append(problems, Problem{i.Path, ProblemReference, "it refers to the item " + d + ", which is not registered"})
		}
	}
	return problems
}

// checkModes compares with the canonical modes and times.
func checkModes(p Path, t *nar.Tree) []Problem {
	var problems []Problem
	for k := range t.Nodes {
		n := &t.Nodes[k]
		name := strings.TrimSuffix(string(p)+"/"+n.Path, "/")
		mode, want := n.Stat.Mode&0o7777, uint32(fileMode(n.Executable))
		if n.Type == nar.Directory {
			want = uint32(modeDir)
		}
		if n.Type != nar.Symlink && mode != want {
			problems = append(problems, Problem{p, ProblemMode, fmt.Sprintf("%s has the mode %04o, not %04o", name, mode, want)})
		}
		if n.Stat.Mtim.Sec != epoch.Unix() || n.Stat.Mtim.Nsec != 0 {
			problems = append(problems, Problem{p, ProblemMode, fmt.Sprintf("%s was changed at %d, not at %d", name, n.Stat.Mtim.Sec, epoch.Unix())})
		}
	}
	return problems
}

// checkAddress derives the item's path from its content and references.
func (s *Store) checkAddress(i Info, modulo Hash) error {
	if i.CA == "" {
		return nil // addressed by its inputs: imported, with a signature
	}
	p, err := pathOfCA(i.Path, i.CA, i.References)
	if err != nil {
		return err
	}
	if p != i.Path {
		return fmt.Errorf("its content address %s gives the path %s", i.CA, p)
	}
	ca, err := deriveCA(i.CA, s.Physical(i.Path), modulo)
	if err != nil {
		return err
	}
	if ca != i.CA {
		return fmt.Errorf("its content has the address %s, but %s is registered", ca, i.CA)
	}
	return nil
}

// deriveCA computes the content address, of the kind that ca is, of the tree
// at place, whose archive has the given hash modulo its own digest.
func deriveCA(ca, place string, modulo Hash) (string, error) {
	if strings.HasPrefix(ca, "fixed:r:sha256:") {
		return sourceCA(modulo), nil
	}
	if strings.HasPrefix(ca, "text:") {
		digest, err := hashFixed(context.Background(), place, "sha256", false)
		if err != nil {
			return "", err
		}
		return textCA(Hash(digest)), nil
	}
	rest, recursive := strings.CutPrefix(strings.TrimPrefix(ca, "fixed:"), "r:")
	algo, _, _ := strings.Cut(rest, ":")
	digest, err := hashFixed(context.Background(), place, algo, recursive)
	if err != nil {
		return "", err
	}
	return fixedCA(algo, digest, recursive), nil
}
