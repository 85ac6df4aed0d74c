// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package services

import (
	"encoding/json"
	"fmt"
	"path"
	"reflect"
	"strconv"
	"strings"

	"osbuild/builder/derivation"
	"osbuild/builder/service"
)

// cleanAbsolute accepts a path from the root that says what it means.
func cleanAbsolute(field, p string) error {
	switch {
	case !strings.HasPrefix(p, "/"):
		return fmt.Errorf("field %s: %q is not an absolute path", field, p)
	case strings.ContainsAny(p, "\x00\n"):
		return fmt.Errorf("field %s: %q holds a line break or a zero byte", field, p)
	case path.Clean(p) != p:
		return fmt.Errorf("field %s: %q is not a clean path; write %q", field, p, path.Clean(p))
	}
	return nil
}

// relativeName accepts a name below a folder, with or without slashes.
func relativeName(field, name string) error {
	switch {
	case name == "":
		return fmt.Errorf("field %s: a name is needed", field)
	case strings.HasPrefix(name, "/"):
		return fmt.Errorf("field %s: %q is absolute; write %q", field, name, strings.TrimLeft(name, "/"))
	case strings.ContainsAny(name, "\x00\n"):
		return fmt.Errorf("field %s: %q holds a line break or a zero byte", field, name)
	case path.Clean(name) != name || name == "." || name == ".." || strings.HasPrefix(name, "../"):
		return fmt.Errorf("field %s: %q is not a clean relative path", field, name)
	}
	return nil
}

// fileLike accepts the path of a file; a text that is no path is the usual
// slip, so the message says how to make a file of it.
func fileLike(field, p string) error {
	if p == "" {
		return fmt.Errorf("field %s: a file is needed", field)
	}
	if !strings.HasPrefix(p, "/") {
		return fmt.Errorf("field %s: %s is not a file; give a file, an absolute path, or plain_file(name, text)", field, service.Describe(p))
	}
	return nil
}

// madeAt is " (FILE:L:C)", or nothing for an unknown place.
func madeAt(pos derivation.Position) string {
	if pos == (derivation.Position{}) {
		return ""
	}
	return " (" + pos.String() + ")"
}

// elements are the Go types of sample values.
func elements(samples ...any) []reflect.Type {
	types := make([]reflect.Type, len(samples))
	for i, s := range samples {
		types[i] = reflect.TypeOf(s)
	}
	return types
}

// listOf converts a value that is a list of T, however it was put together.
func listOf[T any](v any) ([]T, error) {
	switch list := v.(type) {
	case nil:
		return nil, nil
	case []T:
		return list, nil
	case []any:
		out := make([]T, 0, len(list))
		for i, e := range list {
			t, ok := e.(T)
			if !ok {
				return nil, fmt.Errorf("element %d is %s, not %s", i+1, service.Describe(e), service.DescribeType(reflect.TypeFor[T]()))
			}
			out = append(out, t)
		}
		return out, nil
	}
	return nil, fmt.Errorf("the value is %s, not a list", service.Describe(v))
}

// checkList is the Check of types whose value is a list of T.
func checkList[T any](v any) (any, error) { return listOf[T](v) }

// extendList is the Extend of types that add contributions to a list of T.
func extendList[T any](_ *service.Env, value, contributions any) (any, error) {
	own, err := listOf[T](value)
	if err != nil {
		return nil, err
	}
	more, err := listOf[T](contributions)
	if err != nil {
		return nil, err
	}
	return append(append(make([]T, 0, len(own)+len(more)), own...), more...), nil
}

// checkRecord is the Check of types whose value is one record.
func checkRecord[T any](v any) (any, error) {
	t, ok := v.(T)
	if !ok {
		return nil, fmt.Errorf("the value is %s, not %s", service.Describe(v), service.DescribeType(reflect.TypeFor[T]()))
	}
	return t, nil
}

// one is an extension's answer of one contribution.
func one(v any) ([]any, error) { return []any{v}, nil }

// many turns a typed list into contributions.
func many[T any](list []T) ([]any, error) {
	out := make([]any, len(list))
	for i, v := range list {
		out[i] = v
	}
	return out, nil
}

// typed adapts a compute function over a typed value.
func typed[T any](compute func(env *service.Env, value T) ([]any, error)) func(*service.Env, any) ([]any, error) {
	return func(env *service.Env, v any) ([]any, error) {
		t, ok := v.(T)
		if !ok {
			return nil, fmt.Errorf("the value is %s, not %s", service.Describe(v), service.DescribeType(reflect.TypeFor[T]()))
		}
		return compute(env, t)
	}
}

// number reads a number from a value of a declaration, whatever its Go type.
func number(v any) (int, bool) {
	switch v := v.(type) {
	case int:
		return v, true
	case int64:
		return int(v), true
	case fmt.Stringer:
		n, err := strconv.Atoi(v.String())
		return n, err == nil
	}
	return 0, false
}

// Encode is the canonical JSON of a plan: one line, fields in the order of
// their Go structs, keys of maps sorted, and nothing escaped needlessly.
func Encode(v any) (string, error) {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return b.String(), err
}
