// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package handlers

import (
	"strconv"
	"strings"

	"osbuild/builder/debian/script"
	"osbuild/runner/spec"
)

const (
	noHome  = "/nonexistent"
	noLogin = "/usr/sbin/nologin"
)

// accountOptions are what adduser and addgroup understand, by letters of our
// own for the long ones.
var accountOptions = map[string]string{
	"system": "S", "quiet": "", "debug": "", "force-badname": "", "allow-badname": "", "allow-bad-names": "", "disabled-password": "", "disabled-login": "", "no-create-home": "", "verbose": "",
	"group": "G", "home": "h", "shell": "s", "gecos": "c", "comment": "c", "uid": "u", "gid": "g", "ingroup": "i", "firstuid": "x", "lastuid": "x", "firstgid": "x", "lastgid": "x", "conf": "x",
	"add_extra_groups": "", "no-add-extra-groups": "",
}

func adduser(c *call) script.Status {
	set, values, rest, ok := script.Options(c.Args, "SGqd", "hscugix", accountOptions)
	if !ok || len(rest) == 0 || len(rest) > 2 {
		return script.Unsure
	}
	if len(rest) == 2 {
		return c.r.join(rest[0], rest[1])
	}
	if set['G'] && !set['S'] {
		return addgroup(c)
	}
	if !set['S'] {
		return script.Unsure // a person's account is for the system's declaration
	}
	u := spec.User{Name: rest[0], Group: "nogroup", Home: noHome, Shell: noLogin}
	id, ok := lastID(values['u'])
	if !ok {
		return script.Unsure
	}
	u.UID = id
	switch {
	case len(values['i']) > 0:
		u.Group = values['i'][0]
	case len(values['g']) > 0:
		u.Group = values['g'][0]
	case set['G']:
		u.Group = u.Name
		c.r.addGroup(u.Name, id)
	}
	last(&u.Home, values['h'])
	last(&u.Shell, values['s'])
	last(&u.Comment, values['c'])
	u.Comment = strings.TrimRight(u.Comment, ",")
	c.r.addUser(u)
	c.makeHome(u)
	return script.Success
}

// makeHome makes the home of a system user below /var, unless the script says
// not to.
func (c *call) makeHome(u spec.User) {
	for _, a := range c.Args {
		if a == "--no-create-home" || a == "-M" {
			return
		}
	}
	if !strings.HasPrefix(u.Home, "/var/") || c.r.Has(u.Home) {
		return
	}
	if _, err := c.r.MkdirAll(u.Home); err == nil {
		c.own(u.Home, &u.Name, &u.Group, nil)
	}
}

func last(to *string, values []string) {
	if len(values) > 0 {
		*to = values[len(values)-1]
	}
}

// lastID is the id of an option, nil where there is none.
func lastID(values []string) (*int, bool) {
	if len(values) == 0 {
		return nil, true
	}
	n, err := strconv.Atoi(values[len(values)-1])
	if err != nil || n < 0 || n > 65535 {
		return nil, false
	}
	return &n, true
}

func addgroup(c *call) script.Status {
	_, values, rest, ok := script.Options(c.Args, "SGqd", "hscugix", accountOptions)
	if !ok || len(rest) == 0 || len(rest) > 2 {
		return script.Unsure
	}
	if len(rest) == 2 {
		return c.r.join(rest[0], rest[1])
	}
	id, ok := lastID(values['g'])
	if !ok {
		return script.Unsure
	}
	c.r.addGroup(rest[0], id)
	return script.Success
}

func groupadd(c *call) script.Status {
	_, values, rest, ok := script.Options(c.Args, "rfo", "gKpPU", map[string]string{"system": "r", "force": "f", "gid": "g", "non-unique": "o"})
	if !ok || len(rest) != 1 {
		return script.Unsure
	}
	id, ok := lastID(values['g'])
	if !ok {
		return script.Unsure
	}
	c.r.addGroup(rest[0], id)
	return script.Success
}

func useradd(c *call) script.Status {
	set, values, rest, ok := script.Options(c.Args, "rmMNUol", "ugGdscKbepk", map[string]string{
		"system": "r", "create-home": "m", "no-create-home": "M", "no-user-group": "N", "user-group": "U", "uid": "u", "gid": "g", "groups": "G",
		"home-dir": "d", "home": "d", "shell": "s", "comment": "c", "no-log-init": "l", "password": "p", "base-dir": "b",
	})
	if !ok || len(rest) != 1 || !set['r'] {
		return script.Unsure
	}
	u := spec.User{Name: rest[0], Group: rest[0], Home: "/home/" + rest[0], Shell: noLogin}
	id, ok := lastID(values['u'])
	if !ok {
		return script.Unsure
	}
	u.UID = id
	switch {
	case len(values['g']) > 0:
		u.Group = values['g'][0]
	case set['N']:
		u.Group = "users"
	default:
		c.r.addGroup(u.Name, nil)
	}
	last(&u.Home, values['d'])
	last(&u.Shell, values['s'])
	last(&u.Comment, values['c'])
	c.r.addUser(u)
	if set['m'] {
		c.makeHome(u)
	}
	for _, list := range values['G'] {
		for g := range strings.SplitSeq(list, ",") {
			c.r.join(u.Name, g)
		}
	}
	return script.Success
}

func usermod(c *call) script.Status {
	set, values, rest, ok := script.Options(c.Args, "aLUm", "Ggdsc", map[string]string{
		"append": "a", "groups": "G", "gid": "g", "home": "d", "shell": "s", "comment": "c", "lock": "L", "move-home": "m",
	})
	if !ok || len(rest) != 1 || set['U'] || len(values['G']) > 0 && !set['a'] {
		return script.Unsure
	}
	u := c.r.user(rest[0])
	if u == nil {
		return script.Unsure // it is one of the base, which the declaration may change
	}
	last(&u.Group, values['g'])
	last(&u.Home, values['d'])
	last(&u.Shell, values['s'])
	last(&u.Comment, values['c'])
	for _, list := range values['G'] {
		for g := range strings.SplitSeq(list, ",") {
			if c.r.join(u.Name, g) != script.Success {
				return script.Failure
			}
		}
	}
	return script.Success
}

func gpasswd(c *call) script.Status {
	_, values, rest, ok := script.Options(c.Args, "", "a", map[string]string{"add": "a"})
	if !ok || len(rest) != 1 || len(values['a']) != 1 {
		return script.Unsure
	}
	return c.r.join(values['a'][0], rest[0])
}

func groupmod(c *call) script.Status {
	_, values, rest, ok := script.Options(c.Args, "", "ng", nil)
	if !ok || len(rest) != 1 || len(values['n']) != 1 || len(values['g']) > 0 {
		return script.Unsure
	}
	g := c.r.group(rest[0])
	if g == nil {
		return script.Failure
	}
	g.Name = values['n'][0]
	return script.Success
}
