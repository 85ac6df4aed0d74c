// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package value

import (
	"fmt"

	"go.starlark.net/starlark"
)

// KindValue is a kind as Starlark sees it: what maybe() and list_of() give.
type KindValue struct{ Kind Kind }

// String implements [starlark.Value].
func (k *KindValue) String() string { return "<" + k.Kind.String() + ">" }

// Type implements [starlark.Value].
func (k *KindValue) Type() string { return "type" }

// Freeze implements [starlark.Value].
func (k *KindValue) Freeze() {}

// Truth implements [starlark.Value].
func (k *KindValue) Truth() starlark.Bool { return true }

// Hash implements [starlark.Value].
func (k *KindValue) Hash() (uint32, error) { return starlark.String(k.Kind.String()).Hash() }

// kindNames are the kinds that have a name: functions of Starlark that make
// such values, and words for what Starlark has no function for.
var kindNames = map[string]Kind{
	"str":      String,
	"string":   String,
	"int":      Int,
	"bool":     Bool,
	"any":      Any,
	"list":     ListOf(Any),
	"dict":     DictOf(Any),
	"file":     File,
	"function": function{},
	"service":  opaque{serviceType, "service"},
}

// KindOf reads the type of a field: str, int, bool, list, dict, any, "file",
// "function", "service", a constructor of records, or what maybe() and
// list_of() made.
func KindOf(v starlark.Value) (Kind, error) {
	switch v := v.(type) {
	case *KindValue:
		return v.Kind, nil
	case *Schema:
		return RecordOf(v), nil
	case starlark.String:
		if k := kindNames[string(v)]; k != nil {
			return k, nil
		}
		return nil, fmt.Errorf("%q is no type; types are str, int, bool, list, dict, any, \"file\", \"function\", \"service\", constructors of records, maybe(type) and list_of(type)", short(string(v)))
	case *starlark.Builtin:
		if starlark.Universe[v.Name()] == starlark.Value(v) && kindNames[v.Name()] != nil {
			return kindNames[v.Name()], nil
		}
	}
	return nil, fmt.Errorf("%s is no type; types are str, int, bool, list, dict, any, \"file\", \"function\", \"service\", constructors of records, maybe(type) and list_of(type)", short(v.String()))
}

// FieldValue is a field of a configuration before it has a name.
type FieldValue struct {
	Kind     Kind
	Doc      string
	Default  starlark.Value // nil when the field must be given
	Sanitize starlark.Callable
}

// String implements [starlark.Value].
func (f *FieldValue) String() string { return "<field of " + f.Kind.String() + ">" }

// Type implements [starlark.Value].
func (f *FieldValue) Type() string { return "field" }

// Freeze implements [starlark.Value].
func (f *FieldValue) Freeze() {}

// Truth implements [starlark.Value].
func (f *FieldValue) Truth() starlark.Bool { return true }

// Hash implements [starlark.Value].
func (f *FieldValue) Hash() (uint32, error) { return 0, fmt.Errorf("unhashable: field") }

// Configuration makes a schema of fields that a user declared, in the order
// of the dict. A field may be a type alone.
func (r *Registry) Configuration(at *Site, name, doc string, fields *starlark.Dict) (*Schema, error) {
	var list []Field
	for key, v := range fields.Entries() {
		fieldName, ok := key.(starlark.String)
		if !ok {
			return nil, fmt.Errorf("cannot define %s: want the names of fields as keys, got %s: %w", name, TypeName(key), ErrSchema)
		}
		f := Field{Name: string(fieldName)}
		if fv, ok := v.(*FieldValue); ok {
			f.Kind, f.Doc, f.Default, f.Sanitize = fv.Kind, fv.Doc, fv.Default, fv.Sanitize
		} else {
			var err error
			if f.Kind, err = KindOf(v); err != nil {
				return nil, fmt.Errorf("cannot define %s: field %s: %w", name, f.Name, err)
			}
		}
		if _, optional := f.Kind.(maybe); optional && f.Default == nil {
			f.Default = starlark.None
		}
		f.Required = f.Default == nil
		list = append(list, f)
	}
	s, err := newSchema(r, name, doc, list)
	if err != nil {
		return nil, err
	}
	for i, f := range s.fields {
		if f.Required || f.Default == starlark.None {
			continue
		}
		if s.fields[i].Default, err = s.accept(at, i, f.Default); err != nil {
			return nil, fmt.Errorf("cannot define %s: field %s: the default is wrong: %w", name, f.Name, err)
		}
	}
	return s, nil
}
