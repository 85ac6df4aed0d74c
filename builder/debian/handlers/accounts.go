// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package handlers

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"osbuild/builder/debian/script"
	"osbuild/runner/spec"
)

// accounts are the users and groups that packages make. Those of base-passwd
// have fixed ids, all others get theirs at activation.
type accounts struct {
	users  []spec.User
	groups []spec.Group
	// static are those that every Debian system has, see passwd.go: they are
	// part of the system's base, so scripts find them.
	static struct {
		users  []spec.User
		groups []spec.Group
	}
}

// users makes the accounts of packages: base-passwd's lists, and what scripts
// add with adduser, useradd and the like.
var users = class{
	name: "users",
	commands: map[string]command{
		"adduser": adduser, "useradd": useradd, "addgroup": addgroup, "groupadd": groupadd,
		"usermod": usermod, "gpasswd": gpasswd, "groupmod": groupmod, "systemd-sysusers": sysusers,
		"chsh": func(*call) script.Status { return script.Success }, "chage": func(*call) script.Status { return script.Success },
		// These tidy up the files, which are made anew at activation.
		"update-passwd": func(*call) script.Status { return script.Success }, "pwconv": func(*call) script.Status { return script.Success }, "grpconv": func(*call) script.Status { return script.Success },
	},
	finish: func(r *root) error {
		r.dropBad()
		slices.SortFunc(r.users, func(a, b spec.User) int { return strings.Compare(a.Name, b.Name) })
		slices.SortFunc(r.groups, func(a, b spec.Group) int { return strings.Compare(a.Name, b.Name) })
		return nil
	},
}

// dropBad takes out accounts that the files of accounts cannot hold, which
// would keep a system from booting.
func (r *root) dropBad() {
	bad := func(kind, name string, fields ...string) bool {
		fields = append([]string{name}, fields...)
		if name != "" && !strings.ContainsAny(name, ",/# \t") && !strings.ContainsAny(name[:1], "-+") &&
			!strings.ContainsAny(strings.Join(fields, ""), ":\n\r\x00") {
			return false
		}
		r.warnings = append(r.warnings, fmt.Sprintf("a package makes a %s that no system can have, which is left out: %.200q", kind, fields))
		return true
	}
	for _, list := range []*[]spec.User{&r.users, &r.static.users} {
		*list = slices.DeleteFunc(*list, func(u spec.User) bool { return bad("user", u.Name, u.Group, u.Comment, u.Home, u.Shell) })
	}
	for _, list := range []*[]spec.Group{&r.groups, &r.static.groups} {
		*list = slices.DeleteFunc(*list, func(g spec.Group) bool { return bad("group", g.Name) })
	}
}

// user is a user of a package, or a static one.
func (a *accounts) user(name string) *spec.User {
	for _, list := range [][]spec.User{a.users, a.static.users} {
		for i := range list {
			if list[i].Name == name {
				return &list[i]
			}
		}
	}
	return nil
}

// group is a group of a package, or a static one.
func (a *accounts) group(name string) *spec.Group {
	for _, list := range [][]spec.Group{a.groups, a.static.groups} {
		for i := range list {
			if list[i].Name == name {
				return &list[i]
			}
		}
	}
	return nil
}

func (a *accounts) addGroup(name string, gid *int) {
	if a.group(name) == nil {
		a.groups = append(a.groups, spec.Group{Name: name, GID: gid, System: true})
	}
}

// addUser adds a user with a locked password.
func (a *accounts) addUser(u spec.User) {
	if a.user(u.Name) == nil {
		u.System = true
		a.users = append(a.users, u)
	}
}

// join makes a user a member of a group too.
func (a *accounts) join(user, group string) script.Status {
	u := a.user(user)
	if u == nil || a.group(group) == nil {
		return script.Failure
	}
	if u.Group != group && !slices.Contains(u.SupplementaryGroups, group) {
		u.SupplementaryGroups = append(u.SupplementaryGroups, group)
		slices.Sort(u.SupplementaryGroups)
	}
	return script.Success
}

// primaryGroup is the group of a user, by name.
func (a *accounts) primaryGroup(user string) string {
	u := a.user(user)
	if u == nil {
		return user
	}
	return u.Group
}

// getent tells of an account; only the fields that are known are known.
func getent(c *call) script.Status {
	if len(c.Args) < 2 || !script.Known(c.Args...) {
		return script.Unsure
	}
	found := script.Success
	for _, name := range c.Args[1:] {
		line := ""
		switch c.Args[0] {
		case "passwd":
			line = c.r.passwdLine(name)
		case "group":
			line = c.r.groupLine(name)
		default:
			return script.Unsure
		}
		if line == "" {
			found = script.Failure
			continue
		}
		c.Print(line + "\n")
	}
	return found
}

func number(id *int) string {
	if id == nil {
		return script.Unknown
	}
	return strconv.Itoa(*id)
}

func (r *root) passwdLine(name string) string {
	u := r.user(name)
	if u == nil {
		return ""
	}
	return strings.Join([]string{u.Name, "x", number(u.UID), number(r.gid(u.Group)), u.Comment, u.Home, u.Shell}, ":")
}

func (r *root) gid(group string) *int {
	if n, err := strconv.Atoi(group); err == nil {
		return &n
	}
	if g := r.group(group); g != nil {
		return g.GID
	}
	return nil
}

func (r *root) groupLine(name string) string {
	if r.group(name) == nil {
		return ""
	}
	var members []string
	for _, u := range slices.Concat(r.users, r.static.users) {
		if slices.Contains(u.SupplementaryGroups, name) {
			members = append(members, u.Name)
		}
	}
	return strings.Join([]string{name, "x", number(r.gid(name)), strings.Join(members, ",")}, ":")
}

// id tells of a user's ids.
func id(c *call) script.Status {
	set, _, rest, ok := script.Options(c.Args, "ugnGr", "", map[string]string{"user": "u", "group": "g", "name": "n", "groups": "G"})
	if !ok || !script.Known(c.Args...) {
		return script.Unsure
	}
	if len(rest) == 0 {
		rest = []string{"root"}
	}
	u := c.r.user(rest[0])
	if u == nil {
		return script.Failure
	}
	switch {
	case set['u'] && set['n']:
		c.Print(u.Name + "\n")
	case set['u']:
		c.Print(number(u.UID) + "\n")
	case set['g'] && set['n']:
		c.Print(u.Group + "\n")
	case set['g']:
		c.Print(number(c.r.gid(u.Group)) + "\n")
	case set['G'] && set['n']:
		c.Print(strings.Join(append([]string{u.Group}, u.SupplementaryGroups...), " ") + "\n")
	default:
		c.Print(script.Unknown)
	}
	return script.Success
}
