// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sort"
	"strings"

	"osbuild/store/nar"
	"osbuild/store/refscan"
)

// Output is a tree that a builder made.
type Output struct {
	Name       string
	Physical   string // where it lies: below the lease's TempDir; AddOutput takes it away
	Scratch    Path   // the path that the builder was given for it
	Candidates []Path // what it may refer to
	Deriver    string
}

// AddOutput adds what a builder made as an item addressed by its archive: it
// makes the tree canonical, finds its references among the candidates and
// replaces the scratch path by the final one. The tree is read once, and a
// second time only where it refers to itself.
func (s *Store) AddOutput(ctx context.Context, l *Lease, o Output) (Info, error) {
	i, err := s.addOutput(ctx, l, o)
	if err != nil {
		return Info{}, fmt.Errorf("cannot add the output %s to the store: %w", o.Name, s.explain(err))
	}
	return i, nil
}

func (s *Store) addOutput(ctx context.Context, l *Lease, o Output) (Info, error) {
	if err := ValidName(o.Name); err != nil {
		return Info{}, err
	}
	if p, err := ParsePath(string(o.Scratch)); err != nil {
		return Info{}, err
	} else if p.Name() != o.Name {
		// Only the digest is replaced.
		return Info{}, fmt.Errorf("the scratch path %s has another name", p)
	}
	temp, err := l.TempDir()
	if err != nil {
		return Info{}, err
	}
	if _, inside := cutFolder(filepath.Clean(o.Physical), temp); !inside {
		return Info{}, fmt.Errorf("%s does not lie in the lease's folder %s", o.Physical, temp)
	}
	if err := soften(s.fs, o.Physical); err != nil {
		return Info{}, err
	}
	scan, err := scanOutput(ctx, o)
	if err != nil {
		return Info{}, err
	}
	p, err := SourcePath(o.Name, scan.modulo, scan.refs, len(scan.self) > 0)
	if err != nil {
		return Info{}, err
	}
	i := Info{Path: p, NarHash: scan.modulo, NarSize: scan.size, References: scan.refs, CA: sourceCA(scan.modulo), Deriver: o.Deriver}
	if len(scan.self) > 0 {
		i.References = sortPaths(append(i.References, p))
		if err := s.rewrite(scan, []byte(p.Digest())); err != nil {
			return Info{}, err
		}
		h, _, err := nar.Hash(ctx, o.Physical, nil)
		if err != nil {
			return Info{}, err
		}
		i.NarHash = h
	}
	if err := seal(s.fs, scan.tree, o.Physical, false); err != nil {
		return Info{}, err
	}
	return s.finish(ctx, l, i, o.Physical)
}

// outputScan is what one pass over an output's archive tells.
type outputScan struct {
	tree   *nar.Tree
	size   int64
	modulo Hash    // the archive's hash modulo the scratch digest
	self   []int64 // where that occurs in the archive
	refs   []Path  // candidates that occur, sorted
	spans  []span  // what lies where in the archive, by offset
}

// span is a file's content or a link's target in the archive.
type span struct {
	start, end int64
	node       *nar.Node
}

func scanOutput(ctx context.Context, o Output) (*outputScan, error) {
	t, err := nar.List(ctx, o.Physical, nil)
	if err != nil {
		return nil, err
	}
	own := o.Scratch.Digest()
	for k := range t.Nodes {
		if n := &t.Nodes[k]; strings.Contains(n.Base(), own) {
			return nil, fmt.Errorf("the name of %s holds the digest of the output itself, so that no address can be derived from the content (let the builder choose another name)", t.Physical(n))
		}
	}
	byDigest := make(map[string]Path, len(o.Candidates))
	digests := make([]string, 0, len(o.Candidates))
	for _, c := range o.Candidates {
		if _, err := ParsePath(string(c)); err != nil {
			return nil, err
		}
		if c != o.Scratch {
			byDigest[c.Digest()] = c
			digests = append(digests, c.Digest())
		}
	}
	refs, err := refscan.NewScanner(digests)
	if err != nil {
		return nil, err
	}
	modulo, err := refscan.NewModulo(own)
	if err != nil {
		return nil, err
	}
	scan := &outputScan{tree: t}
	e := nar.NewEncoder(io.MultiWriter(modulo, refs))
	file := t.FileContents(ctx)
	err = t.Encode(ctx, e, func(e *nar.Encoder, n *nar.Node) error {
		// The content ends before its padding and the closing bracket.
		start := e.Offset() + fileFraming(n.Executable)
		scan.spans = append(scan.spans, span{start, start + n.Size, n})
		return file(e, n)
	}, func(n *nar.Node) error {
		if n.Type == nar.Symlink {
			start := e.Offset() + linkFraming
			scan.spans = append(scan.spans, span{start, start + int64(len(n.Target)), n})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	scan.size = e.Offset()
	h, self := modulo.Finish()
	scan.modulo, scan.self = h, self
	for _, d := range refs.Found() {
		scan.refs = append(scan.refs, byDigest[d])
	}
	scan.refs = sortPaths(scan.refs)
	return scan, nil
}

// Bytes of the archive between the start of a node and its content or
// target: "(" "type" and so on, each a length and a padded text.
const linkFraming = 16 + 16 + 16 + 16 + 8

func fileFraming(executable bool) int64 {
	if executable {
		return 16 + 16 + 16 + 24 + 8 + 16 + 8
	}
	return 16 + 16 + 16 + 16 + 8
}

// rewrite puts digest where the scratch digest occurs.
func (s *Store) rewrite(scan *outputScan, digest []byte) error {
	for k := 0; k < len(scan.self); {
		at := scan.self[k]
		sp := scan.spans[sort.Search(len(scan.spans), func(x int) bool { return scan.spans[x].end > at })]
		if at < sp.start {
			return fmt.Errorf("a reference of the output to itself lies outside of all files, at %d", at)
		}
		var offsets []int64
		for ; k < len(scan.self) && scan.self[k] < sp.end; k++ {
			offsets = append(offsets, scan.self[k]-sp.start)
		}
		path := scan.tree.Physical(sp.node)
		var err error
		if sp.node.Type == nar.Symlink {
			err = s.rewriteLink(path, sp.node.Target, offsets, digest)
		} else {
			err = s.rewriteFile(path, sp.node.Executable, offsets, digest)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) rewriteLink(path, target string, offsets []int64, digest []byte) error {
	b := []byte(target)
	for _, off := range offsets {
		copy(b[off:], digest)
	}
	if err := s.fs.Remove(path); err != nil {
		return err
	}
	if err := s.fs.Symlink(string(b), path); err != nil {
		return err
	}
	return s.fs.SetTime(path, epoch)
}

func (s *Store) rewriteFile(path string, executable bool, offsets []int64, digest []byte) error {
	if err := s.fs.Chmod(path, 0o600); err != nil {
		return err
	}
	f, err := s.fs.Modify(path)
	if err != nil {
		return err
	}
	for _, off := range offsets {
		if _, err := f.WriteAt(digest, off); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	return f.Finish(fileMode(executable), epoch)
}
