// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package origin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sort"

	"golang.org/x/sys/unix"

	"osbuild/store/nar"
)

// reader reads the archive of a tree from any place in it.
type reader struct {
	ctx    context.Context
	tree   *nar.Tree
	layout *nar.Layout
	offset int64

	open *nar.Node // the file that is open, or nil
	file *os.File
}

func newReader(ctx context.Context, t *nar.Tree) (*reader, error) {
	l, err := t.Layout(ctx)
	if err != nil {
		return nil, err
	}
	return &reader{ctx: ctx, tree: t, layout: l}, nil
}

// Seek implements io.Seeker.
func (r *reader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += r.offset
	case io.SeekEnd:
		offset += r.layout.Size
	}
	if offset < 0 {
		return 0, errors.New("cannot read before an archive's start")
	}
	r.offset = offset
	return offset, nil
}

// Read implements io.Reader.
func (r *reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	done := 0
	// Framing is short, so a read takes as many pieces as it can.
	for done < len(p) && r.offset < r.layout.Size {
		pieces := r.layout.Pieces
		piece := &pieces[sort.Search(len(pieces), func(k int) bool { return pieces[k].Offset+pieces[k].Size > r.offset })]
		within := r.offset - piece.Offset
		n := 0
		if piece.File == nil {
			n = copy(p[done:], piece.Text[within:])
		} else {
			room := p[done:]
			var err error
			if n, err = r.content(piece, room[:min(int64(len(room)), piece.Size-within)], within); err != nil {
				return done, err
			}
		}
		done += n
		r.offset += int64(n)
	}
	if done == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return done, nil
}

// content reads from a file, which must have the size that was listed.
func (r *reader) content(piece *nar.Piece, p []byte, at int64) (int, error) {
	if r.open != piece.File {
		r.close()
		f, err := os.OpenFile(r.tree.Physical(piece.File), os.O_RDONLY|unix.O_NOFOLLOW, 0)
		if err != nil {
			return 0, err
		}
		r.open, r.file = piece.File, f
	}
	n, err := r.file.ReadAt(p, at)
	if n == 0 || err != nil && !errors.Is(err, io.EOF) {
		return n, fmt.Errorf("cannot read %s: it is shorter than it was: %w", r.file.Name(), err)
	}
	return n, nil
}

func (r *reader) close() {
	if r.file != nil {
		_ = r.file.Close() // only read
		r.open, r.file = nil, nil
	}
}
