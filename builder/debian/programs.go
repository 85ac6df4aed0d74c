// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package debian

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"osbuild/builder/derivation"
	"osbuild/store"
)

// programPath is a path that names a program, as in package("x") +
// "/usr/sbin/y". Other paths may well be made while a system runs.
var programPath = regexp.MustCompile(`^(/[A-Za-z0-9_+.@-]+)*/s?bin/[A-Za-z0-9_+.@-]*[A-Za-z0-9_+]`)

// programs are the programs of packages that items name, wherever they do so,
// by their places in the file system, sorted.
func (s *Source) programs(items []string) []string {
	found := map[string]bool{}
	seen := map[derivation.Key]bool{}
	var visit func(k derivation.Key)
	visit = func(k derivation.Key) {
		d, ok := s.graph.Derivation(k)
		if !ok || seen[k] || !s.madeFromPackage(k) {
			return
		}
		if _, builtin := d.Builtin(); !builtin {
			return // what a build program is given, it needs at another time
		}
		seen[k] = true
		for _, text := range slices.Concat([]string{d.Builder}, d.Args, slices.Collect(maps.Values(d.Env))) {
			s.programsIn(text, found)
		}
		for _, in := range d.Inputs {
			if in.Drv != "" {
				visit(in.Drv)
			}
		}
	}
	for _, item := range items {
		if ref, _, ok := s.graph.Split(item); ok {
			visit(ref.Drv)
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// programsIn adds the programs that a text names.
func (s *Source) programsIn(text string, found map[string]bool) {
	for {
		i := strings.Index(text, store.Dir+"/")
		if i < 0 {
			return
		}
		text = text[i:]
		for item := range s.is {
			if rest, ok := strings.CutPrefix(text, item); ok {
				if p := programPath.FindString(rest); p != "" {
					found[p] = true
				}
				break
			}
		}
		text = text[1:]
	}
}
