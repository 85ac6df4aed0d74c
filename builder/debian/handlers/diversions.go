// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package handlers

import (
	"strings"

	"osbuild/builder/debian/rootfs"
	"osbuild/builder/debian/script"
)

// diverts claims dpkg-divert: a package may say that other packages' files of
// a path go to another path.
var diverts = class{name: "diversions", commands: map[string]command{"dpkg-divert": divert}}

func divert(c *call) script.Status {
	var to, path, by string
	action := "--add"
	by = c.p.Name
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
	path = rootfs.Merged(path)
	d, there := c.r.Diversions[path]
	switch action {
	case "--listpackage":
		if there {
			c.Print(d.By + "\n")
		}
		return script.Success
	case "--truename":
		if there {
			path = d.To
		}
		c.Print(path + "\n")
		return script.Success
	case "--list":
		return script.When(there)
	case "--remove":
		delete(c.r.Diversions, path)
		return script.Success
	}
	if to == "" {
		to = path + ".distrib"
	}
	c.r.Diversions[path] = rootfs.Diversion{To: rootfs.Merged(to), By: by}
	return script.Success
}
