// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package lang

import (
	"context"
	"fmt"
	"strings"

	"go.starlark.net/starlark"

	"osbuild/builder/derivation"
	"osbuild/builder/lang/value"
	"osbuild/builder/service"
)

// Doc explains a name of the language: a function, a record, a service type
// of the library, or a module of it.
func Doc(name string) (string, error) {
	p, err := Load(context.Background(), "", Options{Graph: derivation.NewGraph(nil)})
	if err != nil {
		return "", err
	}
	return p.Doc(name)
}

// Doc explains a name that the file can use: of the language, of the library,
// or of its own, such as what configuration() gave.
func (p *Program) Doc(name string) (string, error) {
	l := p.loader
	if v, ok := l.visible[name]; ok {
		return l.docOf(name, v), nil
	}
	if v, ok := l.predeclared[name]; ok {
		return l.docOf(name, v), nil
	}
	names := l.names()
	for _, m := range l.library {
		globals := l.libraryNames(m)
		if m.Name == name {
			return docModule(name, globals), nil
		}
		if v, ok := globals[name]; ok {
			return l.docOf(name, v), nil
		}
		names = append(names, globals.Keys()...)
	}
	return "", &Error{Msg: fmt.Sprintf("cannot find documentation of %q: the language has no such name%s", name, service.Meant(name, names))}
}

// otherDocs are of the names that are not functions with described arguments.
var otherDocs = map[string]string{
	"modify_services": `modify_services(services, (type, function), (type, delete), ...)

A list of services in which those of some types are changed. function(value)
gives the new value of each service of the type; delete removes them. The pairs
apply in order. A pair for a type of which there is no service is an error.
`,
	"delete": `delete

What stands for a function in modify_services to remove the services of a type.
`,
}

func (l *loader) docOf(name string, v starlark.Value) string {
	switch v := v.(type) {
	case *value.Schema:
		return v.Describe()
	case *value.Function:
		return v.Schema().Describe()
	case *value.ServiceType:
		for _, m := range l.library {
			for _, t := range m.Types {
				if t == v.T {
					return docType(m.Name, t)
				}
			}
		}
		return docType(v.T.Pos.String(), v.T)
	case *starlark.Function:
		return docFunction(v)
	case *starlark.List:
		return docList(name, v)
	}
	if text, ok := otherDocs[name]; ok {
		return text
	}
	return fmt.Sprintf("%s: a value of type %s\n", name, v.Type())
}

func docFunction(f *starlark.Function) string {
	var params []string
	for i := range f.NumParams() {
		name, _ := f.Param(i)
		switch {
		case f.HasKwargs() && i == f.NumParams()-1:
			name = "**" + name
		case f.HasVarargs() && i == f.NumParams()-1-btoi(f.HasKwargs()):
			name = "*" + name
		case f.ParamDefault(i) != nil:
			name += "=" + f.ParamDefault(i).String()
		}
		params = append(params, name)
	}
	text := fmt.Sprintf("%s(%s)\n", f.Name(), strings.Join(params, ", "))
	if f.Doc() != "" {
		text += "\n" + strings.TrimSpace(f.Doc()) + "\n"
	}
	return text
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func docList(name string, l *starlark.List) string {
	var elements []string
	for e := range l.Elements() {
		if s, ok := e.(*value.Service); ok {
			elements = append(elements, s.S.Type.Name)
		} else {
			elements = append(elements, e.Type())
		}
	}
	return fmt.Sprintf("%s: a list\n\n%s\n", name, strings.Join(elements, ", "))
}

// docType explains a service type that comes from a module or a place.
func docType(from string, t *service.Type) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: a service type of %s\n", t.Name, from)
	if t.Description != "" {
		fmt.Fprintf(&b, "\n%s\n", t.Description)
	}
	b.WriteString("\n")
	line := func(word, text string) {
		if text != "" {
			fmt.Fprintf(&b, "%-14s %s\n", word, text)
		}
	}
	line("value", t.ValueDoc)
	switch v, ok := t.Default.(starlark.Value); {
	case !t.HasDefault:
		line("default", "none: service(type, value) needs the value")
	case ok:
		line("default", v.String())
	}
	var targets []string
	for _, e := range t.Extensions {
		targets = append(targets, e.Target.Name)
	}
	line("extends", strings.Join(targets, ", "))
	switch {
	case t.ContributionDoc != "":
		line("is extended by", t.ContributionDoc)
	case t.Extend == nil:
		line("is extended by", "nothing")
	}
	line("produces", t.ProducesDoc)
	return b.String()
}

func docModule(name string, globals starlark.StringDict) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n", name)
	for _, n := range globals.Keys() {
		text := "a value of type " + globals[n].Type()
		switch v := globals[n].(type) {
		case *value.ServiceType:
			text = v.T.Description
		case *value.Schema:
			text = v.Doc()
		case *starlark.Function:
			text, _, _ = strings.Cut(strings.TrimSpace(v.Doc()), "\n")
		case *starlark.List:
			text = "a list"
		}
		fmt.Fprintf(&b, "%-24s %s\n", n, text)
	}
	return b.String()
}
