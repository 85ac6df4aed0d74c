// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package nar

import "context"

// Layout says what stands where in the archive of a tree, without the files'
// contents.
type Layout struct {
	// Pieces stand one behind the other, without gaps. That of an empty file
	// is empty.
	Pieces []Piece
	Size   int64
}

// Piece is a part of an archive: framing, or the content of a file.
type Piece struct {
	Offset, Size int64
	Text         []byte // of framing
	File         *Node  // of content
}

// Layout computes the layout of the tree's archive.
func (t *Tree) Layout(ctx context.Context) (*Layout, error) {
	l := &Layout{}
	e := NewEncoder(l)
	err := t.Encode(ctx, e, func(e *Encoder, n *Node) error {
		e.OpenFile(n.Size, n.Executable)
		if err := e.Flush(); err != nil {
			return err
		}
		l.Pieces = append(l.Pieces, Piece{Offset: l.Size, Size: n.Size, File: n})
		e.skip()
		l.Size = e.Offset()
		e.CloseFile(n.Size)
		return nil
	}, nil)
	return l, err
}

// Write takes framing.
func (l *Layout) Write(p []byte) (int, error) {
	size := int64(len(p))
	l.Pieces = append(l.Pieces, Piece{Offset: l.Size, Size: size, Text: append([]byte(nil), p...)})
	l.Size += size
	return len(p), nil
}

// skip counts the content of the open file as written. Nothing may be
// buffered.
func (e *Encoder) skip() {
	e.written += e.left
	e.left = 0
}
