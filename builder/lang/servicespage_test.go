// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package lang

import (
	"context"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write docs/services.md")

const servicesIntro = `# Service types

What each type of osbuild's modules takes, and what comes of it in a system. A service is declared by
` + "`service(TYPE, VALUE)`" + `, or ` + "`service(TYPE)`" + ` where a value is not needed; the essential ones, marked with a
star, are in every system by themselves and may only be extended. Others contribute by
` + "`simple_service(NAME, TYPE, [CONTRIBUTION, ...])`" + ` or by an extension of a type of their own. Contributions arrive in
the order of the declaration: essential services, then those of the system, then instances that were added because
something extends them. ` + "`osbuild doc NAME`" + ` prints the same for one name, and ` + "`osbuild search WORD`" + ` finds names.

This page is written by ` + "`go test ./builder/lang -run ServicesPage -update`" + `.
`

// docs/services.md says what the modules say of themselves.
func TestServicesPage(t *testing.T) {
	page := servicesIntro
	p, err := documentation(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range p.loader.library {
		d, err := p.Doc(m.Name)
		if err != nil {
			t.Fatal(err)
		}
		page += "\n" + d.markdown("##")
	}
	const file = "../../docs/services.md"
	if *update {
		if err := os.WriteFile(file, []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), page); diff != "" {
		t.Errorf("%s is not up to date: run this test with -update (-there +modules):\n%s", file, diff)
	}
}

// Everything that a module of osbuild has says what it is: each type, record
// and function, and each field.
func TestModulesAreDocumented(t *testing.T) {
	p, err := documentation(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range p.loader.library {
		t.Run(strings.TrimPrefix(m.Name, libraryPrefix), func(t *testing.T) {
			thread, done := p.loader.thread(m.Name)
			defer done()
			if _, err := p.loader.loadLibrary(thread, m.Name); err != nil {
				t.Fatal(p.loader.explain(err))
			}
			d, err := p.Doc(m.Name)
			if err != nil {
				t.Fatal(err)
			}
			if d.Text == "" {
				t.Error("the module does not begin with a text that says what it has")
			}
			for _, member := range append(d.Members, d.Records...) {
				if member.Text == "" {
					t.Errorf("%s: no text", member.Name)
				}
				for _, f := range member.Fields {
					if f.Text == "" {
						t.Errorf("%s: no text for the field %s", member.Name, f.Name)
					}
				}
				if member.Kind == wordType && member.fact(factValue) == "" && member.fact(factDefault) == "" {
					t.Errorf("%s: nothing is said of its value", member.Name)
				}
			}
		})
	}
}
