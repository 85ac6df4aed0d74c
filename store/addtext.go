// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"osbuild/store/fsys"
)

// AddText adds a file with this text that refers to refs, which must be
// valid.
func (s *Store) AddText(ctx context.Context, l *Lease, name string, text []byte, refs []Path) (Info, error) {
	p, err := TextPath(name, text, refs)
	if err != nil {
		return Info{}, err
	}
	h, size := fileHash(text, false)
	return s.addFile(ctx, l, Info{Path: p, NarHash: h, NarSize: size, References: sortPaths(refs), CA: textCA(sha256.Sum256(text))}, text, false)
}

// AddExecutable adds an executable file with this text that refers to refs,
// which must be valid. It is addressed by its archive, because a text address
// knows no executable bit.
func (s *Store) AddExecutable(ctx context.Context, l *Lease, name string, text []byte, refs []Path) (Info, error) {
	h, size := ExecutableHash(text)
	p, err := SourcePath(name, h, refs, false)
	if err != nil {
		return Info{}, err
	}
	return s.addFile(ctx, l, Info{Path: p, NarHash: h, NarSize: size, References: sortPaths(refs), CA: sourceCA(h)}, text, true)
}

func (s *Store) addFile(ctx context.Context, l *Lease, i Info, text []byte, executable bool) (Info, error) {
	have, ok, err := s.known(l, i.Path, i.References)
	if err == nil && !ok {
		have, err = s.addNewFile(ctx, l, i, text, executable)
	}
	if err != nil {
		return Info{}, fmt.Errorf("cannot add %s to the store: %w", i.Path.Name(), s.explain(err))
	}
	return have, nil
}

func (s *Store) addNewFile(ctx context.Context, l *Lease, i Info, text []byte, executable bool) (Info, error) {
	temp, err := l.scratch()
	if err != nil {
		return Info{}, err
	}
	f, err := s.fs.Create(temp, fileMode(executable))
	if err != nil {
		return Info{}, err
	}
	if _, err = f.Write(text); err == nil {
		err = f.Finish(fileMode(executable), epoch)
	}
	if err != nil {
		_ = f.Close() // the first error counts
		return Info{}, errors.Join(err, fsys.RemoveTree(s.fs, temp))
	}
	return s.finish(ctx, l, i, temp)
}
