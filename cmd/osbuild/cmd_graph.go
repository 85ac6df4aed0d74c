// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"osbuild/builder/system"
	"osbuild/closure"
	"osbuild/closure/graph"
	"osbuild/store"
)

func graphVerb() verb {
	return verb{
		name:    "graph",
		args:    "FILE[:NAME] or ITEM",
		summary: "draw how the parts of a system depend on each other",
		help: `osbuild graph --extension system.star | dot -Tsvg > extensions.svg
osbuild graph --shepherd --container system.star        # what PID 1 starts
osbuild graph --shepherd --format mermaid system.star
osbuild graph --closure --format json system.star:config
osbuild graph --closure $(osbuild build system.star)`,
		setup: func(fs *pflag.FlagSet) runFunc {
			var o graphOptions
			fs.BoolVar(&o.extension, "extension", false, "which service contributes to which")
			fs.BoolVar(&o.shepherd, "shepherd", false, "which service of PID 1 requires which")
			fs.BoolVar(&o.closure, "closure", false, "which item refers to which, with sizes; what is missing is built")
			fs.BoolVar(&o.container, "container", false, "the system as it is in a container")
			fs.StringVar(&o.format, "format", "", "dot (the default), mermaid, or json: nodes with id, label and size, edges with from and to")
			fs.BoolVar(&o.locked, "locked", false, "fail where the lock of packages would have to change")
			return o.run
		},
	}
}

type graphOptions struct {
	extension, shepherd, closure, container, locked bool

	format string
}

func (o *graphOptions) run(ctx context.Context, a *app, args []string) error {
	if len(args) != 1 || args[0] == "" {
		return usagef("graph: give one FILE or ITEM")
	}
	kinds := 0
	for _, kind := range []bool{o.extension, o.shepherd, o.closure} {
		if kind {
			kinds++
		}
	}
	if kinds != 1 {
		return usagef("graph: say what to draw, with one of --extension, --shepherd and --closure")
	}
	name := o.format
	switch {
	case name == "" && a.json:
		name = string(graph.JSON)
	case name == "":
		name = string(graph.DOT)
	case a.json && name != string(graph.JSON):
		return usagef("graph: --json and --format %s contradict each other", name)
	}
	format, err := graph.ParseFormat(name)
	if err != nil {
		return usagef("graph: --format: %v", err)
	}
	a.locked = o.locked
	draw := o.services
	if o.closure {
		draw = o.items
	}
	g, err := draw(ctx, a, args[0])
	if err != nil {
		return err
	}
	if n := len(g.Edges); format == graph.Mermaid && n > graph.MermaidEdges {
		a.say("warning: the graph has %d edges, and Mermaid draws no more than %d unless its maxEdges is raised; Graphviz draws any", n, graph.MermaidEdges)
	}
	return g.Write(a.stdout, format)
}

// services draws what a declaration says. Nothing is built, and packages that
// the lock lacks are left as names.
func (o *graphOptions) services(ctx context.Context, a *app, target string) (graph.Graph, error) {
	file, name := splitTarget(target)
	if info, err := os.Stat(file); !strings.HasSuffix(file, ".star") && (err != nil || !info.Mode().IsRegular()) {
		return graph.Graph{}, usagef("graph: %s is no declaration (FILE.star), and --extension and --shepherd draw what one says; --closure draws items", target)
	}
	locked, err := readLock(file)
	if err != nil {
		return graph.Graph{}, err
	}
	e, err := a.evaluateWith(ctx, file, locked)
	if err != nil {
		return graph.Graph{}, err
	}
	value, err := e.program.Value(name)
	if err != nil {
		return graph.Graph{}, err
	}
	declared, ok := value.(*system.OperatingSystem)
	if !ok {
		return graph.Graph{}, fmt.Errorf("cannot draw the services of %s: it is %s, not an operating_system", target, kindOf(value))
	}
	if o.container {
		if declared, err = system.Containerize(declared, system.ContainerOptions{}); err != nil {
			return graph.Graph{}, err
		}
	}
	if o.extension {
		return system.ExtensionGraph(e.env, declared)
	}
	return system.ShepherdGraph(e.env, declared)
}

// items draws the closure of an item, or of what a declaration names.
func (o *graphOptions) items(ctx context.Context, a *app, target string) (graph.Graph, error) {
	item, err := o.item(ctx, a, target)
	if err != nil {
		return graph.Graph{}, err
	}
	infos, err := closure.Compute(a.store, item)
	if err != nil {
		return graph.Graph{}, err
	}
	g := graph.Graph{Name: "closure of " + item.Name() + ", " + showSize(closure.Size(infos))}
	for _, i := range infos {
		g.Nodes = append(g.Nodes, graph.Node{
			ID: string(i.Path), Label: i.Path.Name(), Detail: showSize(i.NarSize), Size: i.NarSize,
		})
		for _, r := range i.References {
			if r != i.Path {
				g.Edges = append(g.Edges, graph.Edge{From: string(i.Path), To: string(r)})
			}
		}
	}
	return g, nil
}

// item is what a target stands for, built and kept until osbuild ends.
func (o *graphOptions) item(ctx context.Context, a *app, target string) (store.Path, error) {
	file, name := splitTarget(target)
	if !strings.HasSuffix(file, ".star") {
		if o.container {
			return "", usagef("graph: --container is for a declaration; %s is an item", target)
		}
		s, lease, err := a.openLease()
		if err != nil {
			return "", err
		}
		item, inside, err := a.existingItem(s, target)
		if err != nil {
			return "", err
		}
		if inside != "" {
			return "", fmt.Errorf("cannot draw the closure of %s: it lies inside an item; give the item %s", target, item.Base())
		}
		return item, lease.Add(item)
	}
	var e *evaluation
	var b buildable
	err := a.evaluate(ctx, file, func(now *evaluation) (err error) {
		e = now
		b, err = e.value(target, name, o.container)
		return err
	})
	if err != nil {
		return "", err
	}
	return a.realise(ctx, e, b.path)
}
