// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package handlers

import (
	"path"
	"strings"

	"osbuild/builder/debian/script"
	"osbuild/runner/spec"
)

// sysusers reads the files of sysusers.d(5) that a script names.
func sysusers(c *call) script.Status {
	for _, a := range c.Args {
		if strings.HasPrefix(a, "-") {
			continue
		}
		p := a
		if !path.IsAbs(p) {
			p = "/usr/lib/sysusers.d/" + a
		}
		text := c.Content(p)
		if !script.Known(text) {
			return script.Failure
		}
		for _, line := range lines(text) {
			if !c.r.sysuser(words(line)) {
				c.Leave("systemd-sysusers: " + line)
			}
		}
	}
	return script.Success
}

// sysuser does one line: type, name, id, comment, home, shell.
func (r *root) sysuser(f []string) bool {
	if len(f) == 0 || strings.HasPrefix(f[0], "#") {
		return true
	}
	for len(f) < 6 {
		f = append(f, "-")
	}
	for i := range f {
		if f[i] == "-" {
			f[i] = ""
		}
	}
	kind, name, ids := strings.TrimRight(f[0], "!-"), f[1], f[2]
	if kind == "r" {
		return true // which ids to choose from
	}
	if name == "" {
		return false
	}
	uid, gid, split := strings.Cut(ids, ":")
	number := func(s string) (*int, bool) {
		if s == "" || s == "-" {
			return nil, true
		}
		return lastID([]string{s})
	}
	switch kind {
	case "g":
		id, ok := number(uid)
		r.addGroup(name, id)
		return ok
	case "m":
		return r.join(name, f[2]) == script.Success
	case "u":
	default:
		return false
	}
	if strings.HasPrefix(ids, "/") {
		uid, gid, split = "", "", false // the owner of a file: any id does
	}
	id, ok := number(uid)
	if !ok {
		return false
	}
	u := spec.User{Name: name, UID: id, Group: name, Comment: f[3], Home: f[4], Shell: f[5]}
	if split {
		u.Group = gid
	} else {
		r.addGroup(name, id)
	}
	if u.Home == "" {
		u.Home = "/"
	}
	if u.Shell == "" {
		u.Shell = noLogin
	}
	r.addUser(u)
	return true
}

// words splits a line at blanks; quotes hold words together.
func words(line string) []string {
	var out []string
	var b strings.Builder
	var quote rune
	open := false
	for _, c := range line {
		switch {
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			b.WriteRune(c)
		case c == '"' || c == '\'':
			quote, open = c, true
		case c == ' ' || c == '\t':
			if open {
				out = append(out, b.String())
				b.Reset()
				open = false
			}
		default:
			b.WriteRune(c)
			open = true
		}
	}
	if open {
		out = append(out, b.String())
	}
	return out
}
