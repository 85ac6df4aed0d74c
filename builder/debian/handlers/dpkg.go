// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package handlers

import (
	"strings"

	"osbuild/builder/debian/control"
	"osbuild/builder/debian/script"
)

// dpkg knows the questions that scripts ask; all else of it is for running
// systems.
func dpkg(c *call) script.Status {
	if len(c.Args) == 0 || !script.Known(c.Args...) {
		return script.Unsure
	}
	switch c.Args[0] {
	case "--compare-versions":
		if len(c.Args) != 4 {
			return script.Unsure
		}
		return compareVersions(c.Args[1], c.Args[2], c.Args[3])
	case "-L", "--listfiles":
		found := script.Success
		for _, name := range c.Args[1:] {
			p := c.r.installed(name)
			if p == nil {
				found = script.Failure
				continue
			}
			c.Print(p.listed())
		}
		return found
	case "-s", "--status", "-l":
		for _, name := range c.Args[1:] {
			if c.r.installed(name) == nil {
				return script.Failure
			}
		}
		return script.Unsure
	case "--print-architecture":
		c.Print(c.r.arch() + "\n")
		return script.Success
	}
	return script.Unsure
}

func dpkgQuery(c *call) script.Status {
	if !script.Known(c.Args...) {
		return script.Unsure
	}
	for _, name := range c.Args {
		if !strings.HasPrefix(name, "-") && !strings.ContainsAny(name, "*?[") && c.r.installed(name) == nil {
			return script.Failure
		}
	}
	return script.Unsure
}

// installed is a package of the set by its name, with or without architecture.
func (r *root) installed(name string) *pkg {
	name, _, _ = strings.Cut(name, ":")
	return r.byName[name]
}

// arch is the architecture of the set.
func (r *root) arch() string {
	for _, p := range r.pkgs {
		if p.Meta.Architecture != "all" {
			return p.Meta.Architecture
		}
	}
	return "all"
}

// compareVersions is dpkg --compare-versions. An empty version, which is what
// a script gets for the one that was there before, is before all others, or
// behind them for the operators that end in -nl.
func compareVersions(a, op, b string) script.Status {
	names := map[string]string{"lt": "<<", "le": "<=", "eq": "=", "ge": ">=", "gt": ">>", "<<": "<<", "<=": "<=", "=": "=", ">=": ">=", ">>": ">>"}
	plain, late := strings.CutSuffix(op, "-nl")
	word, ok := names[plain]
	if !ok {
		return script.Unsure
	}
	order := 0
	switch {
	case a == "" && b == "":
	case a == "":
		order = -1
	case b == "":
		order = 1
	default:
		order = control.Version(a).Compare(control.Version(b))
		late = false
	}
	if late {
		order = -order
	}
	switch word {
	case "<<":
		return script.When(order < 0)
	case "<=":
		return script.When(order <= 0)
	case "=":
		return script.When(order == 0)
	case ">=":
		return script.When(order >= 0)
	}
	return script.When(order > 0)
}
