// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

// Package graph draws plain graphs: as DOT for Graphviz, as a Mermaid
// flowchart, and as JSON.
//
// It owns [Graph] and how labels are escaped in each form. It never knows what
// nodes stand for, and keeps the order it is given, so that equal graphs are
// equal texts. Start with [Graph.Write].
package graph

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// Graph is a directed graph.
type Graph struct {
	// Name says what is drawn.
	Name  string `json:"name"`
	Nodes []Node `json:"nodes"`
	Edges []Edge `json:"edges"`
}

// Node is one box. Its ID is its own in the graph.
type Node struct {
	ID    string `json:"id"`
	Label string `json:"label"`
	// Detail is a second line of the box.
	Detail string `json:"-"`
	// Size is in bytes, for nodes that have one.
	Size int64 `json:"size,omitempty"`
}

// Edge is an arrow between two nodes, named by their IDs.
type Edge struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// Format is a way to write a graph down.
type Format string

// The formats.
const (
	DOT     Format = "dot"
	Mermaid Format = "mermaid"
	JSON    Format = "json"
)

// ParseFormat checks the name of a format.
func ParseFormat(s string) (Format, error) {
	switch f := Format(s); f {
	case DOT, Mermaid, JSON:
		return f, nil
	}
	return "", fmt.Errorf("cannot draw graphs as %q: dot, mermaid and json are known", s)
}

// Write writes the graph in a format. Nodes and edges come in their order; an
// edge that is there twice is drawn once.
func (g Graph) Write(w io.Writer, f Format) error {
	number, err := g.number()
	if err != nil {
		return err
	}
	g.Edges = unique(g.Edges)
	var text string
	switch f {
	case DOT:
		text = g.dot()
	case Mermaid:
		text = g.mermaid(number)
	case JSON:
		return g.json(w)
	default:
		_, err := ParseFormat(string(f))
		return err
	}
	_, err = io.WriteString(w, text)
	return err
}

// number gives every node its place, and finds what does not fit together.
func (g Graph) number() (map[string]int, error) {
	number := make(map[string]int, len(g.Nodes))
	for i, n := range g.Nodes {
		if _, twice := number[n.ID]; twice {
			return nil, fmt.Errorf("cannot draw graph %q: two nodes are called %q", g.Name, n.ID)
		}
		number[n.ID] = i
	}
	for _, e := range g.Edges {
		for _, id := range []string{e.From, e.To} {
			if _, known := number[id]; !known {
				return nil, fmt.Errorf("cannot draw graph %q: an edge leads from %q to %q, and there is no node %q", g.Name, e.From, e.To, id)
			}
		}
	}
	return number, nil
}

func unique(edges []Edge) []Edge {
	out := make([]Edge, 0, len(edges))
	seen := make(map[Edge]bool, len(edges))
	for _, e := range edges {
		if !seen[e] {
			seen[e] = true
			out = append(out, e)
		}
	}
	return out
}

func (g Graph) json(w io.Writer) error {
	if g.Nodes == nil {
		g.Nodes = []Node{} // a reader need not know of null
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(g)
}

// lines are the lines of a node's box, made fit for a drawing: letters only,
// since a control character has no shape and other tools refuse it.
func (n Node) lines() []string {
	text := n.Label
	if n.Detail != "" {
		text += "\n" + n.Detail
	}
	text = strings.ToValidUTF8(text, "\uFFFD")
	text = strings.ReplaceAll(text, "\t", " ")
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for i, l := range lines {
		lines[i] = strings.Map(visible, l)
	}
	return lines
}

// visible keeps the characters that may stand in XML 1.0, which is what SVG
// drawings are made of.
func visible(r rune) rune {
	if r < 0x20 || r == 0x7f || r == 0xFFFE || r == 0xFFFF {
		return '\uFFFD'
	}
	return r
}
