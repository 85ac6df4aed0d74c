// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

// Package codec compresses and decompresses the archives of a cache, by the
// names that narinfo texts use.
//
// It bounds the memory that a hostile stream can take, but not the length of
// what comes out: that is the reader's business. Start with [NewReader].
package codec

import (
	"bufio"
	"compress/bzip2"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/mikelolasagasti/xz"
)

// Default is how archives are compressed unless the user says otherwise.
const Default = "zstd"

// maxWindow is how far back a stream may refer; its reader keeps as much.
const maxWindow = 128 << 20

// writeWindow is how far back what we write refers: who reads it needs as much
// memory, and who writes it twice as much. More makes archives hardly smaller.
const writeWindow = 4 << 20

// ErrCorrupt is wrapped by errors about a stream that is not what its name
// says.
var ErrCorrupt = errors.New("damaged compressed data")

// method is one way to compress.
type method struct {
	extension string
	read      func(io.Reader) (io.ReadCloser, error)
	write     func(w io.Writer, size int64) (io.WriteCloser, error) // nil for one that is only read
}

var methods = map[string]method{
	"none": {
		read:  func(r io.Reader) (io.ReadCloser, error) { return io.NopCloser(r), nil },
		write: func(w io.Writer, _ int64) (io.WriteCloser, error) { return plain{w}, nil },
	},
	"zstd": {
		extension: ".zst",
		read: func(r io.Reader) (io.ReadCloser, error) {
			d, _ := decoders.Get().(*zstd.Decoder)
			if d == nil {
				var err error
				if d, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow)); err != nil {
					return nil, err
				}
			}
			return &pooledDecoder{d}, d.Reset(r)
		},
		write: writeZstd,
	},
	"gzip": {
		extension: ".gz",
		read:      func(r io.Reader) (io.ReadCloser, error) { return gzip.NewReader(r) },
		write:     func(w io.Writer, _ int64) (io.WriteCloser, error) { return gzip.NewWriter(w), nil },
	},
	"xz": {
		extension: ".xz",
		read: func(r io.Reader) (io.ReadCloser, error) {
			x, err := xz.NewReader(r, maxWindow)
			if err != nil {
				return nil, err
			}
			return io.NopCloser(x), nil
		},
	},
	"bzip2": {
		extension: ".bz2",
		read:      func(r io.Reader) (io.ReadCloser, error) { return io.NopCloser(bzip2.NewReader(r)), nil },
	},
}

func writeZstd(w io.Writer, size int64) (io.WriteCloser, error) {
	if size > 0 && size <= smallSize {
		s, err := newSmall()
		if err != nil {
			return nil, err
		}
		return &smallWriter{w: w, size: size, s: s}, nil
	}
	e, _ := encoders.Get().(*zstd.Encoder)
	if e == nil {
		var err error
		// Two: one looks for what repeats while the other writes. No checksum:
		// whoever reads an archive compares its hash.
		if e, err = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithWindowSize(writeWindow), zstd.WithEncoderConcurrency(2), zstd.WithEncoderCRC(false)); err != nil {
			return nil, err
		}
	}
	if size > writeWindow {
		size = -1
	}
	// With a size in front that is less than the window a reader takes less
	// memory.
	e.ResetContentSize(w, size)
	return &pooledEncoder{e}, nil
}

// Most archives are small, and what compresses them is not: it is used again.
var decoders, encoders sync.Pool

type pooledDecoder struct{ d *zstd.Decoder }

func (p *pooledDecoder) Read(b []byte) (int, error) {
	if p.d == nil {
		return 0, errClosed
	}
	return p.d.Read(b)
}

func (p *pooledDecoder) Close() error {
	if p.d != nil {
		_ = p.d.Reset(nil) // lets go of what it read from
		decoders.Put(p.d)
		p.d = nil
	}
	return nil
}

type pooledEncoder struct{ e *zstd.Encoder }

func (p *pooledEncoder) Write(b []byte) (int, error) {
	if p.e == nil {
		return 0, errClosed
	}
	return p.e.Write(b)
}

func (p *pooledEncoder) Close() error {
	if p.e == nil {
		return nil
	}
	err := p.e.Close()
	p.e.Reset(nil)
	encoders.Put(p.e)
	p.e = nil
	return err
}

var errClosed = errors.New("the compressed stream is closed")

type plain struct{ io.Writer }

func (plain) Close() error { return nil }

// Readable says whether archives compressed in this way can be read.
func Readable(name string) error {
	if _, ok := methods[name]; !ok {
		return fmt.Errorf("cannot read the compression %q: zstd, xz, gzip, bzip2 and none are known", name)
	}
	return nil
}

// Writable says whether archives can be compressed in this way.
func Writable(name string) error {
	if methods[name].write == nil {
		return fmt.Errorf("cannot compress as %q: choose zstd, gzip or none", name)
	}
	return nil
}

// Extension is what ends the names of such files.
func Extension(name string) string { return methods[name].extension }

// NewReader decompresses r. Errors about what r holds wrap [ErrCorrupt];
// those of r itself do not.
func NewReader(name string, r io.Reader) (io.ReadCloser, error) {
	if err := Readable(name); err != nil {
		return nil, err
	}
	if name == "none" {
		return io.NopCloser(r), nil
	}
	b := buffers.Get().(*bufio.Reader)
	b.Reset(r)
	src := &source{r: b}
	d, err := methods[name].read(src)
	if err != nil {
		src.release()
		return nil, src.blame(err)
	}
	return &reader{d, src}, nil
}

// NewWriter compresses to w; Close ends the stream, not w. size is how much is
// going to be written, or less than 0 where that is not known. The same bytes
// and size always become the same stream.
func NewWriter(name string, w io.Writer, size int64) (io.WriteCloser, error) {
	if err := Writable(name); err != nil {
		return nil, err
	}
	return methods[name].write(w, size)
}

var buffers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 64<<10) }}

// source remembers its own error, so that it is not taken for damage.
type source struct {
	r   *bufio.Reader // nil once released
	err error
}

// release lets the buffer be used again.
func (s *source) release() {
	if s.r != nil {
		s.r.Reset(nil)
		buffers.Put(s.r)
		s.r = nil
	}
}

func (s *source) Read(p []byte) (int, error) {
	if s.r == nil {
		return 0, errClosed
	}
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

func (s *source) blame(err error) error {
	if s.err != nil {
		return s.err
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it ends too early", ErrCorrupt)
	}
	return fmt.Errorf("%w: %w", ErrCorrupt, err)
}

type reader struct {
	io.ReadCloser
	src *source
}

func (r *reader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = r.src.blame(err)
	}
	return n, err
}

func (r *reader) Close() error {
	defer r.src.release()
	return r.ReadCloser.Close()
}
