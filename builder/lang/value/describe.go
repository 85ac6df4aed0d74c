// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package value

import (
	"fmt"
	"strings"

	"go.starlark.net/starlark"
)

// Describe explains a schema: how it is called, what it is for, and each
// field with its kind and default.
func (s *Schema) Describe() string {
	var b strings.Builder
	var call []string
	for _, f := range s.fields {
		switch {
		case f.Required:
			call = append(call, f.Name)
		default:
			call = append(call, f.Name+"="+defaultText(f.Default))
		}
	}
	fmt.Fprintf(&b, "%s(%s)\n", s.name, strings.Join(call, ", "))
	if s.doc != "" {
		fmt.Fprintf(&b, "\n%s\n", s.doc)
	}
	for _, f := range s.fields {
		fmt.Fprintf(&b, "\n%s: %s", f.Name, f.Kind)
		if f.Required {
			b.WriteString(", required")
		}
		b.WriteString("\n")
		if f.Doc != "" {
			fmt.Fprintf(&b, "    %s\n", f.Doc)
		}
	}
	return b.String()
}

// defaultText shows a default, unless it is too long to be read in passing.
func defaultText(v starlark.Value) string {
	if v == nil {
		return "None"
	}
	const most = 40
	if s := v.String(); len(s) <= most {
		return s
	}
	return "..."
}
