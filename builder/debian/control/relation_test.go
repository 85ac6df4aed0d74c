// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package control

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRelations(t *testing.T) {
	tests := []struct {
		summary string
		field   Relations
		want    []Dependency
	}{
		{"nothing", "", nil},
		{"a name", "libc6", []Dependency{{{Name: "libc6"}}}},
		{"a version", "libc6 (>= 2.36)", []Dependency{{{Name: "libc6", Op: ">=", Version: "2.36"}}}},
		{"without blanks", "a(=1),b(<<1:2~)", []Dependency{{{Name: "a", Op: "=", Version: "1"}}, {{Name: "b", Op: "<<", Version: "1:2~"}}}},
		{"with many", " a  (  >>\t1 ) ,\n b | c ,", []Dependency{{{Name: "a", Op: ">>", Version: "1"}}, {{Name: "b"}, {Name: "c"}}}},
		{"a qualifier", "python3:any (<= 3), x:i386", []Dependency{{{Name: "python3", Arch: "any", Op: "<=", Version: "3"}}, {{Name: "x", Arch: "i386"}}}},
		{"the old spelling", "a (> 1), b (< 2)", []Dependency{{{Name: "a", Op: ">=", Version: "1"}}, {{Name: "b", Op: "<=", Version: "2"}}}},
		{"empty entries", ", a,,", []Dependency{{{Name: "a"}}}},
	}
	for _, test := range tests {
		t.Run(test.summary, func(t *testing.T) {
			got, err := test.field.Parse()
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(test.want, got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func TestRelationErrors(t *testing.T) {
	tests := []struct{ field, want string }{
		{"a (1)", `cannot read the relation "a (1)": its operator is not one of`},
		{"a (<> 1)", "its operator is not one of"},
		{"a (= 1", "lacks a closing parenthesis"},
		{"a (= 1) b", "it has text after the version"},
		{"a (= )", "nothing is left of the upstream part"},
		{"a [amd64]", `"a [amd64]" is not a package name: it has the character ' '`},
		{"a <!nocheck>", "is not a package name"},
		{"a b", "is not a package name"},
		{"a:", "what follows the colon is not an architecture"},
		{"a | ", `cannot read the relation "": a package name is empty`},
		{"-a", "it has the character '-'"},
		{"a, ${misc}", "it has the character '$'"},
		{strings.Repeat("a", 200), "has more than 128 characters"},
	}
	for _, test := range tests {
		if got, err := Relations(test.field).Parse(); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: %v, %v, want %q", test.field, got, err, test.want)
		}
	}
	if _, err := Relations("a | b").List(); err == nil || !strings.Contains(err.Error(), "it has alternatives where none can be") {
		t.Errorf("a list with alternatives: %v", err)
	}
}

// FuzzRelations: what is read is written in a form that reads the same.
func FuzzRelations(f *testing.F) {
	f.Add("a (>= 1) | b:any, c (<< 2:3-4~x)")
	f.Add("a (> 1),,b")
	f.Fuzz(func(t *testing.T, s string) {
		deps, err := Relations(s).Parse()
		if err != nil {
			return
		}
		var parts []string
		for _, d := range deps {
			parts = append(parts, d.String())
		}
		again, err := Relations(strings.Join(parts, ", ")).Parse()
		if err != nil || !cmp.Equal(deps, again) && len(deps)+len(again) > 0 {
			t.Errorf("%q comes back as %q, %v", deps, again, err)
		}
	})
}
