// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

// Package segment writes pieces of tar archives, each compressed by itself.
//
// A segment is a run of tar entries without the archive's end, compressed as
// one zstd frame or one gzip member of its own. Segments that follow each
// other, with an end ([Encoder.End]) behind the last, are one valid compressed
// archive; so a piece can be made once and stand in many archives. The same
// entries give the same bytes on every machine.
//
// It owns the bytes of such a piece: which headers, in which form, compressed
// how. It never decides what stands in an image or in which order, and knows
// neither the store nor layers. Start with [Encoder].
package segment

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"osbuild/store/nar"
)

// Type is what an entry is.
type Type byte

// Types of entries. Nothing else stands in a store, or in an image of one.
const (
	Regular   Type = tar.TypeReg
	Directory Type = tar.TypeDir
	Symlink   Type = tar.TypeSymlink
)

// Entry is one path of an archive.
type Entry struct {
	// Path is relative to the root of the archive, without dot segments.
	Path string
	Type Type
	// Mode holds permission, set-id and sticky bits. Links have none.
	Mode     uint32
	UID, GID int
	// Size and Source, where the content lies on this machine, are of a
	// regular file.
	Size   int64
	Source string
	// Target is what a link says.
	Target string
}

// Format is how segments are compressed.
type Format string

// Formats that every part of an image may have.
const (
	Zstd Format = "zstd"
	Gzip Format = "gzip"
)

// ParseFormat checks the name of a format.
func ParseFormat(s string) (Format, error) {
	switch f := Format(s); f {
	case Zstd, Gzip:
		return f, nil
	}
	return "", fmt.Errorf("unknown format %q; zstd and gzip are known", s)
}

// ErrWhiteout is the error for a file whose name means in a layer that another
// file is deleted.
var ErrWhiteout = errors.New("in an image, names that start with .wh. mean that a file is deleted")

// Times of entries: like those of the store, and the same everywhere.
var entryTime = time.Unix(1, 0)

const (
	readBuffer  = 256 << 10
	writeBuffer = 64 << 10
	// windowSize bounds the memory of whoever unpacks, too: the format says
	// that every reader must take 8 MiB.
	windowSize = 8 << 20
	gzipLevel  = 6
)

// compressor is a zstd or gzip writer.
type compressor interface {
	io.WriteCloser
	Reset(w io.Writer)
}

// Encoder writes segments, one after the other. It may not be used by two
// goroutines at once; several encoders may work at the same time.
type Encoder struct {
	c   compressor
	buf []byte
	out *bufio.Writer
}

// NewEncoder returns an encoder for a format.
func NewEncoder(f Format) (*Encoder, error) {
	e := &Encoder{buf: make([]byte, readBuffer), out: bufio.NewWriterSize(nil, writeBuffer)}
	var err error
	switch f {
	case Zstd:
		// One goroutine: callers have a segment for every processor.
		e.c, err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedDefault),
			zstd.WithWindowSize(windowSize), zstd.WithEncoderCRC(true))
	case Gzip:
		e.c, err = gzip.NewWriterLevel(nil, gzipLevel)
	default:
		_, err = ParseFormat(string(f))
	}
	if err != nil {
		return nil, fmt.Errorf("cannot compress: %w", err)
	}
	return e, nil
}

// Write writes entries, in their order, to plain as they are in the archive
// and to packed as one compressed piece.
func (e *Encoder) Write(ctx context.Context, plain, packed io.Writer, entries []Entry) error {
	return e.piece(plain, packed, func(w io.Writer) error {
		t := tar.NewWriter(w)
		for i := range entries {
			if err := e.entry(ctx, t, &entries[i]); err != nil {
				return err
			}
		}
		return t.Flush()
	})
}

// End writes what ends an archive.
func (e *Encoder) End(plain, packed io.Writer) error {
	return e.piece(plain, packed, func(w io.Writer) error { return tar.NewWriter(w).Close() })
}

func (e *Encoder) piece(plain, packed io.Writer, write func(w io.Writer) error) error {
	e.c.Reset(packed)
	// Pieces of a fixed size, so that the compressed bytes cannot depend on
	// how the content was read.
	e.out.Reset(io.MultiWriter(plain, e.c))
	if err := write(e.out); err != nil {
		return err
	}
	if err := e.out.Flush(); err != nil {
		return fmt.Errorf("cannot write a layer: %w", err)
	}
	if err := e.c.Close(); err != nil {
		return fmt.Errorf("cannot write a layer: %w", err)
	}
	return nil
}

// shown is a path for a message; what could disturb a terminal is quoted.
func shown(p string) string {
	if q := strconv.Quote(p); len(q) != len(p)+2 {
		return q
	}
	return p
}

func (e *Encoder) entry(ctx context.Context, t *tar.Writer, n *Entry) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	h, err := n.header()
	if err != nil {
		return fmt.Errorf("cannot put %s into an image: %w", shown("/"+n.Path), err)
	}
	if err := t.WriteHeader(h); err != nil {
		return fmt.Errorf("cannot put %s into an image: %w", shown("/"+n.Path), err)
	}
	if n.Type != Regular {
		return nil
	}
	return nar.ReadContent(n.Source, n.Size, e.buf, func(p []byte) ([]byte, error) {
		if err := ctx.Err(); err != nil {
			return e.buf, err
		}
		_, err := t.Write(p)
		return e.buf, err
	})
}
