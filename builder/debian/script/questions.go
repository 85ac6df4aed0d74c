// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package script

import (
	"io/fs"
	"path"
	"slices"
	"strings"
)

// questions are commands that only ask, or only speak to the user, and that
// are the same on every system. They change nothing, so they are done under
// conditions that cannot be known too; unsure means that the answer, and what
// they print, is not known.
var questions map[string]command

func init() {
	notKnown := func(*Call) Status { return Unsure }
	questions = map[string]command{
		"echo": echo, "printf": printf, "cat": cat, "test": test, "[": test,
		"which": (*Call).which, "basename": basename, "dirname": dirname, "ls": list, "find": find, "seq": seq,
		"grep": grep, "egrep": grep, "fgrep": grep, "cut": cut, "tr": tr, "sed": sed, "readlink": readlink, "realpath": readlink,
		"awk": filter, "nawk": filter, "mawk": filter, "sort": filter, "uniq": filter, "head": filter, "tail": filter, "tac": filter, "rev": filter, "xargs": xargs, "wc": notKnown,
		"hostname": notKnown, "date": notKnown, "md5sum": notKnown, "sha1sum": notKnown, "sha256sum": notKnown, "sha512sum": notKnown,
		"cmp": notKnown, "diff": notKnown, "who": notKnown, "whoami": notKnown, "stat": notKnown, "expr": notKnown, "runlevel": notKnown,
		"pidof": notKnown, "pgrep": notKnown, "ps": notKnown, "ss": notKnown, "mountpoint": notKnown,
		"lsmod": notKnown, "df": notKnown, "du": notKnown, "logname": notKnown, "gettext": notKnown, "locale": notKnown, "tty": notKnown, "getconf": notKnown, "nproc": notKnown,
		"clear": notKnown, "sleep": func(*Call) Status { return Success }, "logger": func(*Call) Status { return Success },
	}
}

func echo(c *Call) Status {
	args, end := c.Args, "\n"
	if len(args) > 0 && args[0] == "-n" {
		args, end = args[1:], ""
	} else if len(args) > 0 && args[0] == "-e" {
		args = args[1:]
	}
	c.Print(strings.Join(args, " ") + end)
	return Success
}

// printf knows %s, %d, \n, \t and %%.
func printf(c *Call) Status {
	if len(c.Args) == 0 {
		return Failure
	}
	args := c.Args[1:]
	format := strings.NewReplacer(`\n`, "\n", `\t`, "\t", `\\`, `\`).Replace(c.Args[0])
	for round := 0; round == 0 || len(args) > 0; round++ {
		before := len(args)
		var b strings.Builder
		for i := 0; i < len(format); i++ {
			if format[i] != '%' || i+1 == len(format) {
				b.WriteByte(format[i])
				continue
			}
			i++
			switch format[i] {
			case '%':
				b.WriteByte('%')
			case 's', 'd', 'b':
				if len(args) > 0 {
					b.WriteString(args[0])
					args = args[1:]
				}
			default:
				return Unsure
			}
		}
		c.Print(b.String())
		if len(args) == before {
			break
		}
	}
	return Success
}

func cat(c *Call) Status {
	if len(c.Args) == 0 || slices.Equal(c.Args, []string{"-"}) {
		c.Print(c.in.text)
		c.in.text = ""
		return Success
	}
	for _, p := range c.Args {
		if strings.HasPrefix(p, "-") || !Known(p) {
			return Unsure
		}
		if !c.has(c.Path(p)) {
			return Failure
		}
		c.Print(c.Content(p))
	}
	return Success
}

// which looks for a program; it is command -v too.
func (c *Call) which() Status {
	found := Success
	for _, name := range c.Args {
		if strings.HasPrefix(name, "-") {
			continue
		}
		if !Known(name) {
			return Unsure
		}
		if p, ok := c.world.Program(name); ok {
			c.Print(p + "\n")
			continue
		}
		if _, own := ownCommands[name]; own || c.funcs[name] != nil {
			c.Print(name + "\n")
			continue
		}
		found = Failure
	}
	return found
}

func basename(c *Call) Status {
	if len(c.Args) == 0 || !Known(c.Args...) {
		return Unsure
	}
	name := path.Base(c.Args[0])
	if len(c.Args) > 1 && name != c.Args[1] {
		name = strings.TrimSuffix(name, c.Args[1])
	}
	c.Print(name + "\n")
	return Success
}

func dirname(c *Call) Status {
	if len(c.Args) != 1 || !Known(c.Args...) {
		return Unsure
	}
	c.Print(path.Dir(c.Args[0]) + "\n")
	return Success
}

func readlink(c *Call) Status {
	set, _, rest, ok := Options(c.Args, "fems", "", nil)
	if !ok || len(rest) != 1 || !Known(rest...) {
		return Unsure
	}
	follow := set['f'] || set['e'] || set['m'] || c.Name == "realpath"
	n, real, err := c.world.Find(c.Path(rest[0]), follow)
	switch {
	case follow && real != "" && (err == nil || !set['e']):
		c.Print(real + "\n")
	case !follow && err == nil && n.Type() == fs.ModeSymlink:
		target, err := n.Target()
		if err != nil {
			return Unsure
		}
		c.Print(target + "\n")
	default:
		return Failure
	}
	return Success
}

// list is ls: its status says whether the paths are there.
func list(c *Call) Status {
	found := Success
	for _, p := range c.Args {
		if strings.HasPrefix(p, "-") {
			continue
		}
		if !Known(p) {
			return Unsure
		}
		n, _, err := c.world.Find(c.Path(p), true)
		if err != nil {
			found = Failure
			continue
		}
		if n.Type().IsDir() {
			for _, e := range n.List() {
				c.Print(e.Name() + "\n")
			}
			continue
		}
		c.Print(p + "\n")
	}
	return found
}
