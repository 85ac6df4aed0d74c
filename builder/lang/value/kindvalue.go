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
	// Serialize is a function or a text, or nil.
	Serialize starlark.Value
}

// Check gives the field with its default as records will keep it. The error
// is about the default.
func (f FieldValue) Check(at *Site) (*FieldValue, error) {
	if f.Default == nil || f.Default == starlark.None {
		// None says that there is nothing: what is checked is what is given.
		return &f, nil
	}
	made, err := (&Schema{fields: []Field{{Kind: f.Kind, Sanitize: f.Sanitize}}}).accept(at, 0, f.Default)
	f.Default = made
	return &f, err
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

// DefinitionError is a configuration that cannot be defined because of one
// entry of the dict of its fields.
type DefinitionError struct {
	Field string
	Err   error
}

// Error is the text of the reason, which names the field.
func (e *DefinitionError) Error() string { return e.Err.Error() }

// Unwrap gives the reason.
func (e *DefinitionError) Unwrap() error { return e.Err }

// Configuration makes a schema of fields that a user declared, in the order
// of the dict. A field may be a type alone. serialize writes the fields that
// have no serializer of their own; it may be nil.
func (r *Registry) Configuration(name, doc string, fields *starlark.Dict, serialize starlark.Value) (*Schema, error) {
	var list []Field
	for key, v := range fields.Entries() {
		fieldName, ok := key.(starlark.String)
		if !ok {
			return nil, fmt.Errorf("cannot define %s: want the names of fields as keys, got %s: %w", name, TypeName(key), ErrSchema)
		}
		f := Field{Name: string(fieldName)}
		if fv, ok := v.(*FieldValue); ok {
			f.Kind, f.Doc, f.Default, f.Sanitize, f.Serialize = fv.Kind, fv.Doc, fv.Default, fv.Sanitize, fv.Serialize
		} else {
			var err error
			if f.Kind, err = KindOf(v); err != nil {
				return nil, &DefinitionError{f.Name, fmt.Errorf("cannot define %s: field %s: %w", name, f.Name, err)}
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
	if s.serialize, err = newSerializers(serialize); err != nil {
		return nil, Argument("serialize", err)
	}
	return s, nil
}
