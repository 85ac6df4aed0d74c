// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package apt

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/mikelolasagasti/xz"
)

const (
	// maxPacked and maxIndex bound an index as it comes and as it is read; the
	// greatest there are have some 15 and 70 MB.
	maxPacked = 256 << 20
	maxIndex  = 1 << 30
	// maxDictionary bounds the memory for unpacking xz: xz -9 wants 64 MiB.
	maxDictionary = 64 << 20
)

// packings are the suffixes of indexes in the order in which they are
// preferred: gz is five times as fast as xz, for a third more bytes.
var packings = []string{".gz", ".xz", ""}

// unpack undoes a packing. size is what has to come out, -1 where it is not
// known.
func unpack(packing string, data []byte, size int64) ([]byte, error) {
	var r io.Reader
	var err error
	switch packing {
	case "":
		return data, nil
	case ".gz":
		r, err = gzip.NewReader(bytes.NewReader(data))
	case ".xz":
		r, err = xz.NewReader(bytes.NewReader(data), maxDictionary)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot unpack it: %w", err)
	}
	limit := int64(maxIndex)
	if size >= 0 {
		if size > maxIndex {
			return nil, fmt.Errorf("it has %d bytes, more than %d", size, int64(maxIndex))
		}
		limit = size
	}
	// Memory grows with what really comes, not with what was promised.
	out := bytes.NewBuffer(make([]byte, 0, min(limit, int64(len(data))*8)+bytes.MinRead))
	n, err := io.Copy(out, io.LimitReader(r, limit+1))
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return nil, fmt.Errorf("%w: what is packed is cut off", ErrMismatch)
	case err != nil:
		return nil, fmt.Errorf("cannot unpack it: %w", err)
	case n > limit:
		return nil, fmt.Errorf("%w: it unpacks to more than %d bytes", ErrMismatch, limit)
	case size >= 0 && n < size:
		return nil, fmt.Errorf("%w: it unpacks to %d bytes, not %d", ErrMismatch, n, size)
	}
	return out.Bytes(), nil
}
