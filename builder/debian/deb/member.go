// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package deb

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/mikelolasagasti/xz"
)

// maxWindow is how much memory a compressed member may ask for: what the
// strongest settings of zstd and xz need.
const maxWindow = 128 << 20

// parts are the members of a package that matter.
type parts struct {
	control, data member
}

// split finds the parts of a package: a version, the control archive, and the
// data archive, in this order. Members whose names begin with an underscore
// may stand anywhere behind the version, and mean nothing.
func split(members []member) (parts, error) {
	if len(members) == 0 || members[0].name != "debian-binary" {
		return parts{}, fmt.Errorf("%w: its first member is not debian-binary", ErrFormat)
	}
	if err := checkVersion(members[0].content); err != nil {
		return parts{}, err
	}
	var p parts
	for _, m := range members[1:] {
		switch {
		case strings.HasPrefix(m.name, "_"):
		case p.control.name == "" && isTar(m.name, "control"):
			p.control = m
		case p.control.name != "" && p.data.name == "" && isTar(m.name, "data"):
			p.data = m
		default:
			return parts{}, fmt.Errorf("%w: it has a member %q, out of place or unknown", ErrFormat, m.name)
		}
	}
	switch {
	case p.control.name == "":
		return parts{}, fmt.Errorf("%w: it has no member control.tar", ErrFormat)
	case p.data.name == "":
		return parts{}, fmt.Errorf("%w: it has no member data.tar", ErrFormat)
	}
	return p, nil
}

func isTar(name, what string) bool {
	return name == what+".tar" || strings.HasPrefix(name, what+".tar.")
}

// checkVersion wants a version that only adds to 2.0; what follows the first
// line is for later versions.
func checkVersion(content *io.SectionReader) error {
	text, err := io.ReadAll(io.LimitReader(content, 64))
	if err != nil {
		return err
	}
	line, _, ended := strings.Cut(string(text), "\n")
	if !ended || !strings.HasPrefix(line, "2.") {
		return fmt.Errorf("%w: its version is %q, and this osbuild knows 2.0", ErrFormat, line)
	}
	return nil
}

// decoders holds xz readers that are done: each has a window of many
// megabytes, which need not be cleared again.
var decoders = sync.Pool{New: func() any {
	r, _ := xz.NewReader(nil, maxWindow) // reads nothing, so cannot fail
	return r
}}

// open undoes the compression that the member's name tells. The function gives
// back what the reader holds.
func (m member) open() (io.Reader, func(), error) {
	_, format, _ := strings.Cut(m.name, ".tar")
	var r io.Reader
	var err error
	done := func() {}
	switch format {
	case "":
		return m.content, done, nil
	case ".gz":
		r, err = gzip.NewReader(bufio.NewReader(m.content))
	case ".xz":
		d := decoders.Get().(*xz.Reader)
		r, done = d, func() { decoders.Put(d) }
		err = d.Reset(m.content)
	case ".zst":
		// Decoded in the caller's goroutine, so that there is nothing to close.
		r, err = zstd.NewReader(m.content, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
	default:
		return nil, nil, fmt.Errorf("%w: the compression %q is not known (known: .gz, .xz, .zst)", ErrFormat, format)
	}
	if err != nil {
		done()
		return nil, nil, fmt.Errorf("%w: cannot undo the compression: %w", ErrFormat, noEOF(err))
	}
	return r, done, nil
}

// noEOF turns the end of a stream into an error: where it is asked for, more
// must come.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// bounded ends a stream with an error where it grows over a limit.
type bounded struct {
	r     io.Reader
	left  int64
	limit int64
}

func bound(r io.Reader, limit int64) *bounded { return &bounded{r, limit, limit} }

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, fmt.Errorf("%w: it becomes more than %d bytes", ErrUnsafe, b.limit)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = fmt.Errorf("%w: cannot undo the compression: %w", ErrFormat, err)
	}
	return n, err
}

// drain reads what stands behind the end of a tar archive: zeros that fill it
// up, and nothing else.
func drain(r io.Reader, buf []byte) error {
	for {
		n, err := r.Read(buf)
		for _, c := range buf[:n] {
			if c != 0 {
				return fmt.Errorf("%w: something follows its end", ErrFormat)
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
