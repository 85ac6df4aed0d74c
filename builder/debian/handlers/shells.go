// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package handlers

import (
	"slices"
	"strings"

	"osbuild/builder/debian/script"
)

const shellsFile = "/etc/shells"

// shells makes /etc/shells: what packages list in their shells.d, and what
// add-shell adds.
var shells = class{
	name: "shells",
	commands: map[string]command{
		"add-shell":     func(c *call) script.Status { return script.When(c.r.addShells(c.Args...) == nil) },
		"remove-shell":  func(*call) script.Status { return script.Success },
		"update-shells": func(*call) script.Status { return script.Success },
	},
	finish: finishShells,
}

// addShells adds lines that are not there yet.
func (r *root) addShells(list ...string) error {
	have := ""
	if n, _, err := r.Find(shellsFile, true); err == nil {
		if have, err = n.Bytes(); err != nil {
			return err
		}
	} else {
		have = "# /etc/shells: valid login shells\n"
	}
	there := strings.Split(have, "\n")
	for _, s := range list {
		if !slices.Contains(there, s) {
			there = append(there, s)
			have += s + "\n"
		}
	}
	return r.Write(shellsFile, have)
}

func finishShells(r *root) error {
	var list []string
	if dir, _, err := r.Find("/usr/share/debianutils/shells.d", true); err == nil {
		for _, name := range dir.Names() {
			text, err := dir.Kids[name].Bytes()
			if err != nil {
				return err
			}
			for _, line := range lines(text) {
				if strings.HasPrefix(line, "/") {
					list = append(list, line)
				}
			}
		}
	}
	if len(list) == 0 && !r.Has(shellsFile) {
		return nil
	}
	if err := r.addShells(list...); err != nil {
		return err
	}
	n, _, err := r.Find(shellsFile, true)
	if err != nil {
		return err
	}
	text, err := n.Bytes()
	if err != nil {
		return err
	}
	// On a merged system each shell has two paths.
	var twins []string
	for _, line := range lines(text) {
		twin := "/usr" + line
		if rest, ok := strings.CutPrefix(line, "/usr/"); ok {
			twin = "/" + rest
		}
		if strings.HasPrefix(line, "/") && r.Has(twin) {
			twins = append(twins, twin)
		}
	}
	return r.addShells(twins...)
}
