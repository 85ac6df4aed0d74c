// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package handlers

import (
	"strings"

	"osbuild/builder/debian/rootfs"
	"osbuild/builder/debian/script"
)

const apacheDir = "/etc/apache2/"

// apache makes the links by which Apache's modules, sites and pieces of
// configuration are on.
var apache = class{name: "apache", commands: map[string]command{
	"a2enmod":  a2en("mods", ".load"),
	"a2ensite": a2en("sites", ".conf"),
	"a2enconf": a2en("conf", ".conf"),
	"a2dismod": func(*call) script.Status { return script.Success }, "a2dissite": func(*call) script.Status { return script.Success }, "a2disconf": func(*call) script.Status { return script.Success },
}}

func a2en(kind, ending string) command {
	return func(c *call) script.Status {
		_, _, names, ok := script.Options(c.Args, "mqf", "p", map[string]string{"maintmode": "m", "quiet": "q", "force": "f", "purge": "p"})
		if !ok {
			return script.Unsure
		}
		result := script.Success
		for _, name := range names {
			if !c.r.enableApache(kind, name, ending, 0) {
				result = script.Failure
			}
		}
		return result
	}
}

// enableApache makes the links of one name, and of those it depends on.
func (r *root) enableApache(kind, name, ending string, depth int) bool {
	n, _, err := r.Find(apacheDir+kind+"-available/"+name+ending, true)
	if err != nil || n.Kind != rootfs.File || depth > 20 {
		return false
	}
	text, err := n.Bytes()
	if err != nil {
		return false
	}
	for _, line := range lines(text) {
		rest, ok := strings.CutPrefix(line, "# Depends:")
		if !ok {
			continue
		}
		for other := range strings.FieldsSeq(rest) {
			if !r.enableApache(kind, other, ending, depth+1) {
				return false
			}
		}
	}
	for _, end := range []string{ending, ".conf"} {
		available := kind + "-available/" + name + end
		at := apacheDir + kind + "-enabled/" + name + end
		if !r.Has(apacheDir+available) || r.Has(at) {
			continue
		}
		if err := r.Put(at, &rootfs.Node{Kind: rootfs.Link, Text: "../" + available}); err != nil {
			return false
		}
	}
	return true
}
