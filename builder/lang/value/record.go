// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package value

import (
	"fmt"
	"reflect"
	"strings"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"osbuild/builder/derivation"
	"osbuild/builder/service"
)

// Record is an immutable value with named fields.
type Record struct {
	schema *Schema
	// values are frozen; given marks those that did not come from defaults.
	values []starlark.Value
	given  []bool
	// bound is what Go sees: a pointer to the schema's struct, or what the
	// schema converts it to; nil for the records of users.
	bound any
	// fromGo says that Go made the struct: it may hold more than its fields.
	fromGo bool
	pos    derivation.Position
}

var (
	_ starlark.HasAttrs   = (*Record)(nil)
	_ starlark.Comparable = (*Record)(nil)
	_ goValuer            = (*Record)(nil)
)

// ReplaceName is the method that every record has.
const ReplaceName = "replace"

// goValuer is a Starlark value with a Go value behind it.
type goValuer interface{ goValue() any }

func (r *Record) goValue() any { return r.bound }

// Schema tells which fields there are.
func (r *Record) Schema() *Schema { return r.schema }

// Position is where the record was made.
func (r *Record) Position() derivation.Position { return r.pos }

// String implements [starlark.Value]: the call that makes the record, without
// what is left to defaults.
func (r *Record) String() string {
	var b strings.Builder
	b.WriteString(r.schema.name + "(")
	sep := ""
	for i, v := range r.values {
		if r.given[i] {
			fmt.Fprintf(&b, "%s%s = %s", sep, r.schema.fields[i].Name, v.String())
			sep = ", "
		}
	}
	b.WriteString(")")
	return b.String()
}

// Type implements [starlark.Value].
func (r *Record) Type() string { return r.schema.name }

// Freeze implements [starlark.Value]: records never change.
func (r *Record) Freeze() {}

// Truth implements [starlark.Value].
func (r *Record) Truth() starlark.Bool { return true }

// Hash implements [starlark.Value]. Fields that cannot be hashed (lists) do
// not take part, which keeps it in agreement with equality.
func (r *Record) Hash() (uint32, error) {
	h, err := starlark.String(r.schema.name).Hash()
	if err != nil {
		return 0, err
	}
	for _, v := range r.values {
		if vh, err := v.Hash(); err == nil {
			h = h*31 + vh
		}
	}
	return h, nil
}

// CompareSameType implements [starlark.Comparable]: records are equal when
// their fields are; they have no order.
func (r *Record) CompareSameType(op syntax.Token, other starlark.Value, depth int) (bool, error) {
	equal := func() (bool, error) {
		o := other.(*Record)
		if r == o {
			return true, nil
		}
		if r.schema != o.schema {
			return false, nil
		}
		for i := range r.values {
			if eq, err := starlark.EqualDepth(r.values[i], o.values[i], depth-1); !eq || err != nil {
				return false, err
			}
		}
		return true, nil
	}
	switch op {
	case syntax.EQL:
		return equal()
	case syntax.NEQ:
		eq, err := equal()
		return !eq, err
	}
	return false, fmt.Errorf("cannot order %s values: %s has no meaning for them", r.schema.name, op)
}

// Attr implements [starlark.HasAttrs].
func (r *Record) Attr(name string) (starlark.Value, error) {
	if i, ok := r.schema.index[name]; ok {
		return r.values[i], nil
	}
	if name == ReplaceName {
		return starlark.NewBuiltin(ReplaceName, r.replace), nil
	}
	return nil, fmt.Errorf("%s has no field %s%s", r.schema.name, name, service.Meant(name, r.AttrNames()))
}

// AttrNames implements [starlark.HasAttrs].
func (r *Record) AttrNames() []string {
	return append(r.schema.names(), ReplaceName)
}

// replace makes a record that differs in the named fields. What was left to
// defaults is computed again.
func (r *Record) replace(thread *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if len(args) > 0 {
		return nil, fmt.Errorf("%s.replace: name the fields: replace(field = value)", r.schema.name)
	}
	at := r.schema.registry.site(thread)
	given := make([]starlark.Value, len(r.values))
	for i, v := range r.values {
		if r.given[i] {
			given[i] = v
		}
	}
	for _, kv := range kwargs {
		name := string(kv[0].(starlark.String))
		i, ok := r.schema.index[name]
		if !ok {
			return nil, r.schema.misnamed(name, r.schema.unknown(name))
		}
		accepted, err := r.schema.accept(at, i, kv[1])
		if err != nil {
			return nil, r.schema.fault(name, -1, err)
		}
		given[i] = accepted
	}
	base := r.schema.proto
	if r.fromGo {
		base = reflect.ValueOf(r.bound)
	}
	made, err := r.schema.complete(at, given, base)
	if err != nil {
		return nil, err
	}
	made.fromGo = r.fromGo
	return made, nil
}
