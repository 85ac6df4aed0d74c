// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package value

import (
	"errors"
	"fmt"
	"strings"

	"go.starlark.net/starlark"
)

// serializers write the fields of a configuration that have no serializer of
// their own: all of them, or those of some types.
type serializers struct {
	all    starlark.Value // a function or a text; nil without one
	byKind []kindSerializer
}

// kindSerializer writes fields of one type. Two configurations may write one
// type in two ways.
type kindSerializer struct {
	kind Kind
	with starlark.Value
}

// Serializer checks what a declaration gives as a serializer: a function of a
// field's name and value, or a text that stands for the field. It gives nil
// for None.
func Serializer(v starlark.Value) (starlark.Value, error) {
	switch v.(type) {
	case nil, starlark.NoneType:
		return nil, nil
	case starlark.Callable, starlark.String:
		return v, nil
	}
	return nil, fmt.Errorf("want a function or a text, got %s", TypeName(v))
}

// newSerializers reads what serves a whole configuration: one serializer, or
// a dict from types to serializers.
func newSerializers(v starlark.Value) (serializers, error) {
	d, ok := v.(*starlark.Dict)
	if !ok {
		all, err := Serializer(v)
		return serializers{all: all}, err
	}
	var s serializers
	for key, with := range d.Entries() {
		k, err := KindOf(key)
		if err != nil {
			return s, err
		}
		if s.of(k) != nil {
			return s, fmt.Errorf("the type %s stands twice", k)
		}
		if with, err = Serializer(with); err != nil {
			return s, fmt.Errorf("type %s: %w", k, err)
		}
		s.byKind = append(s.byKind, kindSerializer{k, with})
	}
	return s, nil
}

// of gives the serializer for fields of a kind, or nil. A value that may be
// None is written as one that may not: None is never written.
func (s serializers) of(k Kind) starlark.Value {
	if s.all != nil {
		return s.all
	}
	if m, ok := k.(maybe); ok {
		k = m.of
	}
	for _, b := range s.byKind {
		if b.kind == k {
			return b.with
		}
	}
	return nil
}

// Serialize gives the text of a configuration's record: what the serializers
// of its fields give, in the order of the fields. Fields that are None are
// left out.
func (r *Record) Serialize(at *Site) (string, error) {
	with := make([]starlark.Value, len(r.values))
	any := false
	for i, f := range r.schema.fields {
		if with[i] = f.Serialize; with[i] == nil {
			with[i] = r.schema.serialize.of(f.Kind)
		}
		any = any || with[i] != nil
	}
	switch {
	case r.schema.goType != nil:
		return "", fmt.Errorf("cannot serialize %s: only records that configuration() defines can say how they are written", r.schema.name)
	case !any:
		return "", fmt.Errorf("cannot serialize %s: it has no serializers; give configuration() or its fields one, such as serialize = pair, where pair(name, value) gives text", r.schema.name)
	}
	var b strings.Builder
	for i, f := range r.schema.fields {
		if r.values[i] == starlark.None {
			continue
		}
		text, err := serializeField(at, with[i], f, r.values[i])
		if err != nil {
			return "", fmt.Errorf("cannot serialize %s: field %s: %w", r.schema.name, f.Name, err)
		}
		b.WriteString(text)
	}
	return b.String(), nil
}

func serializeField(at *Site, with starlark.Value, f Field, v starlark.Value) (string, error) {
	switch with := with.(type) {
	case nil:
		return "", errors.New(`it has no serializer; give field(...) one, or serialize = "" to leave it out`)
	case starlark.String:
		return string(with), nil
	case starlark.Callable:
		out, err := at.Call(with, starlark.String(f.Name), v)
		if err != nil {
			return "", err
		}
		if text, ok := out.(starlark.String); ok {
			return string(text), nil
		}
		return "", fmt.Errorf("the serializer gave %s, want string", TypeName(out))
	}
	return "", fmt.Errorf("want a function or a text, got %s", TypeName(with))
}
