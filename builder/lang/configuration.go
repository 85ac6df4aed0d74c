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
	Name      string         `star:"name,required" doc:"The name of the constructor, which messages and documentation show."`
	Fields    starlark.Value `star:"fields,required" doc:"A dict from names of fields to field(...) or to a type alone."`
	Doc       string         `star:"doc" doc:"What the records are for."`
	Serialize starlark.Value `star:"serialize" doc:"How serialize() writes the fields that do not say it themselves: a function of a field's name and value that gives text, or a dict from types to such functions."`
}

type field struct {
	Type      starlark.Value    `star:"type,required" doc:"str, int, bool, list, dict, any, \"file\", \"function\", \"service\", a constructor of records, maybe(type) or list_of(type)."`
	Default   starlark.Value    `star:"default" doc:"The value when none is given. Without a default the field must be given, unless its type is maybe(type)."`
	Doc       string            `star:"doc" doc:"What the field means."`
	Sanitize  starlark.Callable `star:"sanitize" doc:"A function that makes the value to keep of the one that was given. The type is checked afterwards."`
	Serialize starlark.Value    `star:"serialize" doc:"How serialize() writes the field: a function of its name and value that gives text, or the text itself; \"\" leaves the field out."`
}

type kindOf struct {
	Type starlark.Value `star:"type,required" doc:"The type of the values."`
}

type serialization struct {
	Record starlark.Value `star:"record,required" doc:"A record of a constructor that configuration() made."`
}

func (l *loader) declareKinds() error {
	return errors.Join(
		function(l, "configuration", "A constructor of records with checked fields, for a service type of your own.", configuration{}, l.configuration),
		function(l, "field", "A field of a configuration.", field{}, l.field),
		function(l, "maybe", "The type of values of another type, or None.", kindOf{}, kindFunction(value.Maybe)),
		function(l, "list_of", "The type of lists whose elements are of one type.", kindOf{}, kindFunction(value.ListOf)),
		function(l, "serialize", "The text of a record: what the serializers of its fields give, in the order of the fields. Fields that are None are left out.", serialization{}, l.serialize),
	)
}

func (l *loader) configuration(_ *starlark.Thread, a *configuration) (starlark.Value, error) {
	fields, ok := a.Fields.(*starlark.Dict)
	if !ok {
		return nil, value.Argument("fields", fmt.Errorf("want dict, got %s", value.TypeName(a.Fields)))
	}
	return l.registry.Configuration(a.Name, a.Doc, fields, a.Serialize)
}

func (l *loader) field(thread *starlark.Thread, a *field) (starlark.Value, error) {
	k, err := value.KindOf(a.Type)
	if err != nil {
		return nil, value.Argument("type", err)
	}
	with, err := value.Serializer(a.Serialize)
	if err != nil {
		return nil, value.Argument("serialize", err)
	}
	f, err := value.FieldValue{Kind: k, Doc: a.Doc, Default: a.Default, Sanitize: a.Sanitize, Serialize: with}.Check(l.site(thread))
	if err != nil {
		return nil, value.Argument("default", err)
	}
	return f, nil
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

func (l *loader) serialize(thread *starlark.Thread, a *serialization) (starlark.Value, error) {
	r, ok := a.Record.(*value.Record)
	if !ok {
		return nil, value.Argument("record", fmt.Errorf("want a record of a configuration, got %s", value.TypeName(a.Record)))
	}
	text, err := r.Serialize(l.site(thread))
	if err != nil {
		return nil, err
	}
	return starlark.String(text), nil
}
