// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package lang

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"go.starlark.net/starlark"

	"osbuild/builder/lang/value"
	"osbuild/builder/service"
)

// Doc is what there is to say of a name: [Doc.Text] for people, and
// [Doc.Markdown] for pages.
type Doc struct {
	Name string `json:"name"`
	// Kind is what the name stands for: one of the words below.
	Kind string `json:"kind"`
	// From is the module or the place that it comes from, if any.
	From string `json:"from,omitempty"`
	// Call is how it is called: a record or a function.
	Call []string `json:"call,omitempty"`
	Text string   `json:"text,omitempty"`
	// Facts are of a service type: what its value is, what it extends.
	Facts []DocFact `json:"facts,omitempty"`
	// Fields are those of a record, or the arguments of a function.
	Fields []DocField `json:"fields,omitempty"`
	// Records are the configuration of a service type, or the records of a
	// module.
	Records []*Doc `json:"records,omitempty"`
	// Members are what else a module has.
	Members []*Doc `json:"members,omitempty"`
}

// The kinds of names.
const (
	wordRecord   = "record"
	wordFunction = "function"
	wordType     = "service type"
	wordModule   = "module"
	wordList     = "list"
	wordValue    = "value"
)

// DocFact is a word and what stands for it.
type DocFact struct {
	Word string `json:"word"`
	Text string `json:"text"`
}

// The words of facts.
const (
	factValue     = "value"
	factDefault   = "default"
	factExtends   = "extends"
	factExtended  = "is extended by"
	factProduces  = "produces"
	factServices  = "services"
	factEssential = "essential"
)

// DocField is a field of a record or an argument of a function.
type DocField struct {
	Name     string `json:"name"`
	Type     string `json:"type"`
	Required bool   `json:"required,omitempty"`
	// Default is shown where it is short and simple; "…" stands for others.
	Default string `json:"default,omitempty"`
	Text    string `json:"text,omitempty"`
}

// NewDoc explains a name of the language: a function, a record, a service
// type of the library, or a module of it.
func NewDoc(name string) (*Doc, error) {
	p, err := documentation(context.Background())
	if err != nil {
		return nil, err
	}
	return p.Doc(name)
}

// Doc explains a name that the file can use: of the language, of the library,
// or of its own, such as what configuration() gave.
func (p *Program) Doc(name string) (*Doc, error) {
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
			return l.docModule(name, m.Source, globals), nil
		}
		if v, ok := globals[name]; ok {
			return l.docOf(name, v), nil
		}
		names = append(append(names, globals.Keys()...), m.Name)
	}
	return nil, &Error{Msg: fmt.Sprintf("cannot find documentation of %q: the language has no such name%s", name, service.Meant(name, names))}
}

// otherDocs are of the names that are not functions with described arguments.
var otherDocs = map[string]*Doc{
	"modify_services": {
		Kind: wordFunction,
		Call: []string{"services", "(type, function)", "(type, delete)", "..."},
		Text: "A list of services in which those of some types are changed. function(value) gives the new value of each service of the type; delete removes them. The pairs apply in order. A pair for a type of which there is no service is an error.",
	},
	"delete": {
		Kind: wordValue,
		Text: "What stands for a function in modify_services to remove the services of a type.",
	},
}

func (l *loader) docOf(name string, v starlark.Value) *Doc {
	switch v := v.(type) {
	case *value.Schema:
		return docSchema(v, wordRecord)
	case *value.Function:
		return docSchema(v.Schema(), wordFunction)
	case *value.ServiceType:
		return l.docType(v.T)
	case *starlark.Function:
		return docFunction(v)
	case *starlark.List:
		return docList(name, v)
	}
	if d, ok := otherDocs[name]; ok {
		named := *d
		named.Name = name
		return &named
	}
	return &Doc{Name: name, Kind: wordValue, Text: "A value of type " + v.Type() + "."}
}

// docSchema explains the fields of a record, or the arguments of a function.
func docSchema(s *value.Schema, kind string) *Doc {
	d := &Doc{Name: s.Name(), Kind: kind, Text: s.Doc(), Call: []string{}}
	for _, f := range s.Fields() {
		field := DocField{Name: f.Name, Type: f.Kind.String(), Required: f.Required, Text: f.Doc}
		call := f.Name
		if !f.Required {
			field.Default = defaultText(f.Default)
			call += "=" + field.Default
		}
		d.Fields = append(d.Fields, field)
		d.Call = append(d.Call, call)
	}
	return d
}

// defaultText shows a default where it is short, and says something: the path
// of an item does not.
func defaultText(v starlark.Value) string {
	const most = 40
	switch v.(type) {
	case nil:
		return "None"
	case starlark.Callable:
		return hidden
	}
	text := v.String()
	if name, ok := documentedPackage(v); ok {
		text = "package(" + starlark.String(name).String() + ")"
	}
	if len(text) > most || strings.Contains(text, itemMark) || strings.Contains(text, "<") {
		return hidden
	}
	return text
}

// hidden stands for a default that is not shown.
const hidden = "..."

// docFunction explains a function of a file. Its defaults are values already:
// nothing is computed.
func docFunction(f *starlark.Function) *Doc {
	d := &Doc{Name: f.Name(), Kind: wordFunction, Text: outdent(f.Doc()), Call: []string{}}
	for i := range f.NumParams() {
		name, _ := f.Param(i)
		last := f.NumParams() - 1
		if f.HasKwargs() {
			last--
		}
		switch {
		case f.HasKwargs() && i == f.NumParams()-1:
			name = "**" + name
		case f.HasVarargs() && i == last:
			name = "*" + name
		case f.ParamDefault(i) != nil:
			name += "=" + defaultText(f.ParamDefault(i))
		}
		d.Call = append(d.Call, name)
	}
	return d
}

// outdent takes off what the lines of a text are indented by in common; the
// first stands behind the quotes.
func outdent(text string) string {
	first, rest, _ := strings.Cut(text, "\n")
	common := len(rest)
	lines := strings.Split(rest, "\n")
	for _, line := range lines {
		if blank := strings.TrimLeft(line, " \t"); blank != "" {
			common = min(common, len(line)-len(blank))
		}
	}
	for i, line := range lines {
		lines[i] = line[min(common, len(line)):]
	}
	return strings.TrimSpace(first + "\n" + strings.Join(lines, "\n"))
}

// docList names the services of a list; of another one, it counts.
func docList(name string, list *starlark.List) *Doc {
	var types []string
	for e := range list.Elements() {
		if s, ok := e.(*value.Service); ok {
			types = append(types, s.S.Type.Name)
		}
	}
	text := strings.Join(types, ", ")
	if len(types) != list.Len() || len(types) == 0 {
		text = fmt.Sprintf("%d elements", list.Len())
	}
	return &Doc{Name: name, Kind: wordList, Text: text}
}

// docType explains a service type.
func (l *loader) docType(t *service.Type) *Doc {
	d := &Doc{Name: t.Name, Kind: wordType, From: l.origin(t), Text: t.Description}
	fact := func(word, text string) {
		if text != "" {
			d.Facts = append(d.Facts, DocFact{word, text})
		}
	}
	record := l.recordOf(t)
	switch {
	case t.ValueDoc != "":
		fact(factValue, t.ValueDoc)
	case record != nil:
		fact(factValue, record.Name())
	}
	switch v, ok := t.Default.(starlark.Value); {
	case !t.HasDefault:
		fact(factDefault, "none: service(type, value) needs the value")
	case ok && defaultText(v) != hidden:
		fact(factDefault, defaultText(v))
	}
	fact(factExtends, strings.Join(targets(t), ", "))
	switch {
	case t.ContributionDoc != "":
		fact(factExtended, t.ContributionDoc)
	case t.Extend == nil:
		fact(factExtended, "nothing")
	}
	fact(factProduces, t.ProducesDoc)
	fact(factServices, strings.Join(l.provisions(t), ", "))
	if l.isEssential(t) {
		fact(factEssential, "every system has one, which is extended and not declared")
	}
	if record != nil {
		d.Records = append(d.Records, docSchema(record, wordRecord))
	}
	return d
}

// targets names what a type extends.
func targets(t *service.Type) []string {
	var names []string
	for _, e := range t.Extensions {
		names = append(names, e.Target.Name)
	}
	return names
}

// origin is the module or the place that a type comes from.
func (l *loader) origin(t *service.Type) string {
	if t.Pos.File == "" {
		for _, m := range l.library {
			for _, known := range m.Types {
				if known == t {
					return m.Name
				}
			}
		}
	}
	if strings.HasPrefix(t.Pos.File, libraryPrefix) {
		return t.Pos.File
	}
	return t.Pos.String()
}

// recordOf gives the schema of the records that are the values of a type, or
// nil: that of its default, or that which its documentation names.
func (l *loader) recordOf(t *service.Type) *value.Schema {
	if s := l.records[t]; s != nil {
		return s
	}
	if t.HasDefault {
		if r, ok := l.registry.FromGo(t.Default).(*value.Record); ok && l.constructor(r.Schema().Name()) != nil {
			return r.Schema()
		}
	}
	return l.constructor(t.ValueDoc)
}

// constructor finds one that osbuild brings along, or nil.
func (l *loader) constructor(name string) *value.Schema {
	if s := l.constructors[name]; s != nil {
		return s
	}
	s, _ := l.predeclared[name].(*value.Schema)
	return s
}

// DocFile explains all that the file defines, as a module.
func (p *Program) DocFile() *Doc {
	return p.loader.docModule(p.file, p.loader.sources[p.file], p.globals)
}

// docModule explains what a module or file has, in the order of the names.
func (l *loader) docModule(name, source string, globals starlark.StringDict) *Doc {
	d := &Doc{Name: name, Kind: wordModule, Text: moduleText(source)}
	known := map[string]bool{}
	record := func(s *value.Schema) {
		if s != nil && !known[s.Name()] {
			known[s.Name()] = true
			d.Records = append(d.Records, docSchema(s, wordRecord))
		}
	}
	for _, name := range globals.Keys() {
		switch v := globals[name].(type) {
		case *value.Schema:
			record(v)
			continue
		case *value.ServiceType:
			record(l.recordOf(v.T))
			for _, t := range v.T.Elements {
				record(l.constructor(l.registry.Word(t)))
			}
		}
		if !strings.HasPrefix(name, "_") {
			d.Members = append(d.Members, l.docOf(name, globals[name]))
		}
	}
	slices.SortFunc(d.Records, func(a, b *Doc) int { return strings.Compare(a.Name, b.Name) })
	return d
}
