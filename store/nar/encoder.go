// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package nar

import (
	"encoding/binary"
	"fmt"
	"io"
)

// encoderBuffer gathers framing and small contents, so that hashes and files
// see large writes.
const encoderBuffer = 64 << 10

// Encoder writes the elements of an archive in the order they are called. It
// checks names, targets and sizes, not the order of entries: [Tree] gives
// them sorted. The first error stays and makes all later calls do nothing;
// Flush returns it.
type Encoder struct {
	w       io.Writer
	buf     []byte
	written int64
	left    int64 // of the file being written
	err     error
}

// NewEncoder starts an archive on w.
func NewEncoder(w io.Writer) *Encoder { return newEncoder(w, encoderBuffer) }

func newEncoder(w io.Writer, buffer int) *Encoder {
	e := &Encoder{w: w, buf: make([]byte, 0, buffer)}
	e.str(magic)
	return e
}

// Offset is the number of bytes of the archive so far.
func (e *Encoder) Offset() int64 { return e.written + int64(len(e.buf)) }

// Flush writes what is buffered and returns the first error.
func (e *Encoder) Flush() error {
	if e.err == nil && len(e.buf) > 0 {
		_, e.err = e.w.Write(e.buf)
		e.written += int64(len(e.buf))
		e.buf = e.buf[:0]
	}
	return e.err
}

// Symlink writes a link.
func (e *Encoder) Symlink(target string) {
	if err := checkTarget(target); err != nil {
		e.fail(err)
		return
	}
	e.strs("(", "type", string(Symlink), "target", target, ")")
}

// OpenFile starts a file of exactly size bytes, which Write calls give and
// CloseFile ends.
func (e *Encoder) OpenFile(size int64, executable bool) {
	e.strs("(", "type", string(Regular))
	if executable {
		e.strs("executable", "")
	}
	e.str("contents")
	e.uint(uint64(size))
	e.left = size
}

// Write gives content of the open file.
func (e *Encoder) Write(p []byte) (int, error) {
	if int64(len(p)) > e.left {
		e.fail(fmt.Errorf("cannot archive a file: it is longer than announced"))
	}
	if e.err != nil {
		return 0, e.err
	}
	e.left -= int64(len(p))
	e.raw(p)
	return len(p), e.err
}

// CloseFile ends the file whose announced size was size.
func (e *Encoder) CloseFile(size int64) {
	if e.left != 0 {
		e.fail(fmt.Errorf("cannot archive a file: it is %d bytes shorter than announced", e.left))
	}
	e.pad(size)
	e.str(")")
}

// OpenDir starts a folder; its entries follow, then CloseDir.
func (e *Encoder) OpenDir() { e.strs("(", "type", string(Directory)) }

// CloseDir ends a folder.
func (e *Encoder) CloseDir() { e.str(")") }

// OpenEntry starts an entry of the open folder; one node follows, then
// CloseEntry.
func (e *Encoder) OpenEntry(name string) {
	if err := checkName(name); err != nil {
		e.fail(err)
		return
	}
	e.strs("entry", "(", "name", name, "node")
}

// CloseEntry ends an entry.
func (e *Encoder) CloseEntry() { e.str(")") }

func (e *Encoder) fail(err error) {
	if e.err == nil {
		e.err = err
	}
}

func (e *Encoder) strs(list ...string) {
	for _, s := range list {
		e.str(s)
	}
}

func (e *Encoder) str(s string) {
	e.uint(uint64(len(s)))
	if len(e.buf)+len(s)+8 > cap(e.buf) {
		e.raw([]byte(s))
	} else {
		e.buf = append(e.buf, s...)
	}
	e.pad(int64(len(s)))
}

func (e *Encoder) uint(v uint64) {
	if len(e.buf)+8 > cap(e.buf) {
		e.Flush()
		e.buf = e.buf[:0]
	}
	e.buf = binary.LittleEndian.AppendUint64(e.buf, v)
}

func (e *Encoder) pad(n int64) {
	var zero [8]byte
	if over := n % 8; over != 0 {
		e.raw(zero[over:])
	}
}

func (e *Encoder) raw(p []byte) {
	if len(e.buf)+len(p) > cap(e.buf) {
		e.Flush()
	}
	if e.err != nil {
		return
	}
	if len(p) >= cap(e.buf) {
		_, e.err = e.w.Write(p)
		e.written += int64(len(p))
		return
	}
	e.buf = append(e.buf, p...)
}

// WriteFile writes the archive of one file that lies in memory and returns
// the archive's size.
func WriteFile(w io.Writer, text []byte, executable bool) (int64, error) {
	e := NewEncoder(w)
	size := int64(len(text))
	e.OpenFile(size, executable)
	_, _ = e.Write(text) // the error stays in the encoder
	e.CloseFile(size)
	err := e.Flush()
	return e.Offset(), err
}
