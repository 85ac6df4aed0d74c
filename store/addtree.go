// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"osbuild/store/fsys"
	"osbuild/store/nar"
)

// Filter says which entries of a tree belong to an item; see [nar.Filter].
type Filter = nar.Filter

// HashTree returns the archive hash and size of the tree at src. A tree that
// has not changed since it was last hashed is not read again.
func (s *Store) HashTree(ctx context.Context, src string, f Filter) (Hash, int64, error) {
	t, print, err := s.list(ctx, src, f)
	if err != nil {
		return Hash{}, 0, fmt.Errorf("cannot hash %s: %w", src, err)
	}
	if h, size, ok := s.recall(print); ok {
		return h, size, nil
	}
	h, size, err := hashTree(ctx, t)
	if err != nil {
		return Hash{}, 0, fmt.Errorf("cannot hash %s: %w", src, err)
	}
	s.remember(print, h, size)
	return h, size, nil
}

// AddTree adds the tree at src (a folder, file or link) as an item addressed
// by its archive.
func (s *Store) AddTree(ctx context.Context, l *Lease, name, src string, f Filter) (Info, error) {
	i, err := s.addTree(ctx, l, name, src, f)
	if err != nil {
		return Info{}, fmt.Errorf("cannot add %s to the store: %w", src, s.explain(err))
	}
	return i, nil
}

func (s *Store) addTree(ctx context.Context, l *Lease, name, src string, f Filter) (Info, error) {
	if err := ValidName(name); err != nil {
		return Info{}, err
	}
	t, print, err := s.list(ctx, src, f)
	if err != nil {
		return Info{}, err
	}
	if h, _, ok := s.recall(print); ok {
		p, err := SourcePath(name, h, nil, false)
		if err != nil {
			return Info{}, err
		}
		if i, ok, err := s.known(l, p, nil); ok || err != nil {
			return i, err
		}
	}
	temp, err := l.scratch()
	if err != nil {
		return Info{}, err
	}
	sum := sha256.New()
	size, err := s.copyTree(ctx, t, temp, sum, nil)
	if err != nil {
		return Info{}, err
	}
	h := Hash(sum.Sum(nil))
	s.remember(print, h, size)
	p, err := SourcePath(name, h, nil, false)
	if err != nil {
		return Info{}, err
	}
	return s.finish(ctx, l, Info{Path: p, NarHash: h, NarSize: size, CA: sourceCA(h)}, temp)
}

// finish registers and removes what is left of a failure.
func (s *Store) finish(ctx context.Context, l *Lease, i Info, temp string) (Info, error) {
	i, err := s.register(ctx, l, i, temp)
	if err != nil {
		return Info{}, errors.Join(err, fsys.RemoveTree(s.fs, temp))
	}
	return i, nil
}

// AddFlat adds one file as an item addressed by the hash of its content.
func (s *Store) AddFlat(ctx context.Context, l *Lease, name, algo, src string) (Info, error) {
	return s.AddFixed(ctx, l, name, src, algo, nil, false)
}

// AddFixed adds a tree (recursive) or file as an item addressed by a hash of
// any algorithm, of its archive or content. If want is given, any other hash
// is a [HashMismatchError], and nothing is added.
func (s *Store) AddFixed(ctx context.Context, l *Lease, name, src, algo string, want []byte, recursive bool) (Info, error) {
	i, err := s.addFixed(ctx, l, name, src, algo, want, recursive)
	if err != nil {
		return Info{}, fmt.Errorf("cannot add %s to the store: %w", src, s.explain(err))
	}
	return i, nil
}

func (s *Store) addFixed(ctx context.Context, l *Lease, name, src, algo string, want []byte, recursive bool) (Info, error) {
	newHash, err := hashAlgo(algo)
	if err != nil {
		return Info{}, err
	}
	if err := ValidName(name); err != nil {
		return Info{}, err
	}
	if want != nil {
		p, err := FixedPath(name, algo, want, recursive)
		if err != nil {
			return Info{}, err
		}
		if i, ok, err := s.known(l, p, nil); ok || err != nil {
			return i, err
		}
	}
	t, err := listFixed(ctx, src, recursive)
	if err != nil {
		return Info{}, err
	}
	temp, err := l.scratch()
	if err != nil {
		return Info{}, err
	}
	var (
		sum     = sha256.New()
		fixed   = newHash()
		archive = io.Writer(sum)
		content io.Writer
	)
	if recursive {
		archive = io.MultiWriter(sum, fixed)
	} else {
		content = fixed
	}
	size, err := s.copyTree(ctx, t, temp, archive, content)
	if err != nil {
		return Info{}, err
	}
	got := fixed.Sum(nil)
	if want != nil && string(want) != string(got) {
		err := &HashMismatchError{Name: name, Want: algo + ":" + fmt.Sprintf("%x", want), Got: algo + ":" + fmt.Sprintf("%x", got)}
		return Info{}, errors.Join(err, fsys.RemoveTree(s.fs, temp))
	}
	p, err := FixedPath(name, algo, got, recursive)
	if err != nil {
		return Info{}, err
	}
	h := Hash(sum.Sum(nil))
	return s.finish(ctx, l, Info{Path: p, NarHash: h, NarSize: size, CA: fixedCA(algo, got, recursive)}, temp)
}

// listFixed lists what AddFixed adds: for a flat item one file, whose
// executable bit does not count.
func listFixed(ctx context.Context, src string, recursive bool) (*nar.Tree, error) {
	t, err := nar.List(ctx, src, nil)
	if err != nil || recursive {
		return t, err
	}
	if len(t.Nodes) != 1 || t.Nodes[0].Type != nar.Regular {
		return nil, fmt.Errorf("it is a %s, and only a file can be added flat", t.Nodes[0].Type)
	}
	t.Nodes[0].Executable = false
	return t, nil
}

// ComputeFixed returns the path that AddFixed would give, and adds nothing.
func ComputeFixed(ctx context.Context, name, src, algo string, recursive bool) (Path, error) {
	digest, err := hashFixed(ctx, src, algo, recursive)
	if err != nil {
		return "", fmt.Errorf("cannot hash %s: %w", src, err)
	}
	return FixedPath(name, algo, digest, recursive)
}

func hashFixed(ctx context.Context, src, algo string, recursive bool) ([]byte, error) {
	newHash, err := hashAlgo(algo)
	if err != nil {
		return nil, err
	}
	t, err := listFixed(ctx, src, recursive)
	if err != nil {
		return nil, err
	}
	sum := newHash()
	if recursive {
		err = t.Encode(ctx, nar.NewEncoder(sum), t.FileContents(ctx), nil)
		return sum.Sum(nil), err
	}
	f, err := os.Open(src)
	if err != nil {
		return nil, err
	}
	_, err = io.Copy(sum, f)
	return sum.Sum(nil), errors.Join(err, f.Close())
}

// list lists a source tree and takes its fingerprint. The path is made
// absolute, and a link at its end is kept as a link.
func (s *Store) list(ctx context.Context, src string, f Filter) (*nar.Tree, fingerprint, error) {
	abs, err := filepath.Abs(src)
	if err != nil {
		return nil, fingerprint{}, err
	}
	started := time.Now()
	t, err := nar.List(ctx, abs, f)
	if err != nil {
		return nil, fingerprint{}, err
	}
	return t, takeFingerprint(t, started), nil
}
