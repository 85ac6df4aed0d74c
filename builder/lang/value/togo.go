// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package value

import (
	"errors"
	"fmt"
	"reflect"

	"go.starlark.net/starlark"

	"osbuild/builder/service"
)

// maxDepth bounds how deep values may be nested that pass from one language
// to the other.
const maxDepth = 100

var errTooDeep = errors.New("the value is nested too deep")

// Plain gives the Go form of a value: nil, bool, int, float64, string, []any,
// map[string]any, what a record is bound to, *service.Type, *service.Service
// or a [service.Func]. A value that has none, such as a record of a user's
// configuration, stays what it is.
func (r *Registry) Plain(v starlark.Value) (any, error) { return r.plain(v, maxDepth) }

func (r *Registry) plain(v starlark.Value, depth int) (any, error) {
	if depth == 0 {
		return nil, errTooDeep
	}
	v.Freeze()
	switch v := v.(type) {
	case starlark.NoneType:
		return nil, nil
	case starlark.Bool:
		return bool(v), nil
	case starlark.Int:
		i, ok := v.Int64()
		if !ok {
			return nil, fmt.Errorf("the number %s is out of range", short(v.String()))
		}
		return int(i), nil
	case starlark.Float:
		return float64(v), nil
	case starlark.String:
		return string(v), nil
	case goValuer:
		if g := v.goValue(); g != nil {
			return g, nil
		}
		return v, nil
	case starlark.Callable:
		return &Func{fn: v, registry: r}, nil
	case *starlark.Dict:
		m := make(map[string]any, v.Len())
		for key, e := range starlark.Entries(v) {
			name, ok := key.(starlark.String)
			if !ok {
				return nil, fmt.Errorf("want string keys in a dict, got %s", TypeName(key))
			}
			g, err := r.plain(e, depth-1)
			if err != nil {
				return nil, fmt.Errorf("key %q: %w", short(string(name)), err)
			}
			m[string(name)] = g
		}
		return m, nil
	case starlark.Iterable:
		l := []any{}
		for e := range starlark.Elements(v) {
			g, err := r.plain(e, depth-1)
			if err != nil {
				return nil, fmt.Errorf("element %d: %w", len(l)+1, err)
			}
			l = append(l, g)
		}
		return l, nil
	}
	return v, nil
}

// Convert gives a value as a Go type that a type of services declares for what
// extends it. at is the place that is noted in records made of tuples.
func (r *Registry) Convert(at *Site, v starlark.Value, t reflect.Type) (any, error) {
	kind, err := r.kindOf(t)
	if err != nil {
		return nil, err
	}
	accepted, err := kind.Accept(at, v)
	if err != nil {
		return nil, err
	}
	g, err := r.toGo(accepted, t)
	if err != nil {
		return nil, err
	}
	return g.Interface(), nil
}

// toGo gives an accepted value as a Go type.
func (r *Registry) toGo(v starlark.Value, t reflect.Type) (reflect.Value, error) {
	if t == anyType {
		g, err := r.Plain(v)
		if err != nil || g == nil {
			return reflect.Zero(t), err
		}
		return reflect.ValueOf(g), nil
	}
	if t == valueType || v != starlark.None && reflect.TypeOf(v).AssignableTo(t) {
		return reflect.ValueOf(v), nil
	}
	if g, ok := v.(goValuer); ok {
		if g := reflect.ValueOf(g.goValue()); g.IsValid() {
			switch {
			case g.Type().AssignableTo(t):
				return g, nil
			case g.Kind() == reflect.Pointer && !g.IsNil() && g.Type().Elem().AssignableTo(t):
				return g.Elem(), nil
			}
		}
	}
	out := reflect.New(t).Elem()
	if t == funcType {
		fn, ok := v.(starlark.Callable)
		if ok {
			out.Set(reflect.ValueOf(&Func{fn: fn, registry: r}))
			return out, nil
		}
	}
	switch v := v.(type) {
	case starlark.NoneType:
		return out, nil
	case starlark.String:
		if t.Kind() == reflect.String {
			out.SetString(string(v))
			return out, nil
		}
	case starlark.Bool:
		if t.Kind() == reflect.Bool {
			out.SetBool(bool(v))
			return out, nil
		}
	case starlark.Int:
		if done, err := setInt(out, v); done || err != nil {
			return out, err
		}
	case *starlark.List:
		if t.Kind() == reflect.Slice {
			return r.slice(v, t)
		}
	case *starlark.Dict:
		if t.Kind() == reflect.Map {
			return r.mapping(v, t)
		}
	}
	if t.Kind() == reflect.Pointer {
		elem, err := r.toGo(v, t.Elem())
		if err != nil {
			return out, err
		}
		p := reflect.New(t.Elem())
		p.Elem().Set(elem)
		return p, nil
	}
	return out, fmt.Errorf("want %s, got %s", typeWord(t), TypeName(v))
}

// setInt sets a Go number, if out is one.
func setInt(out reflect.Value, v starlark.Int) (bool, error) {
	switch {
	case out.CanInt():
		if i, ok := v.Int64(); ok && !out.OverflowInt(i) {
			out.SetInt(i)
			return true, nil
		}
	case out.CanUint():
		if u, ok := v.Uint64(); ok && !out.OverflowUint(u) {
			out.SetUint(u)
			return true, nil
		}
	default:
		return false, nil
	}
	return false, fmt.Errorf("the number %s is out of range", short(v.String()))
}

func (r *Registry) slice(l *starlark.List, t reflect.Type) (reflect.Value, error) {
	out := reflect.MakeSlice(t, 0, l.Len())
	for e := range l.Elements() {
		g, err := r.toGo(e, t.Elem())
		if err != nil {
			return out, fmt.Errorf("element %d: %w", out.Len()+1, err)
		}
		out = reflect.Append(out, g)
	}
	return out, nil
}

func (r *Registry) mapping(d *starlark.Dict, t reflect.Type) (reflect.Value, error) {
	out := reflect.MakeMapWithSize(t, d.Len())
	for key, e := range d.Entries() {
		name := string(key.(starlark.String))
		g, err := r.toGo(e, t.Elem())
		if err != nil {
			return out, fmt.Errorf("key %q: %w", short(name), err)
		}
		out.SetMapIndex(reflect.ValueOf(name).Convert(t.Key()), g)
	}
	return out, nil
}

// Func is a Starlark function as Go sees it.
type Func struct {
	fn       starlark.Callable
	registry *Registry
}

var _ service.Func = (*Func)(nil)

// Call implements [service.Func].
func (f *Func) Call(args ...any) (any, error) {
	values := make([]starlark.Value, len(args))
	for i, a := range args {
		values[i] = f.registry.FromGo(a)
	}
	result, err := f.registry.call(f.fn, values...)
	if err != nil {
		return nil, err
	}
	return f.registry.Plain(result)
}
