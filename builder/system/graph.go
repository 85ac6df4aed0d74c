// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package system

import (
	"fmt"
	"strings"

	"osbuild/builder/service"
	"osbuild/builder/services"
	"osbuild/closure/graph"
	"osbuild/runner/spec"
)

// ExtensionGraph is who extends whom in a system: an arrow leads from a
// service to each that it contributes to. Nothing is computed, so a system of
// which a service fails has one too.
func ExtensionGraph(env *service.Env, o *OperatingSystem) (graph.Graph, error) {
	all, err := AllServices(env, o)
	if err != nil {
		return graph.Graph{}, err
	}
	back, err := service.BackEdges(all)
	if err != nil {
		return graph.Graph{}, err
	}
	g := graph.Graph{Name: "extensions of " + o.HostName}
	id := map[*service.Service]string{}
	taken := map[string]bool{}
	for _, s := range all {
		id[s] = free(s.Type.Name, taken)
		g.Nodes = append(g.Nodes, graph.Node{ID: id[s], Label: serviceLabel(s)})
	}
	for _, target := range all {
		for _, from := range back[target] {
			g.Edges = append(g.Edges, graph.Edge{From: id[from], To: id[target]})
		}
	}
	return g, nil
}

// ShepherdGraph is which service of PID 1 waits for which: an arrow leads from
// a service to each that it requires.
func ShepherdGraph(env *service.Env, o *OperatingSystem) (graph.Graph, error) {
	all, err := AllServices(env, o)
	if err != nil {
		return graph.Graph{}, err
	}
	folding, err := service.NewFolding(env, all)
	if err != nil {
		return graph.Graph{}, err
	}
	list, err := valueOf[[]*services.ShepherdService](folding, services.ShepherdRoot)
	if err != nil {
		return graph.Graph{}, err
	}
	g := graph.Graph{Name: "services of " + o.HostName}
	provider := map[string]string{}
	for _, s := range list {
		g.Nodes = append(g.Nodes, graph.Node{ID: s.Provision[0], Label: strings.Join(s.Provision, " ")})
		for _, name := range s.Provision {
			provider[name] = s.Provision[0]
		}
	}
	for _, s := range list {
		for _, name := range s.Requirement {
			g.Edges = append(g.Edges, graph.Edge{From: s.Provision[0], To: provider[name]})
		}
	}
	return g, nil
}

// free is name, numbered where there are several of it.
func free(name string, taken map[string]bool) string {
	id := name
	for n := 2; taken[id]; n++ {
		id = fmt.Sprintf("%s#%d", name, n)
	}
	taken[id] = true
	return id
}

// serviceLabel is the name of a service's type, and its value where that is a
// text or a number: it tells instances of a type apart.
func serviceLabel(s *service.Service) string {
	value, err := s.Get()
	if err != nil {
		return s.Type.Name // the fold tells
	}
	text := ""
	switch v := value.(type) {
	case string:
		text = v
	case int, int64:
		text = fmt.Sprint(v)
	case languageText:
		if v.Type() == "string" {
			text = v.GoString()
		}
	case languageValue:
		if v.Type() == "int" || v.Type() == "float" {
			text = v.String()
		}
	}
	return strings.TrimSpace(s.Type.Name + " " + labelText(text))
}

// Types that a declaration made keep the values of its own language, which say
// what they are.
type (
	languageValue interface {
		Type() string
		String() string
	}
	languageText interface {
		languageValue
		GoString() string
	}
)

// labelText is the first line of a text, with the names of items in place of
// their paths, which differ from build to build and say no more.
func labelText(text string) string {
	const most = 40
	text, _, more := strings.Cut(strings.TrimSpace(text), "\n")
	const dir = spec.StoreDir + "/"
	const digest = 32
	for {
		i := strings.Index(text, dir)
		if i < 0 {
			break
		}
		rest := text[i+len(dir):]
		if len(rest) > digest && rest[digest] == '-' {
			rest = rest[digest+1:]
		}
		text = text[:i] + rest
	}
	if r := []rune(text); len(r) > most {
		text, more = string(r[:most]), true
	}
	if more {
		text += "…"
	}
	return text
}
