// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package handlers

import (
	"path"
	"slices"
	"strings"

	"osbuild/builder/debian/ldso"
)

// questions are commands that only ask, or only speak to the user. They
// change nothing, so they are done under conditions that cannot be known too;
// unsure means that the answer, and what they print, is not known.
var questions map[string]command

func init() {
	notKnown := func(*call) status { return unsure }
	questions = map[string]command{
		"echo": echo, "printf": printf, "cat": cat, "test": test, "[": test,
		"which": (*call).which, "getent": getent, "id": id, "basename": basename, "dirname": dirname,
		"grep": grep, "egrep": grep, "fgrep": grep, "cut": cut, "tr": tr, "sed": sed, "readlink": readlink, "realpath": readlink,
		"dpkg": dpkg, "dpkg-query": dpkgQuery, "ls": list, "uname": uname,
		"hostname": notKnown, "date": notKnown, "md5sum": notKnown, "sha1sum": notKnown, "sha256sum": notKnown, "sha512sum": notKnown,
		"awk": filter, "nawk": filter, "mawk": filter, "sort": filter, "uniq": filter, "head": filter, "tail": filter, "tac": filter, "rev": filter, "xargs": xargs, "wc": notKnown,
		"cmp": notKnown, "diff": notKnown, "who": notKnown, "whoami": notKnown, "stat": notKnown, "expr": notKnown, "seq": seq, "runlevel": notKnown,
		"pidof": notKnown, "pgrep": notKnown, "ps": notKnown, "ss": notKnown, "mountpoint": notKnown, "ischroot": notKnown, "aa-enabled": func(*call) status { return failure }, "find": find, "getcap": func(*call) status { return success },
		"lsmod": notKnown, "df": notKnown, "du": notKnown, "logname": notKnown, "gettext": notKnown, "locale": notKnown, "tty": notKnown, "getconf": notKnown, "nproc": notKnown,
		"pam_getenv": notKnown, "pg_conftool": notKnown, "pg_lsclusters": func(*call) status { return success }, "dpkg-vendor": notKnown, "dpkg-architecture": notKnown, "systemd-detect-virt": notKnown, "lsb_release": notKnown,
		"clear": notKnown, "sleep": func(*call) status { return success }, "logger": func(*call) status { return success },
	}
}

func echo(c *call) status {
	args, end := c.args, "\n"
	if len(args) > 0 && args[0] == "-n" {
		args, end = args[1:], ""
	} else if len(args) > 0 && args[0] == "-e" {
		args = args[1:]
	}
	c.print(strings.Join(args, " ") + end)
	return success
}

// printf knows %s, %d, \n, \t and %%.
func printf(c *call) status {
	if len(c.args) == 0 {
		return failure
	}
	args := c.args[1:]
	format := strings.NewReplacer(`\n`, "\n", `\t`, "\t", `\\`, `\`).Replace(c.args[0])
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
				return unsure
			}
		}
		c.print(b.String())
		if len(args) == before {
			break
		}
	}
	return success
}

func cat(c *call) status {
	if len(c.args) == 0 || slices.Equal(c.args, []string{"-"}) {
		c.print(c.in.text)
		c.in.text = ""
		return success
	}
	for _, p := range c.args {
		if strings.HasPrefix(p, "-") || !known(p) {
			return unsure
		}
		if !c.r.has(c.path(p)) {
			return failure
		}
		c.print(c.contentOf(p))
	}
	return success
}

// which looks for a program; it is command -v too.
func (c *call) which() status {
	found := success
	for _, name := range c.args {
		if strings.HasPrefix(name, "-") {
			continue
		}
		if !known(name) {
			return unsure
		}
		if p, ok := c.r.program(name); ok {
			c.print(p + "\n")
			continue
		}
		if _, own := ownCommands[name]; own || c.funcs[name] != nil {
			c.print(name + "\n")
			continue
		}
		found = failure
	}
	return found
}

// program looks for an executable on the path of scripts.
func (r *root) program(name string) (string, bool) {
	if strings.Contains(name, "/") {
		n, _, err := r.find(name, true)
		return name, err == nil && n.kind == file && n.executable()
	}
	for _, dir := range []string{"/usr/sbin", "/usr/bin"} {
		if n, _, err := r.find(dir+"/"+name, true); err == nil && n.kind == file {
			return dir + "/" + name, true
		}
	}
	return "", false
}

func basename(c *call) status {
	if len(c.args) == 0 || !known(c.args...) {
		return unsure
	}
	name := path.Base(c.args[0])
	if len(c.args) > 1 && name != c.args[1] {
		name = strings.TrimSuffix(name, c.args[1])
	}
	c.print(name + "\n")
	return success
}

func dirname(c *call) status {
	if len(c.args) != 1 || !known(c.args...) {
		return unsure
	}
	c.print(path.Dir(c.args[0]) + "\n")
	return success
}

// uname knows the system and the processor, not the kernel.
func uname(c *call) status {
	switch strings.Join(c.args, " ") {
	case "", "-s":
		c.print("Linux\n")
	case "-m":
		abi, ok := ldso.ABIOf(c.r.arch())
		machine, _, _ := strings.Cut(abi.Triplet, "-")
		if !ok {
			return unsure
		}
		c.print(machine + "\n")
	default:
		return unsure
	}
	return success
}

func readlink(c *call) status {
	set, _, rest, ok := options(c.args, "fems", "", nil)
	if !ok || len(rest) != 1 || !known(rest...) {
		return unsure
	}
	follow := set['f'] || set['e'] || set['m'] || c.name == "realpath"
	n, real, err := c.r.find(c.path(rest[0]), follow)
	switch {
	case follow && real != "" && (err == nil || !set['e']):
		c.print(real + "\n")
	case !follow && err == nil && n.kind == link:
		target, err := n.target()
		if err != nil {
			return unsure
		}
		c.print(target + "\n")
	default:
		return failure
	}
	return success
}

// list is ls: its status says whether the paths are there.
func list(c *call) status {
	found := success
	for _, p := range c.args {
		if strings.HasPrefix(p, "-") {
			continue
		}
		if !known(p) {
			return unsure
		}
		n, _, err := c.r.find(c.path(p), true)
		if err != nil {
			found = failure
			continue
		}
		if n.kind == folder {
			for _, name := range n.names() {
				c.print(name + "\n")
			}
			continue
		}
		c.print(p + "\n")
	}
	return found
}
