// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package lang

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"osbuild/builder/lang/value"
	"osbuild/builder/service"
)

// Hit is a name that a search found.
type Hit struct {
	Name string `json:"name"`
	Kind string `json:"kind"`
	// Module is what to load the name from; "" for what every file knows.
	Module      string `json:"module,omitempty"`
	Description string `json:"description,omitempty"`
	// Extends and Services are of a service type: what it contributes to, and
	// what PID 1 gets of it when it has its default value.
	Extends   []string `json:"extends,omitempty"`
	Services  []string `json:"services,omitempty"`
	Relevance int      `json:"relevance"`
	// fields are names and texts of fields, which are searched too.
	fields string
}

// Search finds the service types, records and functions of osbuild that all
// of the patterns match, the most relevant first.
func Search(ctx context.Context, patterns []*regexp.Regexp) ([]Hit, error) {
	p, err := documentation(ctx)
	if err != nil {
		return nil, err
	}
	var found []Hit
	for _, h := range p.loader.hits() {
		if h.Relevance = relevance(&h, patterns); h.Relevance > 0 {
			found = append(found, h)
		}
	}
	slices.SortStableFunc(found, func(a, b Hit) int {
		if c := cmp.Compare(b.Relevance, a.Relevance); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	})
	return found, nil
}

// Meant is the hint that offers a name near to a word which found nothing; it
// may be empty.
func Meant(ctx context.Context, word string) string {
	p, err := documentation(ctx)
	if err != nil {
		return ""
	}
	var names []string
	for _, h := range p.loader.hits() {
		for _, name := range append([]string{h.Name}, h.Services...) {
			names = append(append(names, name), strings.FieldsFunc(name, func(r rune) bool { return r == '_' || r == '-' })...)
		}
	}
	return service.Meant(word, names)
}

// hits lists all that can be found.
func (l *loader) hits() []Hit {
	var all []Hit
	add := func(module string, d *Doc) {
		h := Hit{Name: d.Name, Kind: d.Kind, Module: module, Description: d.summary()}
		for _, f := range append(d.Fields, recordFields(d)...) {
			h.fields += f.Name + " " + f.Text + "\n"
		}
		all = append(all, h)
	}
	for _, name := range l.predeclared.Keys() {
		add("", l.docOf(name, l.predeclared[name]))
	}
	for _, m := range l.library {
		globals := l.libraryNames(m)
		for _, name := range globals.Keys() {
			if strings.HasPrefix(name, "_") {
				continue
			}
			add(m.Name, l.docOf(name, globals[name]))
			if t, ok := globals[name].(*value.ServiceType); ok {
				h := &all[len(all)-1]
				h.Extends, h.Services = targets(t.T), l.provisions(t.T)
			}
		}
	}
	return all
}

func recordFields(d *Doc) []DocField {
	var all []DocField
	for _, r := range d.Records {
		all = append(all, r.Fields...)
	}
	return all
}

// The weights of where a pattern is found, and what a match of the whole
// counts more than one within.
const (
	weightName        = 4
	weightServices    = 3
	weightDescription = 2
	weightRest        = 1
	wholeMatch        = 5
)

// relevance is 0 unless each pattern is found somewhere.
func relevance(h *Hit, patterns []*regexp.Regexp) int {
	total := 0
	for _, re := range patterns {
		score := 0
		count := func(weight int, texts ...string) {
			for _, text := range texts {
				switch at := re.FindStringIndex(text); {
				case at == nil:
				case at[1]-at[0] == len(text) && text != "":
					score += weight * wholeMatch
				default:
					score += weight
				}
			}
		}
		count(weightName, h.Name)
		count(weightServices, h.Services...)
		count(weightDescription, h.Description)
		count(weightRest, h.Extends...)
		count(weightRest, h.Module, h.fields)
		if score == 0 {
			return 0
		}
		total += score
	}
	return total
}

// String is the hit as people read it: a line for each thing that is known.
func (h Hit) String() string {
	var b strings.Builder
	line := func(word, text string) {
		if text != "" {
			b.WriteString(wrap(text, word+": ", "  "))
		}
	}
	line("name", h.Name)
	line("kind", h.Kind)
	line("module", h.Module)
	line("description", h.Description)
	line("extends", strings.Join(h.Extends, " "))
	line("services", strings.Join(h.Services, " "))
	line("relevance", fmt.Sprint(h.Relevance))
	return b.String()
}
