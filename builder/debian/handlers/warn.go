// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package handlers

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"osbuild/builder/debian/recipe"
)

// maxLeft is how many commands a warning names.
const maxLeft = 4

// warn gives the warnings, sorted: those of the needs of programs, and a line
// for each package with commands that nobody did, but for the ignored ones.
func (r *root) warn(ignored []string) []string {
	if slices.Contains(ignored, recipe.IgnoreAll) {
		return nil
	}
	out := slices.Clone(r.warnings)
	for _, p := range r.pkgs {
		if len(p.left) == 0 || slices.Contains(ignored, p.Name) {
			continue
		}
		left := p.left
		more := ""
		if len(left) > maxLeft {
			more = fmt.Sprintf("; and %d more", len(left)-maxLeft)
			left = left[:maxLeft]
		}
		out = append(out, fmt.Sprintf("package %s: its scripts also run: %s%s", p.Name, strings.Join(left, "; "), more))
	}
	slices.Sort(out)
	return out
}

// expect warns of programs that the system names and no package has: one that
// is misspelt would fail only when the system runs.
func (r *root) expect(programs []string) {
	for _, p := range programs {
		place := p
		if top, _, _ := strings.Cut(p[1:], "/"); top == "bin" || top == "sbin" {
			place = "/usr" + p
		}
		if r.Has(place) {
			continue
		}
		hint := ""
		for _, dir := range []string{"/usr/bin/", "/usr/sbin/"} {
			if other := dir + path.Base(p); r.Has(other) {
				hint = ": it is " + other
			}
		}
		r.warnings = append(r.warnings, fmt.Sprintf("the system names %s, which no package of it has%s", p, hint))
	}
}
