// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package value

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"unicode"

	"go.starlark.net/starlark"

	"osbuild/builder/derivation"
	"osbuild/builder/service"
)

// Struct tags: `star:"NAME"`, `star:"NAME,required"`, and `star:"-"` for a
// field that declarations do not see; `file` and `item` after a comma narrow
// strings to paths and to names of items; `doc:"TEXT"` explains the field.
const (
	starTag = "star"
	docTag  = "doc"
)

var (
	positionType = reflect.TypeFor[derivation.Position]()
	typeType     = reflect.TypeFor[*service.Type]()
	serviceType  = reflect.TypeFor[*service.Service]()
	funcType     = reflect.TypeFor[service.Func]()
	anyType      = reflect.TypeFor[any]()
	valueType    = reflect.TypeFor[starlark.Value]()
	callableType = reflect.TypeFor[starlark.Callable]()
)

// Register adds the records of a Go struct: name is that of the constructor,
// proto a pointer to a struct that holds the defaults, and convert, which may
// be nil, makes what Go gets to see of a finished struct.
func (r *Registry) Register(name string, proto any, doc string, convert func(any) (any, error)) (*Schema, error) {
	pv := reflect.ValueOf(proto)
	if pv.Kind() != reflect.Pointer || pv.IsNil() || pv.Elem().Kind() != reflect.Struct {
		return nil, fmt.Errorf("cannot define %s: the prototype is a %T, not a pointer to a struct: %w", name, proto, ErrSchema)
	}
	if _, twice := r.names[name]; twice {
		return nil, fmt.Errorf("cannot define %s: another record has that name: %w", name, ErrSchema)
	}
	// A field of some other struct may have mentioned this one before.
	s := r.schemas[pv.Elem().Type()]
	if s == nil || s.registered() {
		s = &Schema{registry: r, goType: pv.Elem().Type()}
	}
	s.name, s.doc, s.convert, s.proto = name, doc, convert, pv
	r.names[name] = s
	if _, taken := r.schemas[s.goType]; !taken {
		r.schemas[s.goType] = s
	}
	return s, s.describe()
}

// registered says whether the schema has a constructor.
func (s *Schema) registered() bool { return s.registry.names[s.name] == s }

// schemaOf gives the schema of a struct type, and makes one for a struct that
// has tags but no constructor of its own: it is written as a tuple.
func (r *Registry) schemaOf(t reflect.Type) *Schema {
	if s := r.schemas[t]; s != nil {
		return s
	}
	if !tagged(t) {
		return nil
	}
	s := &Schema{name: typeWord(t), registry: r, goType: t, proto: reflect.New(t)}
	r.schemas[t] = s
	if err := s.describe(); err != nil {
		delete(r.schemas, t)
		return nil
	}
	return s
}

// tagged says whether a struct has fields that declarations see.
func tagged(t reflect.Type) bool {
	for i := range t.NumField() {
		if name, _, _ := strings.Cut(t.Field(i).Tag.Get(starTag), ","); name != "" && name != "-" {
			return true
		}
	}
	return false
}

// describe fills in the fields from the struct's tags.
func (s *Schema) describe() error {
	s.fields = nil
	for i := range s.goType.NumField() {
		f := s.goType.Field(i)
		name, rest, _ := strings.Cut(f.Tag.Get(starTag), ",")
		if name == "" || name == "-" {
			continue
		}
		kind, err := s.registry.kindOf(f.Type)
		if err != nil {
			return fmt.Errorf("cannot define %s: field %s: %w", s.name, name, err)
		}
		required := false
		for _, option := range strings.FieldsFunc(rest, func(r rune) bool { return r == ',' }) {
			switch {
			case option == "required":
				required = true
			case option == "file":
				kind = files(kind)
			case option == "item" && kind == Kind(String):
				kind = ItemName
			default:
				return fmt.Errorf("cannot define %s: the tag of the Go field %s is wrong: %w", s.name, f.Name, ErrSchema)
			}
		}
		if (f.Type.Kind() == reflect.Pointer || kind == Kind(function{})) && !required {
			kind = Maybe(kind)
		}
		s.fields = append(s.fields, Field{
			Name: name, Kind: kind, Doc: f.Tag.Get(docTag), Required: required, goIndex: f.Index,
		})
	}
	if err := s.finish(); err != nil {
		return err
	}
	for i := range s.fields {
		f := &s.fields[i]
		if !f.Required {
			v := s.registry.fromGo(s.proto.Elem().FieldByIndex(f.goIndex))
			f.Default = v
		}
	}
	return nil
}

// kindOf gives the kind of the values that a Go type can hold.
func (r *Registry) kindOf(t reflect.Type) (Kind, error) {
	switch t {
	case typeType, serviceType:
		return opaque{t, typeWord(t)}, nil
	case funcType, callableType:
		return function{}, nil
	case anyType, valueType:
		return Any, nil
	}
	switch t.Kind() {
	case reflect.String:
		return String, nil
	case reflect.Bool:
		return Bool, nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return Int, nil
	case reflect.Slice:
		of, err := r.kindOf(t.Elem())
		return ListOf(of), err
	case reflect.Map:
		if t.Key().Kind() != reflect.String {
			break
		}
		of, err := r.kindOf(t.Elem())
		return DictOf(of), err
	case reflect.Pointer:
		return r.kindOf(t.Elem())
	case reflect.Struct:
		if s := r.schemaOf(t); s != nil {
			return RecordOf(s), nil
		}
		return opaque{reflect.PointerTo(t), typeWord(t)}, nil
	case reflect.Interface:
		return opaque{t, typeWord(t)}, nil
	}
	return nil, fmt.Errorf("values of the Go type %s do not convert: %w", t, ErrSchema)
}

// files narrows the strings of a kind to paths.
func files(k Kind) Kind {
	switch k := k.(type) {
	case scalar:
		if k == String {
			return File
		}
	case list:
		return list{files(k.of)}
	case dict:
		return dict{files(k.of)}
	}
	return k
}

// Word is what messages call the values of a Go type.
func (r *Registry) Word(t reflect.Type) string {
	if k, err := r.kindOf(t); err == nil {
		return k.String()
	}
	return typeWord(t)
}

// typeWord is what declarations call the values of a Go type.
func typeWord(t reflect.Type) string {
	switch t {
	case typeType:
		return "service_type"
	case serviceType:
		return "service"
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return snake(t.Name())
}

// snake turns a Go name into the declaration's: UserGroup is user_group, and
// PAMService is pam_service.
func snake(name string) string {
	var b strings.Builder
	runes := []rune(name)
	for i, r := range runes {
		if unicode.IsUpper(r) && i > 0 && (!unicode.IsUpper(runes[i-1]) || i+1 < len(runes) && unicode.IsLower(runes[i+1])) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// bind makes the Go struct of a record, checks it, and reads back the values
// of the fields that were not given: a check may compute defaults.
func (s *Schema) bind(at *Site, r *Record, base reflect.Value) error {
	p := reflect.New(s.goType)
	p.Elem().Set(base.Elem())
	for i, f := range s.fields {
		if !r.given[i] {
			continue
		}
		field := p.Elem().FieldByIndex(f.goIndex)
		v, err := s.registry.toGo(r.values[i], field.Type())
		if err != nil {
			return s.fault(f.Name, -1, err)
		}
		field.Set(v)
	}
	for i := range s.goType.NumField() {
		if s.goType.Field(i).Type == positionType && s.goType.Field(i).IsExported() {
			p.Elem().Field(i).Set(reflect.ValueOf(at.Pos))
		}
	}
	if v, ok := p.Interface().(interface{ Validate() error }); ok {
		if err := v.Validate(); err != nil {
			return s.invalid(err)
		}
	}
	for i, f := range s.fields {
		if !r.given[i] {
			r.values[i] = s.registry.fromGo(p.Elem().FieldByIndex(f.goIndex))
		}
	}
	r.bound = p.Interface()
	if s.convert != nil {
		var err error
		if r.bound, err = s.convert(r.bound); err != nil {
			return s.invalid(err)
		}
	}
	return nil
}

// invalid words the error of a check, which begins with `field NAME:` when
// one field is at fault.
func (s *Schema) invalid(err error) error {
	var ours *FieldError
	if errors.As(err, &ours) {
		return err
	}
	if rest, ok := strings.CutPrefix(err.Error(), "field "); ok {
		name, reason, found := strings.Cut(rest, ": ")
		if i, known := s.index[name]; found && known {
			return s.fault(s.fields[i].Name, i, errors.New(reason))
		}
	}
	return fmt.Errorf("%s: %w", s.name, err)
}
