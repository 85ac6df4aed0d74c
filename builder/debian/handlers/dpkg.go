// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package handlers

import (
	"strings"

	"osbuild/builder/debian/control"
)

// dpkg knows the questions that scripts ask; all else of it is for running
// systems.
func dpkg(c *call) status {
	if len(c.args) == 0 || !known(c.args...) {
		return unsure
	}
	switch c.args[0] {
	case "--compare-versions":
		if len(c.args) != 4 {
			return unsure
		}
		return compareVersions(c.args[1], c.args[2], c.args[3])
	case "-L", "--listfiles":
		found := success
		for _, name := range c.args[1:] {
			p := c.r.installed(name)
			if p == nil {
				found = failure
				continue
			}
			c.print(p.listed())
		}
		return found
	case "-s", "--status", "-l":
		for _, name := range c.args[1:] {
			if c.r.installed(name) == nil {
				return failure
			}
		}
		return unsure
	case "--print-architecture":
		c.print(c.r.arch() + "\n")
		return success
	}
	return unsure
}

func dpkgQuery(c *call) status {
	if !known(c.args...) {
		return unsure
	}
	for _, name := range c.args {
		if !strings.HasPrefix(name, "-") && !strings.ContainsAny(name, "*?[") && c.r.installed(name) == nil {
			return failure
		}
	}
	return unsure
}

// installed is a package of the set by its name, with or without architecture.
func (r *root) installed(name string) *pkg {
	name, _, _ = strings.Cut(name, ":")
	return r.byName[name]
}

// arch is the architecture of the set.
func (r *root) arch() string {
	for _, p := range r.pkgs {
		if p.meta.Architecture != "all" {
			return p.meta.Architecture
		}
	}
	return "all"
}

// compareVersions is dpkg --compare-versions. An empty version, which is what
// a script gets for the one that was there before, is before all others, or
// behind them for the operators that end in -nl.
func compareVersions(a, op, b string) status {
	names := map[string]string{"lt": "<<", "le": "<=", "eq": "=", "ge": ">=", "gt": ">>", "<<": "<<", "<=": "<=", "=": "=", ">=": ">=", ">>": ">>"}
	plain, late := strings.CutSuffix(op, "-nl")
	word, ok := names[plain]
	if !ok {
		return unsure
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
		return when(order < 0)
	case "<=":
		return when(order <= 0)
	case "=":
		return when(order == 0)
	case ">=":
		return when(order >= 0)
	}
	return when(order > 0)
}
