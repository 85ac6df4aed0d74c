// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package graph

import (
	"fmt"
	"strings"
)

// MermaidEdges is how many edges Mermaid draws as it is set up by default; it
// refuses more.
const MermaidEdges = 500

// mermaid writes a flowchart. Nodes are called by their numbers, since names
// such as "end" have a meaning there.
func (g Graph) mermaid(number map[string]int) string {
	var b strings.Builder
	b.WriteString("flowchart LR\n")
	for i, n := range g.Nodes {
		lines := n.lines()
		for k, l := range lines {
			lines[k] = mermaidLabel(l)
		}
		fmt.Fprintf(&b, "  n%d[\"%s\"]\n", i, strings.Join(lines, "<br/>"))
	}
	for _, e := range g.Edges {
		fmt.Fprintf(&b, "  n%d --> n%d\n", number[e.From], number[e.To])
	}
	return b.String()
}

// mermaidLabel writes everything but plain words as its number: the rules of
// what else would be read as HTML, as Markdown (even in a plain label) or as the
// end of the label differ from version to version, and this stands outside of all.
func mermaidLabel(line string) string {
	var b strings.Builder
	runes := []rune(line)
	word := func(i int) bool {
		if i < 0 || i >= len(runes) {
			return false
		}
		r := runes[i]
		return r >= 0x80 || r >= '0' && r <= '9' || r|0x20 >= 'a' && r|0x20 <= 'z'
	}
	for i, r := range runes {
		switch {
		case word(i), strings.ContainsRune(" ,/(", r), strings.ContainsRune("-_.+=", r) && word(i-1) && word(i+1):
			b.WriteRune(r)
		default:
			fmt.Fprintf(&b, "#%d;", r)
		}
	}
	if b.Len() == 0 {
		return " " // an empty label is an error
	}
	return b.String()
}
