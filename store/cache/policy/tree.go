// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// node is a value of a JSON text that knows where it stands, which those of
// encoding/json do not.
type node struct {
	at     int64 // its first byte
	value  any   // string, json.Number, bool, or nil
	list   []node
	fields []field
	kind   kind
}

type field struct {
	at   int64
	name string
	node
}

// kind of a node, as errors call it.
type kind string

const (
	aText   kind = "a text"
	aNumber kind = "a number"
	aBool   kind = "true or false"
	aNull   kind = "null"
	aList   kind = "a list"
	anEntry kind = "an object"
)

// maxDepth bounds how deep values lie in each other: what a policy needs, and
// some more for errors to point at.
const maxDepth = 8

// located is an error with the byte at which it shows.
type located struct {
	at  int64
	err error
}

func (e *located) Error() string { return e.err.Error() }
func (e *located) Unwrap() error { return e.err }

func at(offset int64, format string, args ...any) error {
	return &located{offset, fmt.Errorf(format, args...)}
}

// position writes FILE:LINE:COLUMN of a byte.
func position(file string, text []byte, offset int64) string {
	before := text[:max(0, min(offset, int64(len(text))))]
	line := bytes.LastIndexByte(before, '\n') + 1
	return fmt.Sprintf("%s:%d:%d", file, bytes.Count(before, []byte{'\n'})+1, utf8.RuneCount(before[line:])+1)
}

// parseTree reads a JSON text.
func parseTree(text []byte) (node, error) {
	r := &treeReader{text: text, dec: json.NewDecoder(bytes.NewReader(text))}
	r.dec.UseNumber()
	n, err := r.node(0)
	if err == nil {
		start := r.next()
		if _, more := r.dec.Token(); !errors.Is(more, io.EOF) {
			err = at(start, "more follows its end")
		}
	}
	return n, err
}

type treeReader struct {
	text []byte
	dec  *json.Decoder
}

// next is where the next token begins.
func (r *treeReader) next() int64 {
	k := r.dec.InputOffset()
	for k < int64(len(r.text)) && bytes.IndexByte([]byte(" \t\r\n,:"), r.text[k]) >= 0 {
		k++
	}
	return k
}

func (r *treeReader) token() (json.Token, int64, error) {
	start := r.next()
	t, err := r.dec.Token()
	var syntax *json.SyntaxError
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return nil, start, at(int64(len(r.text)), "it ends too early")
	case errors.As(err, &syntax):
		return nil, start, at(max(start, syntax.Offset-1), "%w", err)
	case err != nil:
		return nil, start, at(start, "%w", err)
	}
	return t, start, nil
}

func (r *treeReader) node(depth int) (node, error) {
	t, start, err := r.token()
	if err != nil {
		return node{}, err
	}
	n := node{at: start, value: t}
	switch t := t.(type) {
	case string:
		n.kind = aText
	case json.Number:
		n.kind = aNumber
	case bool:
		n.kind = aBool
	case nil:
		n.kind = aNull
	case json.Delim:
		if depth >= maxDepth {
			return n, at(start, "values lie too deep in each other")
		}
		n.value, n.kind = nil, aList
		if t == '{' {
			n.kind = anEntry
		}
		return r.inside(n, depth+1)
	}
	return n, nil
}

// inside reads what a list or an object holds.
func (r *treeReader) inside(n node, depth int) (node, error) {
	seen := make(map[string]bool)
	for r.dec.More() {
		var f field
		if n.kind == anEntry {
			t, start, err := r.token()
			if err != nil {
				return n, err
			}
			f.at, f.name = start, fmt.Sprint(t) // the decoder takes only texts for keys
			if seen[f.name] {
				return n, at(start, "the field %q comes twice", f.name)
			}
			seen[f.name] = true
		}
		value, err := r.node(depth)
		if err != nil {
			return n, err
		}
		if f.node = value; n.kind == anEntry {
			n.fields = append(n.fields, f)
		} else {
			n.list = append(n.list, value)
		}
	}
	_, _, err := r.token()
	return n, err
}
