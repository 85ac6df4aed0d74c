// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package handlers

import (
	"maps"
	"slices"

	"osbuild/builder/debian/control"
)

// order is that in which packages are configured: each behind those that it
// depends on, those that every system has first. Where packages depend on
// each other in a circle, and where there is a choice, names decide.
func (r *root) order() []*pkg {
	provides := map[string][]*pkg{}
	for _, p := range r.pkgs {
		for _, dep := range p.Relations("Provides") {
			for _, rel := range dep {
				provides[rel.Name] = append(provides[rel.Name], p)
			}
		}
	}
	seen := map[*pkg]bool{}
	var out []*pkg
	var place func(p *pkg)
	place = func(p *pkg) {
		if seen[p] {
			return
		}
		seen[p] = true
		for _, dep := range slices.Concat(p.Relations("Pre-Depends"), p.Relations("Depends")) {
			for _, q := range r.satisfying(dep, provides) {
				place(q)
			}
		}
		out = append(out, p)
	}
	for _, name := range []string{"base-files", "base-passwd"} {
		if p := r.byName[name]; p != nil {
			place(p)
		}
	}
	for _, essential := range []bool{true, false} {
		for _, p := range r.pkgs {
			if p.Meta.Essential == essential {
				place(p)
			}
		}
	}
	return out
}

// satisfying are the packages of the set that a dependency names.
func (r *root) satisfying(dep control.Dependency, provides map[string][]*pkg) []*pkg {
	var out []*pkg
	for _, rel := range dep {
		if p := r.byName[rel.Name]; p != nil {
			out = append(out, p)
		}
		out = append(out, provides[rel.Name]...)
	}
	return out
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
