// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package graph

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func write(t *testing.T, g Graph, f Format) string {
	t.Helper()
	var b strings.Builder
	if err := g.Write(&b, f); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// small has what each form has to take care of.
var small = Graph{
	Name: `a "small" one`,
	Nodes: []Node{
		{ID: "etc", Label: "etc"},
		{ID: "/osbuild/store/x-end", Label: "end", Detail: "1.5 KiB", Size: 1536},
		{ID: "alone", Label: `say "a & b"`},
	},
	Edges: []Edge{
		{"etc", "/osbuild/store/x-end"},
		{"/osbuild/store/x-end", "etc"},
		{"etc", "/osbuild/store/x-end"},
	},
}

func TestWrite(t *testing.T) {
	for _, tc := range []struct {
		summary string
		graph   Graph
		format  Format
		want    string
	}{
		{"dot", small, DOT, `digraph "a \"small\" one" {
  rankdir=LR;
  node [shape=box, fontname="sans-serif"];
  "etc" [label="etc"];
  "/osbuild/store/x-end" [label="end\n1.5 KiB"];
  "alone" [label="say \"a &amp; b\""];
  "etc" -> "/osbuild/store/x-end";
  "/osbuild/store/x-end" -> "etc";
}
`},
		{"mermaid", small, Mermaid, `flowchart LR
  n0["etc"]
  n1["end<br/>1.5 KiB"]
  n2["say #34;a #38; b#34;"]
  n0 --> n1
  n1 --> n0
`},
		{"json", small, JSON, `{
  "name": "a \"small\" one",
  "nodes": [
    {
      "id": "etc",
      "label": "etc"
    },
    {
      "id": "/osbuild/store/x-end",
      "label": "end",
      "size": 1536
    },
    {
      "id": "alone",
      "label": "say \"a & b\""
    }
  ],
  "edges": [
    {
      "from": "etc",
      "to": "/osbuild/store/x-end"
    },
    {
      "from": "/osbuild/store/x-end",
      "to": "etc"
    }
  ]
}
`},
		{"nothing as dot", Graph{}, DOT, "digraph \"\" {\n  rankdir=LR;\n  node [shape=box, fontname=\"sans-serif\"];\n}\n"},
		{"nothing as mermaid", Graph{}, Mermaid, "flowchart LR\n"},
		{"nothing as json has lists", Graph{}, JSON, "{\n  \"name\": \"\",\n  \"nodes\": [],\n  \"edges\": []\n}\n"},
	} {
		t.Run(tc.summary, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, write(t, tc.graph, tc.format)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	if len(small.Edges) != 3 {
		t.Error("writing changed the graph")
	}
}

func TestWriteErrors(t *testing.T) {
	for _, tc := range []struct {
		summary string
		graph   Graph
		format  Format
		want    string
	}{
		{
			"an edge to nowhere",
			Graph{Name: "g", Nodes: []Node{{ID: "a"}}, Edges: []Edge{{"a", "b"}}},
			DOT, `cannot draw graph "g": an edge leads from "a" to "b", and there is no node "b"`,
		},
		{
			"an edge from nowhere",
			Graph{Name: "g", Nodes: []Node{{ID: "a"}}, Edges: []Edge{{"b", "a"}}},
			JSON, `cannot draw graph "g": an edge leads from "b" to "a", and there is no node "b"`,
		},
		{
			"two nodes of one name",
			Graph{Name: "g", Nodes: []Node{{ID: "a"}, {ID: "a"}}},
			Mermaid, `cannot draw graph "g": two nodes are called "a"`,
		},
		{"an unknown format", Graph{}, "svg", `cannot draw graphs as "svg": dot, mermaid and json are known`},
	} {
		t.Run(tc.summary, func(t *testing.T) {
			var b strings.Builder
			err := tc.graph.Write(&b, tc.format)
			if err == nil || err.Error() != tc.want {
				t.Errorf("%v\nwant %s", err, tc.want)
			}
			if b.Len() > 0 {
				t.Errorf("a part was written: %q", b.String())
			}
		})
	}
}

func TestParseFormat(t *testing.T) {
	for _, name := range []string{"dot", "mermaid", "json"} {
		if f, err := ParseFormat(name); err != nil || string(f) != name {
			t.Errorf("ParseFormat(%q) = %q, %v", name, f, err)
		}
	}
	if _, err := ParseFormat("DOT"); err == nil {
		t.Error("ParseFormat(DOT) is fine, and names are in small letters")
	}
}

// labels are names that mean something in one of the languages.
var labels = []struct{ summary, label, want string }{
	{"words", "host_name web", "host_name web"},
	{"a keyword", "end", "end"},
	{"quotes", `"quoted" 'x' "`, `"quoted" 'x' "`},
	{"a backslash at the end", `C:\`, `C:\`},
	{"an escape of DOT", `\N\n\l\"`, `\N\n\l\"`},
	{"an entity", "&lt;&amp;&#38;", "&lt;&amp;&#38;"},
	{"an entity of Mermaid", "#quot;#35;", "#quot;#35;"},
	{"tags", "<b>x</b><script>", "<b>x</b><script>"},
	{"a Markdown label", "`**bold** [x](y)`", "`**bold** [x](y)`"},
	{"brackets", `a["b"] --> {c}(d)|e|`, `a["b"] --> {c}(d)|e|`},
	{"a comment", "%% // /* x */ #", "%% // /* x */ #"},
	{"a directive", `%%{init: {"x": 1}}%%`, `%%{init: {"x": 1}}%%`},
	{"a semicolon and style", "style a:#fff; classDef b:#0;", "style a:#fff; classDef b:#0;"},
	{"a list of Markdown", "1. a\n2) b\n- c\n+ d", "1. a\n2) b\n- c\n+ d"},
	{"two lines", "a\nb\n", "a\nb"},
	{"a tab", "a\tb", "a b"},
	{"control characters", "a\x00\x1b[31m\r\x7f", "a\uFFFD\uFFFD[31m\uFFFD\uFFFD"},
	{"bytes that are no text", "a\xff\xfeb", "a\uFFFDb"},
	{"letters beyond ASCII", "größe 尺寸 🦀", "größe 尺寸 🦀"},
}

func TestLabels(t *testing.T) {
	for _, tc := range labels {
		t.Run(tc.summary, func(t *testing.T) {
			g := Graph{Name: tc.label, Nodes: []Node{{ID: tc.label, Label: tc.label}, {ID: "other", Label: "other"}}, Edges: []Edge{{tc.label, "other"}}}
			for name, read := range map[Format]func(string) ([]string, int, error){DOT: readDOT, Mermaid: readMermaid} {
				text := write(t, g, name)
				got, edges, err := read(text)
				if err != nil {
					t.Fatalf("%s: %v\n%s", name, err, text)
				}
				if diff := cmp.Diff([]string{tc.want, "other"}, got); diff != "" || edges != 1 {
					t.Errorf("%s: %d edges, labels (-want +got):\n%s\n%s", name, edges, diff, text)
				}
			}
			var back Graph
			if err := json.Unmarshal([]byte(write(t, g, JSON)), &back); err != nil {
				t.Fatal(err)
			}
			if want := string([]rune(tc.label)); back.Nodes[0].Label != want {
				t.Errorf("json: %q, want %q", back.Nodes[0].Label, want)
			}
		})
	}
}

// unblank drops the blank that stands in the empty lines of Mermaid's labels.
func unblank(text string) string {
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		if l == " " {
			lines[i] = ""
		}
	}
	return strings.Join(lines, "\n")
}

// Whatever a node is called, each form reads back as the same drawing.
func FuzzWrite(f *testing.F) {
	for _, tc := range labels {
		f.Add(tc.label, "b", tc.label)
	}
	f.Fuzz(func(t *testing.T, a, b, detail string) {
		if a == b {
			b += "'"
		}
		g := Graph{Name: a, Nodes: []Node{{ID: "1" + a, Label: a, Detail: detail}, {ID: "2" + b, Label: b}}, Edges: []Edge{{"1" + a, "2" + b}, {"2" + b, "2" + b}}}
		want := []string{unblank(strings.Join(g.Nodes[0].lines(), "\n")), unblank(strings.Join(g.Nodes[1].lines(), "\n"))}
		for name, read := range map[Format]func(string) ([]string, int, error){DOT: readDOT, Mermaid: readMermaid} {
			text := write(t, g, name)
			got, edges, err := read(text)
			if err != nil {
				t.Fatalf("%s: %v\n%s", name, err, text)
			}
			for i := range got {
				got[i] = unblank(got[i])
			}
			if diff := cmp.Diff(want, got); diff != "" || edges != 2 {
				t.Errorf("%s: %d edges, labels (-want +got):\n%s\n%s", name, edges, diff, text)
			}
		}
		if !json.Valid([]byte(write(t, g, JSON))) {
			t.Error("the JSON is none")
		}
	})
}
