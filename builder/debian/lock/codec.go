// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package lock

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// maxFile bounds what is read: a hundred times the largest system.
const maxFile = 64 << 20

// LineError is an error at a line of a lock.
type LineError struct {
	Line int
	Err  error
}

func (e *LineError) Error() string { return fmt.Sprintf("line %d: %v", e.Line, e.Err) }

// Unwrap gives the error without the line.
func (e *LineError) Unwrap() error { return e.Err }

// Encode writes a lock in its one form: lists are sorted, and each root,
// suite and package has a line of its own, so that a change of a package is
// a change of a line.
func (l *Lock) Encode() ([]byte, error) {
	sorted := l.sorted()
	if err := sorted.check(); err != nil {
		return nil, fmt.Errorf("cannot write a lock: %w", err)
	}
	return sorted.encode(), nil
}

func (l *Lock) encode() []byte {
	w := writer{}
	w.text("{\n  \"version\": ")
	w.value(l.Version)
	w.text(",\n  \"arch\": ")
	w.value(l.Arch)
	w.text(",\n  \"essential\": ")
	w.value(l.Essential)
	if l.Suite != "" {
		w.text(",\n  \"suite\": ")
		w.value(l.Suite)
	}
	list(&w, "roots", l.Roots)
	list(&w, "suites", l.Suites)
	list(&w, "packages", l.Packages)
	w.text("\n}\n")
	return w.buf.Bytes()
}

type writer struct{ buf bytes.Buffer }

func (w *writer) text(s string) { w.buf.WriteString(s) }

// value writes what can always be written: strings, numbers and lists.
func (w *writer) value(v any) {
	enc := json.NewEncoder(&w.buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(err) // no type of this package has a value that JSON lacks
	}
	w.buf.Truncate(w.buf.Len() - 1) // the encoder ends with a newline
}

func list[T any](w *writer, name string, values []T) {
	w.text(",\n  \"" + name + "\": [")
	for i, v := range values {
		if i > 0 {
			w.text(",")
		}
		w.text("\n    ")
		w.value(v)
	}
	if len(values) > 0 {
		w.text("\n  ")
	}
	w.text("]")
}

// sorted is a copy with all lists in order and none of them nil.
func (l *Lock) sorted() *Lock {
	s := *l
	s.Roots = append([]string{}, l.Roots...)
	slices.Sort(s.Roots)
	s.Suites = append([]Suite{}, l.Suites...)
	slices.SortStableFunc(s.Suites, func(a, b Suite) int { return strings.Compare(a.Name, b.Name) })
	s.Packages = append([]Package{}, l.Packages...)
	slices.SortStableFunc(s.Packages, func(a, b Package) int { return strings.Compare(a.Name, b.Name) })
	for i := range s.Packages {
		p := &s.Packages[i]
		p.Deps = append([]string{}, p.Deps...)
		slices.Sort(p.Deps)
		p.Provides = slices.Clone(p.Provides)
		slices.Sort(p.Provides)
	}
	return &s
}

// Decode reads a lock and takes it only in the form that Encode writes, so
// that nothing in it can mean two things. Errors are [LineError]s where a
// line is to blame.
func Decode(data []byte) (*Lock, error) {
	if len(data) > maxFile {
		return nil, fmt.Errorf("it is larger than %d bytes", maxFile)
	}
	if err := checkText(data); err != nil {
		return nil, err
	}
	var head struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return nil, at(data, err)
	}
	if head.Version != Version {
		return nil, fmt.Errorf("it has the version %d, and this osbuild reads version %d", head.Version, Version)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	l := &Lock{}
	if err := dec.Decode(l); err != nil {
		var syntax *json.SyntaxError
		var typed *json.UnmarshalTypeError
		if !errors.As(err, &syntax) && !errors.As(err, &typed) {
			// An unknown field: the decoder stands behind it.
			return nil, &LineError{Line: lineOf(data, dec.InputOffset()), Err: jsonError(err)}
		}
		return nil, at(data, err)
	}
	if err := l.check(); err != nil {
		return nil, l.place(data, err)
	}
	want := l.sorted().encode()
	if !bytes.Equal(want, data) {
		have, should := bytes.Split(data, []byte("\n")), bytes.Split(want, []byte("\n"))
		line := 0
		for line < len(have) && line < len(should) && bytes.Equal(have[line], should[line]) {
			line++
		}
		return nil, &LineError{Line: line + 1, Err: errors.New("it is not written as osbuild writes it (edited by hand, or merged)")}
	}
	return l, nil
}

// checkText finds what programs other than osbuild do to text files.
func checkText(data []byte) error {
	for i, line := range bytes.Split(data, []byte("\n")) {
		if bytes.HasSuffix(line, []byte("\r")) {
			return &LineError{Line: i + 1, Err: errors.New("it has Windows line ends; " +
				"if git made them, write `*.lock.json -text` into .gitattributes")}
		}
		for _, mark := range []string{"<<<<<<<", "=======", ">>>>>>>"} {
			if bytes.HasPrefix(line, []byte(mark)) {
				return &LineError{Line: i + 1, Err: errors.New("it has the marks of a merge that is not finished; take either side")}
			}
		}
	}
	return nil
}

// at gives an error of the JSON decoder its line.
func at(data []byte, err error) error {
	offset := int64(len(data))
	var syntax *json.SyntaxError
	var typed *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		offset = syntax.Offset
	case errors.As(err, &typed):
		offset = typed.Offset
	}
	return &LineError{Line: lineOf(data, offset), Err: jsonError(err)}
}

func jsonError(err error) error {
	return errors.New(strings.TrimPrefix(err.Error(), "json: "))
}

func lineOf(data []byte, offset int64) int {
	return 1 + bytes.Count(data[:min(offset, int64(len(data)))], []byte("\n"))
}
