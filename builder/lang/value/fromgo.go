// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package value

import (
	"fmt"
	"reflect"
	"sort"

	"go.starlark.net/starlark"

	"osbuild/builder/service"
)

// FromGo gives the Starlark form of what Go made: structs that have a schema
// become records, lists and maps frozen lists and dicts.
func (r *Registry) FromGo(v any) starlark.Value { return r.fromGo(reflect.ValueOf(v)) }

func (r *Registry) fromGo(v reflect.Value) starlark.Value {
	if !v.IsValid() {
		return starlark.None
	}
	if v.Kind() == reflect.Interface || v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return starlark.None
		}
	}
	switch g := v.Interface().(type) {
	case starlark.Value:
		return g
	case *service.Type:
		return &ServiceType{g, r}
	case *service.Service:
		return &Service{g, r}
	case *Func:
		return g.fn
	case service.Func:
		return r.goFunc(g)
	}
	switch v.Kind() {
	case reflect.Interface:
		return r.fromGo(v.Elem())
	case reflect.String:
		return starlark.String(v.String())
	case reflect.Bool:
		return starlark.Bool(v.Bool())
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return starlark.MakeInt64(v.Int())
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return starlark.MakeUint64(v.Uint())
	case reflect.Float32, reflect.Float64:
		return starlark.Float(v.Float())
	case reflect.Slice:
		elems := make([]starlark.Value, v.Len())
		for i := range elems {
			elems[i] = r.fromGo(v.Index(i))
		}
		l := starlark.NewList(elems)
		l.Freeze()
		return l
	case reflect.Map:
		if v.Type().Key().Kind() == reflect.String {
			return r.fromMap(v)
		}
	case reflect.Struct:
		p := reflect.New(v.Type())
		p.Elem().Set(v)
		return r.fromGo(p)
	case reflect.Pointer:
		if v.Type().Elem().Kind() != reflect.Struct {
			return r.fromGo(v.Elem())
		}
		if s := r.schemaOf(v.Type().Elem()); s != nil && s.convert == nil {
			return s.wrap(v)
		}
	}
	return &Opaque{v.Interface()}
}

// fromMap sorts the keys: a Go map has no order to keep.
func (r *Registry) fromMap(v reflect.Value) starlark.Value {
	keys := v.MapKeys()
	sort.Slice(keys, func(i, j int) bool { return keys[i].String() < keys[j].String() })
	d := starlark.NewDict(len(keys))
	for _, k := range keys {
		// A string key cannot fail to hash.
		_ = d.SetKey(starlark.String(k.String()), r.fromGo(v.MapIndex(k)))
	}
	d.Freeze()
	return d
}

// wrap makes a record of a struct that Go made.
func (s *Schema) wrap(p reflect.Value) *Record {
	r := &Record{
		schema: s, values: make([]starlark.Value, len(s.fields)), given: make([]bool, len(s.fields)),
		bound: p.Interface(), fromGo: true, pos: service.PositionOf(p.Interface()),
	}
	for i, f := range s.fields {
		field := p.Elem().FieldByIndex(f.goIndex)
		r.values[i] = s.registry.fromGo(field)
		r.given[i] = f.Required || !reflect.DeepEqual(field.Interface(), s.proto.Elem().FieldByIndex(f.goIndex).Interface())
	}
	return r
}

// goFunc lets Starlark call a function of Go.
func (r *Registry) goFunc(f service.Func) starlark.Value {
	return starlark.NewBuiltin("function", func(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		if len(kwargs) > 0 {
			return nil, fmt.Errorf("%s: takes no named arguments", b.Name())
		}
		plain := make([]any, len(args))
		for i, a := range args {
			var err error
			if plain[i], err = r.Plain(a); err != nil {
				return nil, fmt.Errorf("%s: argument %d: %w", b.Name(), i+1, err)
			}
		}
		v, err := f.Call(plain...)
		if err != nil {
			return nil, err
		}
		return r.FromGo(v), nil
	})
}

// Opaque is a Go value that Starlark only passes on.
type Opaque struct{ v any }

func (o *Opaque) goValue() any { return o.v }

// String implements [starlark.Value].
func (o *Opaque) String() string { return "<" + o.Type() + ">" }

// Type implements [starlark.Value].
func (o *Opaque) Type() string { return typeWord(reflect.TypeOf(o.v)) }

// Freeze implements [starlark.Value]: Go does not change what it shared.
func (o *Opaque) Freeze() {}

// Truth implements [starlark.Value].
func (o *Opaque) Truth() starlark.Bool { return true }

// Hash implements [starlark.Value].
func (o *Opaque) Hash() (uint32, error) { return 0, fmt.Errorf("unhashable: %s", o.Type()) }
