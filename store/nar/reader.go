// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package nar

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path"
)

// Header describes one node of an archive.
type Header struct {
	// Path is slash-separated and relative to the top, which is "".
	Path       string
	Type       Type
	Executable bool   // of a file
	Size       int64  // of a file
	Target     string // of a link
}

// Reader reads an archive node by node, each folder before its content, as a
// tar reader does: Next gives the next node, Read the content of the file
// that Next gave. It reads not one byte beyond the archive's end, so that an
// archive may lie in a longer stream, and refuses whatever breaks the rules
// of the format with an error that wraps ErrFormat.
type Reader struct {
	r     io.Reader
	open  []folder // the folders that are not closed yet, outermost first
	left  int64    // unread content of the current file
	pad   int64    // padding behind it
	state state
	err   error
	word  [8]byte
}

type state uint8

const (
	atStart   state = iota
	inFolder        // the next string is "entry" or ")"
	inFile          // content, then ")"
	afterNode       // the node ended: ")" of its entry follows
)

type folder struct {
	path string
	last string // the last entry's name: names must grow
}

// NewReader reads the archive at the start of r. Small reads are made, so r
// should be buffered.
func NewReader(r io.Reader) *Reader { return &Reader{r: r} }

// Next skips what is left of the current file and returns the next node. At
// the archive's end it returns io.EOF.
func (r *Reader) Next() (Header, error) {
	if r.err != nil {
		return Header{}, r.err
	}
	h, err := r.next()
	if err != nil {
		r.err = err
		return Header{}, err
	}
	return h, nil
}

// Read reads content of the current file, and returns io.EOF at its end.
func (r *Reader) Read(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	if r.state != inFile || r.left == 0 {
		return 0, io.EOF
	}
	if int64(len(p)) > r.left {
		p = p[:r.left]
	}
	n, err := r.r.Read(p)
	r.left -= int64(n)
	if err != nil && (!errors.Is(err, io.EOF) || r.left > 0) {
		r.err = truncated(err)
		return n, r.err
	}
	return n, nil
}

func (r *Reader) next() (Header, error) {
	if r.state == atStart {
		if err := r.expect(magic); err != nil {
			return Header{}, err
		}
		return r.node("")
	}
	for {
		switch r.state {
		case inFile:
			if err := r.endFile(); err != nil {
				return Header{}, err
			}
		case afterNode:
			if len(r.open) == 0 {
				return Header{}, io.EOF
			}
			if err := r.expect(")"); err != nil {
				return Header{}, err
			}
			r.state = inFolder
		case inFolder:
			tok, err := r.token("entry", ")")
			if err != nil {
				return Header{}, err
			}
			if tok == ")" {
				r.open = r.open[:len(r.open)-1]
				r.state = afterNode
				continue
			}
			return r.entry()
		}
	}
}

func (r *Reader) entry() (Header, error) {
	for _, want := range []string{"(", "name"} {
		if err := r.expect(want); err != nil {
			return Header{}, err
		}
	}
	name, err := r.str(MaxName)
	if err != nil {
		return Header{}, err
	}
	if err := checkName(name); err != nil {
		return Header{}, err
	}
	dir := &r.open[len(r.open)-1]
	if name <= dir.last {
		return Header{}, fmt.Errorf("%w: %q follows %q, but entries must be sorted", ErrFormat, name, dir.last)
	}
	dir.last = name
	if err := r.expect("node"); err != nil {
		return Header{}, err
	}
	return r.node(path.Join(dir.path, name))
}

func (r *Reader) node(path string) (Header, error) {
	h := Header{Path: path}
	// The top lies at depth 0.
	if len(r.open) >= MaxDepth {
		return h, fmt.Errorf("%w: %q is nested %d folders deep", ErrFormat, path, len(r.open))
	}
	for _, want := range []string{"(", "type"} {
		if err := r.expect(want); err != nil {
			return h, err
		}
	}
	typ, err := r.token(string(Regular), string(Directory), string(Symlink))
	if err != nil {
		return h, err
	}
	h.Type = Type(typ)
	switch h.Type {
	case Directory:
		r.open = append(r.open, folder{path: path})
		r.state = inFolder
	case Symlink:
		if err := r.expect("target"); err != nil {
			return h, err
		}
		if h.Target, err = r.str(MaxTarget); err != nil {
			return h, err
		}
		if err := checkTarget(h.Target); err != nil {
			return h, err
		}
		if err := r.expect(")"); err != nil {
			return h, err
		}
		r.state = afterNode
	case Regular:
		return r.file(h)
	}
	return h, nil
}

// file reads a file's header.
func (r *Reader) file(h Header) (Header, error) {
	tok, err := r.token("executable", "contents")
	if err != nil {
		return h, err
	}
	if tok == "executable" {
		h.Executable = true
		if err := r.expect(""); err != nil {
			return h, err
		}
		if err := r.expect("contents"); err != nil {
			return h, err
		}
	}
	size, err := r.uint()
	if err != nil {
		return h, err
	}
	if size > 1<<62 {
		return h, fmt.Errorf("%w: %q has the size %d", ErrFormat, h.Path, size)
	}
	h.Size = int64(size)
	r.left, r.pad = h.Size, -h.Size&7
	r.state = inFile
	return h, nil
}

func (r *Reader) endFile() error {
	if r.left > 0 {
		n, err := io.CopyN(io.Discard, r.r, r.left)
		r.left -= n
		if err != nil {
			return truncated(err)
		}
	}
	if err := r.padding(r.pad); err != nil {
		return err
	}
	if err := r.expect(")"); err != nil {
		return err
	}
	r.state = afterNode
	return nil
}

func (r *Reader) padding(n int64) error {
	if n == 0 {
		return nil
	}
	clear(r.word[:])
	if _, err := io.ReadFull(r.r, r.word[:n]); err != nil {
		return truncated(err)
	}
	for _, b := range r.word[:n] {
		if b != 0 {
			return fmt.Errorf("%w: padding is not zero", ErrFormat)
		}
	}
	return nil
}

func (r *Reader) uint() (uint64, error) {
	if _, err := io.ReadFull(r.r, r.word[:]); err != nil {
		return 0, truncated(err)
	}
	return binary.LittleEndian.Uint64(r.word[:]), nil
}

// str reads a string of at most limit bytes.
func (r *Reader) str(limit int) (string, error) {
	n, err := r.uint()
	if err != nil {
		return "", err
	}
	if n > uint64(limit) {
		return "", fmt.Errorf("%w: a string has %d bytes where at most %d are allowed", ErrFormat, n, limit)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r.r, b); err != nil {
		return "", truncated(err)
	}
	return string(b), r.padding(-int64(n) & 7)
}

// tokenLimit is longer than any word of the format, so that a wrong word can
// be shown.
const tokenLimit = 32

func (r *Reader) token(want ...string) (string, error) {
	got, err := r.str(tokenLimit)
	if err != nil {
		return "", err
	}
	for _, w := range want {
		if got == w {
			return got, nil
		}
	}
	return "", fmt.Errorf("%w: %q stands where %q is expected", ErrFormat, got, want)
}

func (r *Reader) expect(want string) error {
	_, err := r.token(want)
	return err
}

// truncated turns the end of input, which is an error everywhere inside an
// archive, into one that says so.
func truncated(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it ends too early", ErrFormat)
	}
	return fmt.Errorf("cannot read the archive: %w", err)
}
