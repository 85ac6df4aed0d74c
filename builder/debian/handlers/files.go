// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package handlers

import (
	"errors"
	"path"
	"strconv"
	"strings"

	"osbuild/builder/debian/rootfs"
	"osbuild/builder/debian/script"
	"osbuild/runner/spec"
)

// files does what scripts do with files and folders: make, copy, link, move,
// remove them, and give them to somebody.
var files = class{
	name: classFiles,
	commands: map[string]command{
		"mkdir": mkdir, "rmdir": rmdir, "rm": rm, "touch": touch, "ln": ln, "cp": cp, "mv": mv, "install": install,
		"chown": chown, "chgrp": chgrp, "chmod": chmod, "dpkg-statoverride": statoverride, "mktemp": mktemp, "tempfile": mktemp,
		"ucf": ucf, "ucfr": func(*call) script.Status { return script.Success }, "tee": tee,
	},
}

// own gives a node an owner and a mode; nil leaves them as they are.
func (c *call) own(p string, user, group *string, mode func(spec.Owner, *rootfs.Node) uint32) script.Status {
	n, real, err := c.r.Find(c.Path(p), true)
	if err != nil {
		return script.Failure
	}
	if n.Given && n.Kind == rootfs.File {
		return script.Success
	}
	o := c.r.OwnerOf(real, n)
	if user != nil {
		o.User = *user
	}
	if group != nil {
		o.Group = *group
	}
	if mode != nil {
		o.Mode = mode(o, n)
	}
	n.Owner = &o
	return script.Success
}

// below does f for a path and, where it is wanted, for all that lies in it.
func (c *call) below(p string, all bool, f func(p string) script.Status) script.Status {
	s := f(p)
	n, real, err := c.r.Find(c.Path(p), true)
	if err != nil || !all || n.Kind != rootfs.Folder {
		return s
	}
	for _, name := range n.Names() {
		if n.Kids[name].Kind != rootfs.Link {
			c.below(path.Join(real, name), true, f)
		}
	}
	return s
}

func chown(c *call) script.Status {
	set, _, rest, ok := script.Options(c.Args, "RhfvcHLP", "", nil)
	if !ok || len(rest) < 2 {
		return script.Unsure
	}
	var user, group *string
	name, of, both := strings.Cut(rest[0], ":")
	if !both {
		name, of, both = strings.Cut(rest[0], ".")
	}
	if name != "" {
		user = &name
	}
	if both {
		if of == "" {
			of = c.r.primaryGroup(name)
		}
		group = &of
	}
	return c.all(rest[1:], set['R'], func(p string) script.Status { return c.own(p, user, group, nil) })
}

func chgrp(c *call) script.Status {
	set, _, rest, ok := script.Options(c.Args, "RhfvcHLP", "", nil)
	if !ok || len(rest) < 2 {
		return script.Unsure
	}
	return c.all(rest[1:], set['R'], func(p string) script.Status { return c.own(p, nil, &rest[0], nil) })
}

func (c *call) all(paths []string, below bool, f func(p string) script.Status) script.Status {
	s := script.Success
	for _, p := range paths {
		if c.below(p, below, f) == script.Failure {
			s = script.Failure
		}
	}
	return s
}

func chmod(c *call) script.Status {
	args, below := c.Args, false
	for len(args) > 0 && len(args[0]) > 1 && args[0][0] == '-' && strings.Trim(args[0][1:], "Rfvc") == "" {
		below = below || strings.Contains(args[0], "R")
		args = args[1:]
	}
	if len(args) < 2 {
		return script.Unsure
	}
	change, ok := parseMode(args[0])
	if !ok {
		return script.Unsure
	}
	return c.all(args[1:], below, func(p string) script.Status { return c.own(p, nil, nil, change) })
}

// parseMode reads an octal mode, or changes such as g+s,o-rwx.
func parseMode(s string) (func(spec.Owner, *rootfs.Node) uint32, bool) {
	if m, err := strconv.ParseUint(s, 8, 13); err == nil && m <= 0o7777 {
		return func(spec.Owner, *rootfs.Node) uint32 { return uint32(m) }, true
	}
	type change struct {
		op    byte
		bits  uint32
		whole uint32
		x     uint32
	}
	var changes []change
	for part := range strings.SplitSeq(s, ",") {
		i := strings.IndexAny(part, "+-=")
		if i < 0 {
			return nil, false
		}
		who := part[:i]
		if who == "" {
			who = "a"
		}
		ch := change{op: part[i]}
		for _, w := range who {
			shift, special, ok := uint32(0), uint32(0), true
			switch w {
			case 'u':
				shift, special = 6, 0o4000
			case 'g':
				shift, special = 3, 0o2000
			case 'o':
				shift = 0
			case 'a':
				shift = 9
			default:
				ok = false
			}
			if !ok {
				return nil, false
			}
			for _, b := range part[i+1:] {
				var bit uint32
				switch b {
				case 'r':
					bit = 4
				case 'w':
					bit = 2
				case 'x':
					bit = 1
				case 'X':
					if shift == 9 {
						ch.x |= 0o111
					} else {
						ch.x |= 1 << shift
					}
				case 's':
					if w == 'a' {
						special = 0o6000
					}
					ch.bits |= special
				case 't':
					ch.bits |= 0o1000
				default:
					return nil, false
				}
				if shift == 9 {
					bit |= bit<<3 | bit<<6
					ch.bits |= bit
				} else {
					ch.bits |= bit << shift
				}
			}
			if shift == 9 {
				ch.whole |= 0o777
			} else {
				ch.whole |= 7<<shift | special
			}
		}
		changes = append(changes, ch)
	}
	return func(o spec.Owner, n *rootfs.Node) uint32 {
		m := o.Mode
		for _, ch := range changes {
			bits := ch.bits
			if n.Kind == rootfs.Folder || m&0o111 != 0 {
				bits |= ch.x
			}
			switch ch.op {
			case '+':
				m |= bits
			case '-':
				m &^= bits
			default:
				m = m&^ch.whole | bits
			}
		}
		return m
	}, true
}

// statoverride remembers who a path belongs to, and gives it to him.
func statoverride(c *call) script.Status {
	var words []string
	update := false
	for _, a := range c.Args {
		switch a {
		case "--update":
			update = true
		case "--quiet", "--force", "--force-all", "--force-statoverride-add":
		default:
			words = append(words, a)
		}
	}
	switch {
	case len(words) == 2 && words[0] == "--list":
		return script.When(c.r.overrides[words[1]])
	case len(words) == 2 && words[0] == "--remove":
		delete(c.r.overrides, words[1])
		return script.Success
	case len(words) == 5 && words[0] == "--add":
		mode, ok := parseMode(words[3])
		if !ok {
			return script.Unsure
		}
		c.r.overrides[words[4]] = true
		if update {
			c.own(words[4], &words[1], &words[2], mode)
		}
		return script.Success
	}
	return script.Unsure
}

func mkdir(c *call) script.Status {
	set, values, rest, ok := script.Options(c.Args, "pvZ", "m", map[string]string{"parents": "p", "mode": "m", "verbose": ""})
	if !ok {
		return script.Unsure
	}
	for _, p := range rest {
		if c.r.Has(c.Path(p)) {
			if !set['p'] {
				return script.Failure
			}
			continue
		}
		if set['p'] {
			if _, err := c.r.MkdirAll(c.Path(p)); err != nil {
				return script.Failure
			}
		} else if !c.r.Has(path.Dir(c.Path(p))) || c.r.Put(c.Path(p), rootfs.NewFolder()) != nil {
			return script.Failure
		}
		if len(values['m']) > 0 {
			mode, ok := parseMode(values['m'][0])
			if !ok {
				return script.Unsure
			}
			c.own(p, nil, nil, mode)
		}
	}
	return script.Success
}

func rmdir(c *call) script.Status {
	set, _, rest, ok := script.Options(c.Args, "pv", "", map[string]string{"ignore-fail-on-non-empty": "", "parents": "p"})
	if !ok {
		return script.Unsure
	}
	for _, p := range rest {
		n, _, err := c.r.Find(c.Path(p), false)
		if err != nil || n.Kind != rootfs.Folder || len(n.Kids) > 0 {
			return script.Failure
		}
		if err := c.r.Remove(c.Path(p), false); err != nil {
			return script.Unsure
		}
		for dir := path.Dir(c.Path(p)); set['p'] && dir != "/"; dir = path.Dir(dir) {
			if c.r.Remove(dir, false) != nil {
				break
			}
		}
	}
	return script.Success
}

func rm(c *call) script.Status {
	set, _, rest, ok := script.Options(c.Args, "rRfvi", "", map[string]string{"force": "f", "recursive": "r"})
	if !ok {
		return script.Unsure
	}
	result := script.Success
	for _, p := range rest {
		if _, _, err := c.r.Find(c.Path(p), false); err != nil {
			if !set['f'] {
				result = script.Failure
			}
			continue
		}
		if err := c.r.Remove(c.Path(p), set['r'] || set['R']); err != nil {
			if errors.Is(err, rootfs.ErrKept) {
				c.Leave("rm " + p)
			}
			result = script.Failure
		}
	}
	return result
}

// touch makes empty files; times are none of the root's.
func touch(c *call) script.Status {
	_, _, rest, ok := script.Options(c.Args, "achm", "rdt", map[string]string{"no-dereference": "", "reference": "r"})
	if !ok {
		return script.Unsure
	}
	for _, p := range rest {
		if !c.r.Has(c.Path(p)) {
			if err := c.Write(c.Path(p), ""); err != nil {
				return script.Failure
			}
		}
	}
	return script.Success
}

func tee(c *call) script.Status {
	set, _, rest, ok := script.Options(c.Args, "a", "", nil)
	if !ok || len(rest) == 0 {
		return script.Unsure
	}
	for _, p := range rest {
		c.Save(p, c.Input(), set['a'])
	}
	c.Print(c.Input())
	return script.Success
}

func mktemp(c *call) script.Status {
	c.r.temporary++
	p := "/tmp/tmp." + strconv.Itoa(c.r.temporary)
	for _, a := range c.Args {
		if a == "-d" || a == "--directory" {
			if _, err := c.r.MkdirAll(p); err != nil {
				return script.Unsure
			}
			c.Print(p + "\n")
			return script.Success
		}
	}
	if err := c.r.Write(p, ""); err != nil {
		return script.Unsure
	}
	c.Print(p + "\n")
	return script.Success
}
