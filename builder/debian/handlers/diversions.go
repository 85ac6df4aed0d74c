// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package handlers

import (
	"strings"

	"osbuild/builder/debian/script"
)

// diverts claims dpkg-divert: a package may say that other packages' files of
// a path go to another path.
var diverts = class{name: "diversions", commands: map[string]command{"dpkg-divert": divert}}

func divert(c *call) script.Status {
	var to, path, by string
	action := "--add"
	by = c.p.name
	for i := 0; i < len(c.Args); i++ {
		value := func() string {
			if i++; i < len(c.Args) {
				return c.Args[i]
			}
			return ""
		}
		switch a := c.Args[i]; a {
		case "--rename", "--no-rename", "--quiet":
		case "--add", "--remove", "--listpackage", "--truename", "--list":
			action = a
		case "--package":
			by = value()
		case "--local":
			by = ":"
		case "--divert":
			to = value()
		default:
			if strings.HasPrefix(a, "-") {
				return script.Unsure
			}
			path = a
		}
	}
	path = merged(path)
	d, there := c.r.diversions[path]
	switch action {
	case "--listpackage":
		if there {
			c.Print(d.by + "\n")
		}
		return script.Success
	case "--truename":
		if there {
			path = d.to
		}
		c.Print(path + "\n")
		return script.Success
	case "--list":
		return script.When(there)
	case "--remove":
		delete(c.r.diversions, path)
		return script.Success
	}
	if to == "" {
		to = path + ".distrib"
	}
	c.r.diversions[path] = diversion{to: merged(to), by: by}
	return script.Success
}

// merged is a path as deb items have it: without the links of a merged system.
func merged(p string) string {
	for _, a := range aliases {
		if strings.HasPrefix(p, "/"+a+"/") {
			return "/usr" + p
		}
	}
	return p
}
