// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package handlers

import (
	"slices"
	"strings"
)

const localeFile = "/etc/default/locale"

// caches claims the programs that make something of the files of a folder,
// for the common case that there is nothing to be made.
var caches = class{name: "caches", commands: map[string]command{
	"glib-compile-schemas": emptyFolder(".xml", ".override"),
	"gio-querymodules":     emptyFolder(".so"),
	"locale-gen":           localeGen,
	"update-locale":        updateLocale,
	"python":               python,
	"perl":                 perl,
	"pg_updatedicts": func(c *call) status {
		if c.r.has("/usr/share/hunspell") || c.r.has("/usr/share/myspell/dicts") {
			return unsure
		}
		return success
	},
}, quiet: true}

// emptyFolder is a program that makes a cache of the files with these endings
// in a folder, of which there is none.
func emptyFolder(endings ...string) command {
	return func(c *call) status {
		if len(c.args) == 0 || !known(c.args...) {
			return unsure
		}
		n, _, err := c.r.find(c.path(c.args[len(c.args)-1]), true)
		if err != nil {
			return failure
		}
		for name := range n.kids {
			if slices.ContainsFunc(endings, func(end string) bool { return strings.HasSuffix(name, end) }) {
				return unsure
			}
		}
		return success
	}
}

// localeGen has nothing to do where no locale is asked for; C.UTF-8 is there
// without.
func localeGen(c *call) status {
	for _, line := range lines(c.contentOf("/etc/locale.gen")) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			return unsure
		}
	}
	return success
}

// updateLocale sets variables, given as NAME=VALUE, or removes them.
func updateLocale(c *call) status {
	if !known(c.args...) || c.maybe > 0 {
		return unsure
	}
	var have []string
	if c.r.has(localeFile) {
		have = lines(c.contentOf(localeFile))
	}
	for _, a := range c.args {
		if strings.HasPrefix(a, "-") {
			continue
		}
		name, _, set := strings.Cut(a, "=")
		have = slices.DeleteFunc(have, func(line string) bool { return strings.HasPrefix(line, name+"=") })
		if set {
			have = append(have, a)
		}
	}
	text := strings.Join(have, "\n")
	if text != "" {
		text += "\n"
	}
	if !known(text) || c.r.create(localeFile, text) != nil {
		return unsure
	}
	return success
}

// python only compiles, which is not needed, or does what nobody knows.
func python(c *call) status {
	for _, a := range c.args {
		if base(a) == "py_compile.py" || a == "compileall" {
			return success
		}
	}
	return unsure
}

// perl is often only asked whether it is there.
func perl(c *call) status {
	if len(c.args) == 2 && c.args[0] == "-e" && c.args[1] == "" {
		_, ok := c.r.program("perl")
		return when(ok)
	}
	return unsure
}
