// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package value

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"go.starlark.net/starlark"

	"osbuild/builder/service"
)

// Schema is what the records of one name look like. As a Starlark value it is
// the function that makes them.
type Schema struct {
	name     string
	doc      string
	word     string // what messages call a field, if not "field"
	fields   []Field
	index    map[string]int
	registry *Registry
	// goType is the struct behind the records, nil for those of users;
	// proto points to one with the defaults.
	goType reflect.Type
	proto  reflect.Value
	// convert makes what Go sees of the struct, or is nil.
	convert func(any) (any, error)
	// serialize writes the fields that have no serializer of their own.
	serialize serializers
}

// Field is one field of a schema.
type Field struct {
	Name string
	Kind Kind
	Doc  string
	// Default is nil when the field must be given. Fields of Go structs have
	// theirs in the schema's prototype.
	Default  starlark.Value
	Required bool
	// Sanitize makes the value that is checked and kept of the given one.
	Sanitize starlark.Callable
	// Serialize writes the field's value as text: a function of its name and
	// value, or the text itself. It is nil where the schema has one for all.
	Serialize starlark.Value
	// goIndex finds the field in the struct.
	goIndex []int
}

// ErrSchema is a definition of fields that cannot be used.
var ErrSchema = errors.New("wrong definition of fields")

// newSchema defines the records of a user's configuration().
func newSchema(r *Registry, name, doc string, fields []Field) (*Schema, error) {
	s := &Schema{name: name, doc: doc, fields: fields, registry: r}
	if err := s.finish(); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Schema) finish() error {
	s.index = make(map[string]int, len(s.fields))
	for i, f := range s.fields {
		if _, twice := s.index[f.Name]; twice {
			return fmt.Errorf("cannot define %s: field %s stands twice: %w", s.name, f.Name, ErrSchema)
		}
		if f.Name == ReplaceName || !identifier(f.Name) {
			return &DefinitionError{f.Name, fmt.Errorf("cannot define %s: %q cannot name a field: %w", s.name, f.Name, ErrSchema)}
		}
		s.index[f.Name] = i
	}
	return nil
}

// identifier says whether s can stand behind a dot.
func identifier(s string) bool {
	for i, r := range s {
		switch {
		case r == '_', 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z':
		case '0' <= r && r <= '9' && i > 0:
		default:
			return false
		}
	}
	return s != ""
}

// Doc says what the records are for.
func (s *Schema) Doc() string { return s.doc }

// Fields are the fields, in order.
func (s *Schema) Fields() []Field { return slices.Clone(s.fields) }

// Name implements [starlark.Callable].
func (s *Schema) Name() string { return s.name }

// String implements [starlark.Value].
func (s *Schema) String() string { return "<constructor " + s.name + ">" }

// Type implements [starlark.Value].
func (s *Schema) Type() string { return "constructor" }

// Freeze implements [starlark.Value]: a schema never changes.
func (s *Schema) Freeze() {}

// Truth implements [starlark.Value].
func (s *Schema) Truth() starlark.Bool { return true }

// Hash implements [starlark.Value].
func (s *Schema) Hash() (uint32, error) { return starlark.String(s.name).Hash() }

// CallInternal implements [starlark.Callable]: it makes a record.
func (s *Schema) CallInternal(thread *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	r, err := s.Make(s.registry.site(thread), args, kwargs)
	if err != nil {
		return nil, err
	}
	// A constructor that makes what another one is for, as containerized
	// makes an operating_system, gives a record of that one.
	if t := reflect.TypeOf(r.bound); s.convert != nil && t != nil && t.Kind() == reflect.Pointer && t.Elem() != s.goType && t.Elem().Kind() == reflect.Struct {
		if other := s.registry.schemaOf(t.Elem()); other != nil && other.convert == nil {
			return other.wrap(reflect.ValueOf(r.bound)), nil
		}
	}
	return r, nil
}

// FieldError is a record that cannot be made because of one field.
type FieldError struct {
	Constructor string
	// Word is "field", or "argument" for a function.
	Word  string
	Field string
	// Index of the positional argument that is at fault, -1 for a named one.
	Index int
	// Misnamed says that the name of the argument is at fault, not its value.
	Misnamed bool
	Err      error
}

// Error is `CONSTRUCTOR: field NAME: reason`.
func (e *FieldError) Error() string {
	return fmt.Sprintf("%s: %s %s: %v", e.Constructor, e.Word, e.Field, e.Err)
}

// Unwrap gives the reason.
func (e *FieldError) Unwrap() error { return e.Err }

// fault blames a field.
func (s *Schema) fault(field string, index int, err error) error {
	return &FieldError{Constructor: s.name, Word: s.noun(), Field: field, Index: index, Err: err}
}

// misnamed blames the name by which an argument is given.
func (s *Schema) misnamed(field string, err error) error {
	return &FieldError{Constructor: s.name, Word: s.noun(), Field: field, Index: -1, Misnamed: true, Err: err}
}

func (s *Schema) noun() string {
	if s.word != "" {
		return s.word
	}
	return "field"
}

// Make makes a record of positional and named arguments.
func (s *Schema) Make(at *Site, args starlark.Tuple, kwargs []starlark.Tuple) (*Record, error) {
	given := make([]starlark.Value, len(s.fields))
	where := make([]int, len(s.fields))
	if len(args) > len(s.fields) {
		return nil, fmt.Errorf("%s: got %d values, but the %ss are %s",
			s.name, len(args), s.noun(), strings.Join(s.names(), ", "))
	}
	for i, v := range args {
		given[i], where[i] = v, i
	}
	for _, kv := range kwargs {
		name := string(kv[0].(starlark.String))
		i, ok := s.index[name]
		if !ok {
			return nil, s.misnamed(name, s.unknown(name))
		}
		if given[i] != nil {
			return nil, s.misnamed(name, errors.New("is given twice, by place and by name"))
		}
		given[i], where[i] = kv[1], -1
	}
	for i, v := range given {
		if v == nil {
			continue
		}
		accepted, err := s.accept(at, i, v)
		if err != nil {
			return nil, s.fault(s.fields[i].Name, where[i], err)
		}
		given[i] = accepted
	}
	return s.complete(at, given, s.proto)
}

// accept runs a value through the field's sanitizer and kind.
func (s *Schema) accept(at *Site, i int, v starlark.Value) (starlark.Value, error) {
	f := &s.fields[i]
	if f.Sanitize != nil {
		var err error
		if v, err = at.Call(f.Sanitize, v); err != nil {
			return nil, err
		}
	}
	accepted, err := f.Kind.Accept(at, v)
	if m, ok := err.(*mismatch); ok && m.hint == "" && producer(f.Kind) {
		// The kind's name says nothing: the field's text says what to write.
		m.hint = f.Doc
	}
	return accepted, err
}

// producer says whether values of a kind come from constructors that the
// kind's name does not tell.
func producer(k Kind) bool {
	if m, ok := k.(maybe); ok {
		k = m.of
	}
	o, ok := k.(opaque)
	return ok && o.t != typeType && o.t != serviceType
}

// complete adds the defaults to accepted values and makes the record. base is
// the struct that holds them, for a schema that has one.
func (s *Schema) complete(at *Site, given []starlark.Value, base reflect.Value) (*Record, error) {
	r := &Record{schema: s, values: make([]starlark.Value, len(given)), given: make([]bool, len(given)), pos: at.Pos}
	var missing []string
	for i, v := range given {
		f := &s.fields[i]
		switch {
		case v != nil:
			r.values[i], r.given[i] = v, true
		case f.Required:
			missing = append(missing, f.Name)
		default:
			r.values[i] = f.Default
		}
	}
	if len(missing) > 0 {
		word := s.noun()
		if len(missing) > 1 {
			word += "s"
		}
		return nil, fmt.Errorf("%s: %s %s: must be given", s.name, word, strings.Join(missing, ", "))
	}
	if s.goType != nil {
		if err := s.bind(at, r, base); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func (s *Schema) names() []string {
	names := make([]string, len(s.fields))
	for i, f := range s.fields {
		names[i] = f.Name
	}
	return names
}

// unknown is the error of a name that is no field.
func (s *Schema) unknown(name string) error {
	if near := service.Near(name, s.names()); near != "" {
		return fmt.Errorf("there is no such %s; did you mean %s?", s.noun(), near)
	}
	if owners := s.registry.owners(name); len(owners) > 0 {
		verb := "has"
		if len(owners) > 1 {
			verb = "have"
		}
		return fmt.Errorf("there is no such %s; %s %s it", s.noun(), strings.Join(owners, ", "), verb)
	}
	return fmt.Errorf("there is no such %s; there are %s", s.noun(), strings.Join(s.names(), ", "))
}

// owners names the records that have a field, unless there are many: a field
// in the wrong place is meant for one of them.
func (r *Registry) owners(field string) []string {
	const most = 3
	var names []string
	for name, s := range r.names {
		if _, ok := s.index[field]; ok {
			names = append(names, name)
		}
	}
	if len(names) > most {
		return nil
	}
	slices.Sort(names)
	return names
}
