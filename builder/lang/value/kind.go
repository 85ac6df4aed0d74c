// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package value

import (
	"fmt"
	"path"
	"reflect"

	"go.starlark.net/starlark"

	"osbuild/builder/derivation"
	"osbuild/store"
)

// Kind says which values a field takes.
type Kind interface {
	// String names the kind as messages and documentation do.
	String() string
	// Accept checks a value and gives it in the form that a record keeps: it
	// never changes afterwards, whatever the declaration does with v.
	Accept(at *Site, v starlark.Value) (starlark.Value, error)
}

// Site is where a value is made or converted.
type Site struct {
	// Pos is noted in records that are made.
	Pos derivation.Position
	// Call runs the functions that take part, such as those that sanitize.
	Call Call
}

// mismatch is the error of a value of another kind.
type mismatch struct {
	want Kind
	got  starlark.Value
	hint string // what to do, or ""
}

func (m *mismatch) Error() string {
	s := fmt.Sprintf("want %s, got %s", m.want, shown(m.got))
	if m.hint != "" {
		s += " (" + m.hint + ")"
	}
	return s
}

// shown names the type of a value, and the value where it is plain.
func shown(v starlark.Value) string {
	switch s := v.(type) {
	case starlark.String:
		return TypeName(v) + " " + starlark.String(short(string(s))).String()
	case starlark.Int, starlark.Float, starlark.Bool:
		return TypeName(v) + " " + short(v.String())
	}
	return TypeName(v)
}

func wrong(want Kind, v starlark.Value) *mismatch { return &mismatch{want: want, got: v} }

// scalar is a kind of plain value, named as people write it in configuration.
type scalar string

// The plain kinds.
const (
	String scalar = "string"
	Int    scalar = "int"
	Bool   scalar = "bool"
	// File is a string that is an absolute path: a file-like, or a path of
	// the system that will run.
	File scalar = "file"
	// ItemName is a string that can name an item.
	ItemName scalar = "name of an item"
)

func (k scalar) String() string { return string(k) }

// Accept implements [Kind].
func (k scalar) Accept(_ *Site, v starlark.Value) (starlark.Value, error) {
	ok := false
	switch k {
	case String:
		_, ok = v.(starlark.String)
	case Int:
		_, ok = v.(starlark.Int)
	case Bool:
		_, ok = v.(starlark.Bool)
	case File:
		var s starlark.String
		if s, ok = v.(starlark.String); ok && !path.IsAbs(string(s)) {
			return nil, fmt.Errorf("want a file, got the text %q, which is neither a file-like value nor an absolute path", short(string(s)))
		}
	case ItemName:
		var s starlark.String
		if s, ok = v.(starlark.String); ok && store.ValidName(string(s)) != nil {
			return nil, fmt.Errorf("%q cannot name an item: give a short name of letters, digits and +-._?=", short(string(s)))
		}
	}
	if !ok {
		return nil, wrong(k, v)
	}
	return v, nil
}

// anyKind takes every value.
type anyKind struct{}

// Any is the kind of every value.
var Any Kind = anyKind{}

func (anyKind) String() string { return "any value" }

// Accept implements [Kind].
func (anyKind) Accept(_ *Site, v starlark.Value) (starlark.Value, error) {
	v.Freeze()
	return v, nil
}

// maybe takes None besides.
type maybe struct{ of Kind }

// Maybe is the kind of values of another kind, or None.
func Maybe(k Kind) Kind {
	if m, ok := k.(maybe); ok {
		return m
	}
	return maybe{k}
}

func (k maybe) String() string { return k.of.String() + " or None" }

// Accept implements [Kind].
func (k maybe) Accept(at *Site, v starlark.Value) (starlark.Value, error) {
	if v == starlark.None {
		return v, nil
	}
	accepted, err := k.of.Accept(at, v)
	// An error of an element is wrapped: this one is about v itself.
	if m, ok := err.(*mismatch); ok {
		return nil, &mismatch{want: k, got: v, hint: m.hint}
	}
	return accepted, err
}

// list takes lists and tuples.
type list struct{ of Kind }

// ListOf is the kind of lists whose elements are of a kind.
func ListOf(k Kind) Kind { return list{k} }

func (k list) String() string { return "list of " + k.of.String() }

// Accept implements [Kind].
func (k list) Accept(at *Site, v starlark.Value) (starlark.Value, error) {
	var in starlark.Iterable
	switch v := v.(type) {
	case *starlark.List:
		in = v
	case starlark.Tuple:
		in = v
	case *starlark.Set:
		in = v
	default:
		m := wrong(k, v)
		if _, err := k.of.Accept(at, v); err == nil && v != starlark.None {
			m.hint = "write [...] around it"
		}
		return nil, m
	}
	out := make([]starlark.Value, 0, starlark.Len(v))
	for e := range starlark.Elements(in) {
		accepted, err := k.of.Accept(at, e)
		if err != nil {
			return nil, fmt.Errorf("element %d: %w", len(out)+1, err)
		}
		out = append(out, accepted)
	}
	l := starlark.NewList(out)
	l.Freeze()
	return l, nil
}

// dict takes dicts with string keys.
type dict struct{ of Kind }

// DictOf is the kind of dicts from strings to values of a kind.
func DictOf(k Kind) Kind { return dict{k} }

func (k dict) String() string {
	if k.of == Any {
		return "dict"
	}
	return "dict of " + k.of.String()
}

// Accept implements [Kind].
func (k dict) Accept(at *Site, v starlark.Value) (starlark.Value, error) {
	in, ok := v.(*starlark.Dict)
	if !ok {
		return nil, wrong(k, v)
	}
	out := starlark.NewDict(in.Len())
	for key, e := range starlark.Entries(in) {
		s, ok := key.(starlark.String)
		if !ok {
			return nil, fmt.Errorf("want string keys, got %s as a key", TypeName(key))
		}
		accepted, err := k.of.Accept(at, e)
		if err != nil {
			return nil, fmt.Errorf("key %q: %w", short(string(s)), err)
		}
		if err := out.SetKey(s, accepted); err != nil {
			return nil, err
		}
	}
	out.Freeze()
	return out, nil
}

// recordOf takes the records of a schema, and tuples of their first fields.
type recordOf struct{ schema *Schema }

// RecordOf is the kind of the records that a schema makes.
func RecordOf(s *Schema) Kind { return recordOf{s} }

func (k recordOf) String() string { return k.schema.name }

// Accept implements [Kind].
func (k recordOf) Accept(at *Site, v starlark.Value) (starlark.Value, error) {
	switch v := v.(type) {
	case *Record:
		if v.schema == k.schema {
			return v, nil
		}
		// Some constructors are other ways to write the same thing.
		if t := k.schema.goType; t != nil && reflect.TypeOf(v.bound) == reflect.PointerTo(t) {
			return v, nil
		}
	case starlark.Tuple:
		return k.schema.Make(at, v, nil)
	case *Schema:
		if v == k.schema {
			return nil, &mismatch{want: k, got: v, hint: "call it: " + v.name + "(...)"}
		}
	}
	return nil, wrong(k, v)
}

// opaque takes values of a Go type that has no fields to see: what a
// constructor such as fork_exec makes.
type opaque struct {
	t    reflect.Type
	name string
}

func (k opaque) String() string { return k.name }

// Accept implements [Kind].
func (k opaque) Accept(_ *Site, v starlark.Value) (starlark.Value, error) {
	if reflect.TypeOf(v).AssignableTo(k.t) {
		return v, nil
	}
	if g, ok := v.(goValuer); ok {
		if t := reflect.TypeOf(g.goValue()); t != nil && t.AssignableTo(k.t) {
			return v, nil
		}
	}
	m := wrong(k, v)
	if k.t == serviceType {
		switch v := v.(type) {
		case *starlark.List:
			m.hint = "join lists with +"
		case *ServiceType:
			m.hint = "write service(" + v.T.Name + ")"
		}
	}
	return nil, m
}

// function takes what can be called.
type function struct{}

func (function) String() string { return "function" }

// Accept implements [Kind].
func (k function) Accept(_ *Site, v starlark.Value) (starlark.Value, error) {
	if _, ok := v.(starlark.Callable); !ok {
		return nil, wrong(k, v)
	}
	return v, nil
}

// short cuts what a message quotes.
func short(s string) string {
	const most = 60
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}
