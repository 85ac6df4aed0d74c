// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package builtin

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/mikelolasagasti/xz"
)

// maxWindow is how much memory a zstd or xz archive may ask for.
const maxWindow = 128 << 20

// formats are the compressions that are known by the first bytes.
var formats = []struct {
	name  string
	magic []byte
	open  func(io.Reader) (io.Reader, error)
}{
	{"gzip", []byte{0x1f, 0x8b}, func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) }},
	{"bzip2", []byte("BZh"), func(r io.Reader) (io.Reader, error) { return bzip2.NewReader(r), nil }},
	{"xz", []byte{0xfd, '7', 'z', 'X', 'Z', 0}, func(r io.Reader) (io.Reader, error) { return xz.NewReader(r, maxWindow) }},
	{"zstd", []byte{0x28, 0xb5, 0x2f, 0xfd}, openZstd},
}

// openZstd decodes in the caller's goroutine, so that there is nothing to
// close.
func openZstd(r io.Reader) (io.Reader, error) {
	return zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
}

// decompress undoes the compression that the first bytes tell, if any.
func decompress(r io.Reader) (io.Reader, error) {
	b := bufio.NewReaderSize(r, 64<<10)
	// A shorter file is no archive of any kind; the reader of tar says so.
	head, _ := b.Peek(8)
	for _, f := range formats {
		if bytes.HasPrefix(head, f.magic) {
			d, err := f.open(b)
			if err != nil {
				return nil, fmt.Errorf("cannot undo the %s compression: %w", f.name, err)
			}
			return d, nil
		}
	}
	return b, nil
}
