// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package system

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"osbuild/builder/service"
	"osbuild/builder/services"
	"osbuild/closure/graph"
)

func TestExtensionGraph(t *testing.T) {
	env := newEnv(t)
	o := hello(t, env)
	g, err := ExtensionGraph(env, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range []graph.Edge{
		{From: "file_systems", To: "shepherd_root"},
		{From: "file_systems", To: "user_processes"},
		{From: "shepherd_root", To: "boot"},
		{From: "test", To: "account"},
		{From: "test#2", To: "shepherd_root"},
	} {
		if !slices.Contains(g.Edges, e) {
			t.Errorf("the edge %v is missing", e)
		}
	}
	// Each edge is one extension of one service, in the order of the list.
	all, err := AllServices(env, o)
	if err != nil {
		t.Fatal(err)
	}
	extensions := 0
	for _, s := range all {
		extensions += len(s.Type.Extensions)
	}
	if len(g.Nodes) != len(all) || len(g.Edges) != extensions {
		t.Errorf("%d nodes and %d edges for %d services with %d extensions", len(g.Nodes), len(g.Edges), len(all), extensions)
	}
	again, err := ExtensionGraph(newEnv(t), hello(t, newEnv(t)))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(g, again); diff != "" {
		t.Errorf("another evaluation gives another graph:\n%s", diff)
	}
}

func TestExtensionGraphErrors(t *testing.T) {
	env := newEnv(t)
	o := hello(t, env)
	o.Services = append(slices.Clone(o.Services), &service.Service{Type: services.Etc, Pos: at(44)})
	if _, err := ExtensionGraph(env, o); !errors.Is(err, service.ErrAmbiguousTarget) || !strings.HasPrefix(err.Error(), "system.star:44:3: ") {
		t.Errorf("two services of a type that others extend: %v", err)
	}
}

func TestShepherdGraph(t *testing.T) {
	env := newEnv(t)
	g, err := ShepherdGraph(env, hello(t, env))
	if err != nil {
		t.Fatal(err)
	}
	labels := map[string]string{}
	for _, n := range g.Nodes {
		labels[n.ID] = n.Label
	}
	if labels["hello"] != "hello web" {
		t.Errorf("a service with two names is labelled %q", labels["hello"])
	}
	for _, e := range []graph.Edge{
		{From: "hello", To: "hello-data"},
		{From: "hello-data", To: "user-processes"},
		{From: "user-processes", To: "file-systems"},
	} {
		if !slices.Contains(g.Edges, e) {
			t.Errorf("the edge %v is missing", e)
		}
	}
}

func TestShepherdGraphErrors(t *testing.T) {
	env := newEnv(t)
	o := New()
	o.Services = append(o.Services, simple(services.ShepherdRoot, 9, shepherd([]string{"a"}, []string{"b"}, nil)))
	if _, err := ShepherdGraph(env, o); !errors.Is(err, services.ErrNotProvided) {
		t.Errorf("a requirement that nothing provides: %v", err)
	}
}

// text of the language of declarations, as its front end keeps it.
type languageString string

func (languageString) Type() string       { return "string" }
func (s languageString) String() string   { return `"` + string(s) + `"` }
func (s languageString) GoString() string { return string(s) }

type languageInt struct{}

func (languageInt) Type() string   { return "int" }
func (languageInt) String() string { return "8080" }

type languageList struct{ languageInt }

func (languageList) Type() string { return "list" }

func TestServiceLabel(t *testing.T) {
	const item = "/osbuild/store/1qg3w7fzn8jzqh3kmlfgcnd1fh7kdlbv-"
	for _, tc := range []struct {
		summary string
		value   any
		want    string
	}{
		{"a text", "web", "t web"},
		{"a number", 8080, "t 8080"},
		{"a number of another size", int64(8080), "t 8080"},
		{"a text of the language", languageString("web"), "t web"},
		{"a number of the language", languageInt{}, "t 8080"},
		{"a list of the language", languageList{}, "t"},
		{"a list", []any{"x"}, "t"},
		{"a bool", true, "t"},
		{"nothing", nil, "t"},
		{"an empty text", " \n", "t"},
		{"a file", item + "page.html", "t page.html"},
		{"two files in a text", "-c " + item + "a.conf -d " + item + "b/c", "t -c a.conf -d b/c"},
		{"a path that is no item's", "/osbuild/store/x", "t x"},
		{"lines", "one\ntwo\n", "t one…"},
		{"a long text", strings.Repeat("ä", 50), "t " + strings.Repeat("ä", 40) + "…"},
	} {
		t.Run(tc.summary, func(t *testing.T) {
			s := &service.Service{Type: &service.Type{Name: "t"}, Value: tc.value, HasValue: true}
			if got := serviceLabel(s); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
	if got := serviceLabel(&service.Service{Type: &service.Type{Name: "t"}}); got != "t" {
		t.Errorf("a service without a value is labelled %q", got)
	}
}
