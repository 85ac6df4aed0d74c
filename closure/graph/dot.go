// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package graph

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// dot writes the language of Graphviz.
func (g Graph) dot() string {
	var b strings.Builder
	fmt.Fprintf(&b, "digraph %s {\n", dotString(g.Name))
	b.WriteString("  rankdir=LR;\n  node [shape=box, fontname=\"sans-serif\"];\n")
	for _, n := range g.Nodes {
		lines := n.lines()
		for i, l := range lines {
			lines[i] = dotLabel.Replace(l)
		}
		fmt.Fprintf(&b, "  %s [label=\"%s\"];\n", dotString(n.ID), strings.Join(lines, `\n`))
	}
	for _, e := range g.Edges {
		fmt.Fprintf(&b, "  %s -> %s;\n", dotString(e.From), dotString(e.To))
	}
	b.WriteString("}\n")
	return b.String()
}

// dotLabel escapes one line of a label, in which a backslash begins an escape
// and an ampersand an entity of HTML.
var dotLabel = strings.NewReplacer(`\`, `\\`, `"`, `\"`, `&`, `&amp;`)

// dotString quotes a name. In a quoted string of DOT only the quote needs a
// backslash; any other stands for itself, so one before the closing quote
// would take it away: it is doubled there, and everywhere. One that is not
// doubled begins what cannot stand there as it is, so names stay apart.
func dotString(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i, r := range s {
		switch _, size := utf8.DecodeRuneInString(s[i:]); {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case visible(r) != r:
			fmt.Fprintf(&b, `\x%02x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
