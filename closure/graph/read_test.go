// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package graph

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"html"
	"io"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// readDOT reads what dot() writes by the rules of the language, strictly, and
// gives the labels as Graphviz shows them and the number of edges.
func readDOT(text string) (labels []string, edges int, err error) {
	tokens, err := dotTokens(text)
	if err != nil {
		return nil, 0, err
	}
	const head = `digraph S { rankdir = LR ; node [ shape = box , fontname = S ] ;`
	if len(tokens) < 19 || !strings.HasPrefix(strings.Join(kinds(tokens), " "), head) {
		return nil, 0, fmt.Errorf("the head is %v", kinds(tokens))
	}
	tokens = tokens[18:]
	known := map[string]bool{}
	for len(tokens) > 0 {
		switch k := strings.Join(kinds(tokens[:min(7, len(tokens))]), " "); {
		case k == "S [ label = S ] ;":
			known[tokens[0]] = true
			labels = append(labels, dotShown(tokens[4]))
			tokens = tokens[7:]
		case strings.HasPrefix(k, "S -> S ;"):
			if !known[tokens[0]] || !known[tokens[2]] {
				return nil, 0, fmt.Errorf("an edge names a new node: %v", tokens[:3])
			}
			edges++
			tokens = tokens[4:]
		case k == "}":
			return labels, edges, nil
		default:
			return nil, 0, fmt.Errorf("no statement: %s", k)
		}
	}
	return nil, 0, errors.New("the end is missing")
}

// dotTokens splits at what the language splits at; quoted strings keep their
// quotes.
func dotTokens(text string) (tokens []string, err error) {
	token := regexp.MustCompile(`^(?:"(?:[^"\\]|\\(?s:.))*"|->|[{}\[\]=;,]|[A-Za-z][A-Za-z]*)`)
	for {
		text = strings.TrimLeft(text, " \n")
		if text == "" {
			return tokens, nil
		}
		t := token.FindString(text)
		if t == "" {
			return nil, fmt.Errorf("no token at %.40q", text)
		}
		tokens, text = append(tokens, t), text[len(t):]
	}
}

// kinds writes S for every quoted string.
func kinds(tokens []string) []string {
	out := slices.Clone(tokens)
	for i, t := range out {
		if t[0] == '"' {
			out[i] = "S"
		}
	}
	return out
}

// dotShown is what Graphviz shows of a quoted label.
func dotShown(quoted string) string {
	text := strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`)
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' || i+1 == len(text) {
			b.WriteByte(text[i])
			continue
		}
		i++
		if text[i] == 'n' {
			b.WriteByte('\n')
		} else {
			b.WriteByte(text[i])
		}
	}
	return html.UnescapeString(b.String())
}

// readMermaid reads what mermaid() writes, line by line.
func readMermaid(text string) (labels []string, edges int, err error) {
	node := regexp.MustCompile(`^  n(\d+)\["([^"\[\]<>&` + "`" + `{}|;:%]*(?:(?:#\d+;|<br/>)[^"\[\]<>&` + "`" + `{}|;:%#]*)*)"\]$`)
	edge := regexp.MustCompile(`^  n(\d+) --> n(\d+)$`)
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if lines[0] != "flowchart LR" {
		return nil, 0, fmt.Errorf("the head is %q", lines[0])
	}
	for _, l := range lines[1:] {
		if m := node.FindStringSubmatch(l); m != nil && edges == 0 && m[1] == strconv.Itoa(len(labels)) {
			labels = append(labels, mermaidShown(m[2]))
		} else if m := edge.FindStringSubmatch(l); m != nil {
			for _, n := range m[1:] {
				if i, err := strconv.Atoi(n); err != nil || i >= len(labels) {
					return nil, 0, fmt.Errorf("an edge names a new node: %s", l)
				}
			}
			edges++
		} else {
			return nil, 0, fmt.Errorf("no statement: %q", l)
		}
	}
	return labels, edges, nil
}

func mermaidShown(label string) string {
	label = strings.ReplaceAll(label, "<br/>", "\n")
	return regexp.MustCompile(`#\d+;`).ReplaceAllStringFunc(label, func(s string) string {
		n, _ := strconv.Atoi(s[1 : len(s)-1])
		return string(rune(n))
	})
}

// TestGraphviz has the real program draw every label, and reads the drawing.
func TestGraphviz(t *testing.T) {
	dot, err := exec.LookPath("dot")
	if err != nil {
		t.Skip("SKIP-ENV: dot, of Graphviz, is not installed")
	}
	g := Graph{Name: `all "labels" \`}
	var want []string
	for i, tc := range labels {
		g.Nodes = append(g.Nodes, Node{ID: tc.label, Label: tc.label})
		g.Edges = append(g.Edges, Edge{tc.label, labels[(i+1)%len(labels)].label})
		for _, line := range strings.Split(tc.want, "\n") {
			want = append(want, strings.TrimSpace(line))
		}
	}
	cmd := exec.Command(dot, "-Tsvg")
	cmd.Stdin = strings.NewReader(write(t, g, DOT))
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil || strings.Contains(complaints.String(), "syntax") || strings.Contains(complaints.String(), "rror") {
		t.Fatalf("dot: %v\n%s", err, complaints.Bytes())
	}
	got, edges, err := svgTexts(out)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" || edges != len(labels) {
		t.Errorf("%d edges, want %d; labels (-want +got):\n%s", edges, len(labels), diff)
	}
}

// svgTexts are the texts and the number of edges of a drawing.
func svgTexts(drawing []byte) (texts []string, edges int, err error) {
	dec := xml.NewDecoder(bytes.NewReader(drawing))
	in := false
	for {
		tok, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return texts, edges, nil
		}
		if err != nil {
			return nil, 0, err
		}
		switch tok := tok.(type) {
		case xml.StartElement:
			in = tok.Name.Local == "text"
			for _, a := range tok.Attr {
				if a.Name.Local == "class" && a.Value == "edge" {
					edges++
				}
			}
		case xml.CharData:
			if in {
				texts = append(texts, strings.TrimSpace(strings.ReplaceAll(string(tok), "\u00a0", " ")))
			}
		case xml.EndElement:
			in = false
		}
	}
}
