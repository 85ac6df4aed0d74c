// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package value

import (
	"reflect"

	"go.starlark.net/starlark"
)

// Function is a function of the language whose arguments are the tagged
// fields of a Go struct: checked, explained and documented as records are.
type Function struct {
	schema *Schema
	do     func(*starlark.Thread, any) (starlark.Value, error)
}

var _ starlark.Callable = (*Function)(nil)

// NewFunction makes one. proto holds the defaults of the arguments. Fields of
// type [starlark.Value] take any value as it is.
func NewFunction[T any](r *Registry, name, doc string, proto T, do func(*starlark.Thread, *T) (starlark.Value, error)) (*Function, error) {
	p := reflect.New(reflect.TypeFor[T]())
	p.Elem().Set(reflect.ValueOf(proto))
	s := &Schema{name: name, doc: doc, word: "argument", registry: r, goType: p.Type().Elem(), proto: p}
	if err := s.describe(); err != nil {
		return nil, err
	}
	return &Function{s, func(thread *starlark.Thread, args any) (starlark.Value, error) {
		return do(thread, args.(*T))
	}}, nil
}

// Schema describes the arguments.
func (f *Function) Schema() *Schema { return f.schema }

// Name implements [starlark.Callable].
func (f *Function) Name() string { return f.schema.name }

// String implements [starlark.Value].
func (f *Function) String() string { return "<function " + f.schema.name + ">" }

// Type implements [starlark.Value].
func (f *Function) Type() string { return "function" }

// Freeze implements [starlark.Value].
func (f *Function) Freeze() {}

// Truth implements [starlark.Value].
func (f *Function) Truth() starlark.Bool { return true }

// Hash implements [starlark.Value].
func (f *Function) Hash() (uint32, error) { return starlark.String(f.schema.name).Hash() }

// CallInternal implements [starlark.Callable].
func (f *Function) CallInternal(thread *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	r, err := f.schema.Make(f.schema.registry.site(thread), args, kwargs)
	if err != nil {
		return nil, err
	}
	v, err := f.do(thread, r.bound)
	if fault, ok := err.(*FieldError); ok && fault.Constructor == "" {
		fault.Constructor, fault.Word = f.schema.name, f.schema.noun()
		fault.Index = f.schema.index[fault.Field]
	}
	return v, err
}

// Argument is the error of a [Function] that cannot use one of its arguments.
func Argument(name string, err error) error { return &FieldError{Field: name, Err: err} }
