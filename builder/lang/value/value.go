// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

// Package value is where Starlark and Go meet: records with checked fields,
// service types and services as Starlark values, and the one conversion
// between the two languages, both ways.
//
// It owns the words "record" (an immutable value with named fields), "schema"
// (what a record's fields are, and the function that makes one), "kind" (which
// values a field takes) and "serializer" (what writes a field as text). It
// never reads a file, runs a declaration or knows a concrete record: those of
// Go arrive through reflection over tagged structs, those of users through
// configuration(). Start with [Registry].
package value

import (
	"reflect"

	"go.starlark.net/starlark"
)

// Call runs a Starlark function: on the thread of the evaluation while there
// is one, else on a thread of its own.
type Call func(fn starlark.Callable, args ...starlark.Value) (starlark.Value, error)

// Registry knows the schemas of the Go structs that take part.
type Registry struct {
	schemas map[reflect.Type]*Schema
	names   map[string]*Schema
	// site tells where a thread is.
	site func(*starlark.Thread) *Site
	// call runs functions when no evaluation is under way.
	call Call
}

// NewRegistry makes an empty registry. site tells where the evaluation of a
// thread is; call runs Starlark functions that Go calls afterwards.
func NewRegistry(site func(*starlark.Thread) *Site, call Call) *Registry {
	return &Registry{
		schemas: map[reflect.Type]*Schema{},
		names:   map[string]*Schema{},
		site:    site,
		call:    call,
	}
}

// TypeName names the type of a value as messages do.
func TypeName(v starlark.Value) string {
	switch v := v.(type) {
	case starlark.NoneType:
		return "None"
	case *starlark.Builtin, *starlark.Function:
		return "function"
	case *Schema:
		return "the constructor " + v.Name()
	}
	return v.Type()
}
