// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package service

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"unicode"

	"osbuild/builder/derivation"
)

// The ways in which a declaration of services can be wrong.
var (
	ErrNoValue            = errors.New("service without a value")
	ErrBadValue           = errors.New("wrong value of a service")
	ErrNotAService        = errors.New("not a service")
	ErrMissingTarget      = errors.New("no service of the extended type")
	ErrAmbiguousTarget    = errors.New("several services of the extended type")
	ErrNotFound           = errors.New("no service of the type")
	ErrNotExtensible      = errors.New("the type cannot be extended")
	ErrDuplicateExtension = errors.New("two extensions of one type to one target")
	ErrCycle              = errors.New("extension cycle")
	ErrContribution       = errors.New("wrong contribution")
	ErrDeleted            = errors.New("the type was deleted before")
)

// Error is an error in the declaration of services.
type Error struct {
	// Kind is one of the errors above, or of a package that defines types.
	Kind error
	// Pos is the place in the declaration that it is about, if known.
	Pos derivation.Position
	// Msg says what cannot be done and why; empty when Cause says it all.
	Msg string
	// Cause is what went wrong below, or nil.
	Cause error
}

// Error is the whole message, with the place in front when it is known.
func (e *Error) Error() string {
	var b strings.Builder
	if e.Pos != (derivation.Position{}) {
		b.WriteString(e.Pos.String())
		b.WriteString(": ")
	}
	b.WriteString(e.Msg)
	if e.Cause != nil {
		if e.Msg != "" {
			b.WriteString(": ")
		}
		b.WriteString(e.Cause.Error())
	}
	return b.String()
}

// Unwrap gives the kind and the cause to errors.Is and errors.As.
func (e *Error) Unwrap() []error {
	if e.Cause == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.Cause}
}

// Errorf is an error of a kind that other packages define.
func Errorf(kind error, pos derivation.Position, format string, args ...any) error {
	return failf(kind, pos, format, args...)
}

func failf(kind error, pos derivation.Position, format string, args ...any) error {
	return &Error{Kind: kind, Pos: pos, Msg: fmt.Sprintf(format, args...)}
}

func wrapf(kind error, pos derivation.Position, cause error, format string, args ...any) error {
	return &Error{Kind: kind, Pos: pos, Msg: fmt.Sprintf(format, args...), Cause: cause}
}

// At puts the place of a record in front of an error about it, when the place
// is known.
func At(pos derivation.Position, err error) error {
	if err == nil || pos == (derivation.Position{}) {
		return err
	}
	return &Error{Kind: ErrContribution, Pos: pos, Cause: err}
}

// placed says whether an error tells the place it is about by itself.
func placed(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Pos != (derivation.Position{})
}

// declared is " (declared at FILE:L:C)", or nothing for an unknown place.
func declared(pos derivation.Position) string {
	if pos == (derivation.Position{}) {
		return ""
	}
	return " (declared at " + pos.String() + ")"
}

// PositionOf is where a record or service was made: the answer of its method
// Position, or its field Pos. It is unknown for anything else.
func PositionOf(v any) derivation.Position {
	if p, ok := v.(interface{ Position() derivation.Position }); ok {
		if rv := reflect.ValueOf(v); rv.Kind() == reflect.Pointer && rv.IsNil() {
			return derivation.Position{}
		}
		return p.Position()
	}
	rv := reflect.ValueOf(v)
	if rv.Kind() == reflect.Pointer && !rv.IsNil() {
		rv = rv.Elem()
	}
	if rv.Kind() != reflect.Struct {
		return derivation.Position{}
	}
	if f := rv.FieldByName("Pos"); f.IsValid() && f.CanInterface() {
		if pos, ok := f.Interface().(derivation.Position); ok {
			return pos
		}
	}
	return derivation.Position{}
}

// Describe names a value in a message: `the text "x"`, `a list`, `a user_group`.
func Describe(v any) string {
	switch v := v.(type) {
	case nil:
		return "None"
	case bool:
		return "a bool"
	case string:
		return fmt.Sprintf("the text %q", shorten(v))
	case int, int64:
		return fmt.Sprintf("the number %d", v)
	case []any, []*Service, []string:
		return "a list"
	case map[string]any, map[string]string:
		return "a dict"
	case *Service:
		if v != nil {
			return fmt.Sprintf("a service of type %q", v.Type.Name)
		}
	case *Type:
		if v != nil {
			return fmt.Sprintf("the service type %q", v.Name)
		}
	case interface{ Type() string }:
		return article(v.Type())
	}
	if rv := reflect.ValueOf(v); rv.Kind() == reflect.Pointer && rv.IsNil() {
		return "None"
	}
	return article(typeName(reflect.TypeOf(v)))
}

// DescribeType names the values of a Go type as [Describe] does.
func DescribeType(t reflect.Type) string {
	if t == nil {
		return "any value"
	}
	return article(typeName(t))
}

// typeName is what the declaration calls values of a Go type.
func typeName(t reflect.Type) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.String:
		return "text"
	case reflect.Int, reflect.Int64:
		return "number"
	case reflect.Slice, reflect.Array:
		return "list"
	case reflect.Map:
		return "dict"
	case reflect.Func:
		return "function"
	}
	return snake(t.Name())
}

// snake turns a Go name into the declaration's: UserGroup is user_group, and
// PAMService is pam_service.
func snake(name string) string {
	var b strings.Builder
	runes := []rune(name)
	for i, r := range runes {
		if unicode.IsUpper(r) && i > 0 &&
			(!unicode.IsUpper(runes[i-1]) || i+1 < len(runes) && unicode.IsLower(runes[i+1])) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

func article(name string) string {
	if name != "" && strings.ContainsRune("aeio", rune(name[0])) {
		return "an " + name
	}
	return "a " + name
}

func shorten(s string) string {
	const most = 60
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}
