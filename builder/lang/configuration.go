// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package lang

import (
	"errors"
	"fmt"

	"go.starlark.net/starlark"

	"osbuild/builder/lang/value"
)

type configuration struct {
	Name   string         `star:"name,required" doc:"The name of the constructor, which messages and documentation show."`
	Fields starlark.Value `star:"fields,required" doc:"A dict from names of fields to field(...) or to a type alone."`
	Doc    string         `star:"doc" doc:"What the records are for."`
}

type field struct {
	Type     starlark.Value    `star:"type,required" doc:"str, int, bool, list, dict, any, \"file\", \"function\", \"service\", a constructor of records, maybe(type) or list_of(type)."`
	Default  starlark.Value    `star:"default" doc:"The value when none is given. Without a default the field must be given, unless its type is maybe(type)."`
	Doc      string            `star:"doc" doc:"What the field means."`
	Sanitize starlark.Callable `star:"sanitize" doc:"A function that makes the value to keep of the one that was given. The type is checked afterwards."`
}

type kindOf struct {
	Type starlark.Value `star:"type,required" doc:"The type of the values."`
}

func (l *loader) declareKinds() error {
	return errors.Join(
		function(l, "configuration", "A constructor of records with checked fields, for a service type of your own.", configuration{}, l.configuration),
		function(l, "field", "A field of a configuration.", field{}, l.field),
		function(l, "maybe", "The type of values of another type, or None.", kindOf{}, kindFunction(value.Maybe)),
		function(l, "list_of", "The type of lists whose elements are of one type.", kindOf{}, kindFunction(value.ListOf)),
	)
}

func (l *loader) configuration(thread *starlark.Thread, a *configuration) (starlark.Value, error) {
	fields, ok := a.Fields.(*starlark.Dict)
	if !ok {
		return nil, value.Argument("fields", fmt.Errorf("want dict, got %s", value.TypeName(a.Fields)))
	}
	return l.registry.Configuration(l.site(thread), a.Name, a.Doc, fields)
}

func (l *loader) field(_ *starlark.Thread, a *field) (starlark.Value, error) {
	k, err := value.KindOf(a.Type)
	if err != nil {
		return nil, value.Argument("type", err)
	}
	return &value.FieldValue{Kind: k, Doc: a.Doc, Default: a.Default, Sanitize: a.Sanitize}, nil
}

func kindFunction(of func(value.Kind) value.Kind) func(*starlark.Thread, *kindOf) (starlark.Value, error) {
	return func(_ *starlark.Thread, a *kindOf) (starlark.Value, error) {
		k, err := value.KindOf(a.Type)
		if err != nil {
			return nil, value.Argument("type", err)
		}
		return &value.KindValue{Kind: of(k)}, nil
	}
}
