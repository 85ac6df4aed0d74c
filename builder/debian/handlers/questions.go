// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package handlers

import (
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"osbuild/builder/debian/control"
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
		"pidof": notKnown, "pgrep": notKnown, "ps": notKnown, "ss": notKnown, "mountpoint": notKnown, "ischroot": notKnown, "getcap": func(*call) status { return success },
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
		machine, _, _ := strings.Cut(abis[c.r.arch()].triplet, "-")
		if machine == "" {
			return unsure
		}
		c.print(machine + "\n")
	default:
		return unsure
	}
	return success
}

// filter is a program that gives nothing where it gets nothing.
func filter(c *call) status {
	for _, a := range c.args {
		if strings.Contains(a, "BEGIN") || strings.Contains(a, "END") || c.r.has(c.path(a)) {
			return unsure
		}
	}
	if c.in.text != "" {
		return unsure
	}
	return success
}

// xargs runs what follows once for all that it reads, or not at all.
func xargs(c *call) status {
	args := c.args
	for len(args) > 0 && strings.HasPrefix(args[0], "-") {
		if args[0] != "-r" && args[0] != "--no-run-if-empty" && args[0] != "-0" {
			return c.sedUnsure(true)
		}
		args = args[1:]
	}
	if c.in.text == "" {
		return success
	}
	if len(args) == 0 || !c.step() {
		return unsure
	}
	sub := c.child()
	sub.run(append(slices.Clone(args), strings.Fields(strings.ReplaceAll(c.in.text, "\x00", " "))...))
	return sub.last
}

// seq counts, for loops.
func seq(c *call) status {
	n := []int{1, 1, 0}
	for i, a := range c.args {
		v, err := strconv.Atoi(a)
		if err != nil || len(c.args) > 3 {
			return unsure
		}
		switch {
		case i == len(c.args)-1:
			n[2] = v
		default:
			n[i] = v
		}
	}
	if n[1] == 0 || (n[2]-n[0])/n[1] > 1000 {
		return unsure
	}
	for i := n[0]; n[1] > 0 && i <= n[2] || n[1] < 0 && i >= n[2]; i += n[1] {
		c.print(strconv.Itoa(i) + "\n")
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

func grep(c *call) status {
	set, values, rest, ok := options(c.args, "EFqswxvioeh", "e", map[string]string{"quiet": "q", "silent": "q"})
	if !ok || !known(c.args...) {
		return unsure
	}
	patterns := values['e']
	if len(patterns) == 0 {
		if len(rest) == 0 {
			return failure
		}
		patterns, rest = rest[:1], rest[1:]
	}
	text := c.in.text
	for i, p := range rest {
		if i == 0 {
			text = ""
		}
		if !c.r.has(c.path(p)) {
			continue
		}
		text += c.contentOf(p)
	}
	if !known(text) {
		return unsure
	}
	var alternatives []string
	for _, p := range patterns {
		switch {
		case set['F'] || c.name == "fgrep":
			p = regexp.QuoteMeta(p)
		case !set['E'] && c.name != "egrep":
			p = basic(p)
		}
		alternatives = append(alternatives, p)
	}
	expr := "(?:" + strings.Join(alternatives, "|") + ")"
	if set['x'] {
		expr = "^" + expr + "$"
	}
	if set['w'] {
		expr = `(?:^|\W)` + expr + `(?:\W|$)`
	}
	if set['i'] {
		expr = "(?i:" + expr + ")"
	}
	re, err := compile(expr)
	if err != nil || set['o'] && !set['q'] {
		return unsure
	}
	found := failure
	for _, line := range lines(text) {
		if re.MatchString(line) != set['v'] {
			found = success
			if !set['q'] {
				c.print(line + "\n")
			}
		}
	}
	return found
}

func cut(c *call) status {
	_, values, rest, ok := options(c.args, "s", "df", nil)
	if !ok || len(rest) > 0 || len(values['f']) != 1 || !known(c.in.text) || !known(c.args...) {
		return unsure
	}
	n, err := strconv.Atoi(values['f'][0])
	if err != nil || n < 1 {
		return unsure
	}
	sep := "\t"
	if len(values['d']) > 0 {
		sep = values['d'][0]
	}
	if sep == "" {
		return unsure
	}
	for _, line := range lines(c.in.text) {
		parts := strings.Split(line, sep)
		switch {
		case len(parts) == 1:
			c.print(line + "\n")
		case n <= len(parts):
			c.print(parts[n-1] + "\n")
		default:
			c.print("\n")
		}
	}
	return success
}

// tr knows one character for another, and -d of digits' complement.
func tr(c *call) status {
	if !known(c.in.text) || !known(c.args...) {
		return unsure
	}
	escapes := strings.NewReplacer(`\n`, "\n", `\t`, "\t", `\0`, "\x00", `\000`, "\x00")
	switch {
	case len(c.args) == 2 && c.args[0] == "A-Z" && c.args[1] == "a-z", len(c.args) == 2 && c.args[0] == "[:upper:]" && c.args[1] == "[:lower:]":
		c.print(strings.ToLower(c.in.text))
	case len(c.args) == 2 && !strings.HasPrefix(c.args[0], "-"):
		from, to := escapes.Replace(c.args[0]), escapes.Replace(c.args[1])
		if len(from) != 1 || len(to) != 1 {
			return unsure
		}
		c.print(strings.ReplaceAll(c.in.text, from, to))
	case len(c.args) == 2 && c.args[0] == "-d":
		from := escapes.Replace(c.args[1])
		if len(from) != 1 {
			return unsure
		}
		c.print(strings.ReplaceAll(c.in.text, from, ""))
	default:
		return unsure
	}
	return success
}

// dpkg knows the questions that scripts ask; all else of it is for running
// systems.
func dpkg(c *call) status {
	if len(c.args) == 0 || !known(c.args...) {
		return unsure
	}
	switch c.args[0] {
	case "--compare-versions":
		if len(c.args) != 4 {
			return unsure
		}
		return compareVersions(c.args[1], c.args[2], c.args[3])
	case "-L", "--listfiles":
		found := success
		for _, name := range c.args[1:] {
			p := c.r.installed(name)
			if p == nil {
				found = failure
				continue
			}
			c.print("/.\n" + strings.Join(p.paths, "\n") + "\n")
		}
		return found
	case "-s", "--status", "-l":
		for _, name := range c.args[1:] {
			if c.r.installed(name) == nil {
				return failure
			}
		}
		return unsure
	case "--print-architecture":
		c.print(c.r.arch() + "\n")
		return success
	}
	return unsure
}

func dpkgQuery(c *call) status {
	if !known(c.args...) {
		return unsure
	}
	for _, name := range c.args {
		if !strings.HasPrefix(name, "-") && !strings.ContainsAny(name, "*?[") && c.r.installed(name) == nil {
			return failure
		}
	}
	return unsure
}

// installed is a package of the set by its name, with or without architecture.
func (r *root) installed(name string) *pkg {
	name, _, _ = strings.Cut(name, ":")
	return r.byName[name]
}

// arch is the architecture of the set.
func (r *root) arch() string {
	for _, p := range r.pkgs {
		if p.meta.Architecture != "all" {
			return p.meta.Architecture
		}
	}
	return "all"
}

// compareVersions is dpkg --compare-versions. An empty version, which is what
// a script gets for the one that was there before, is before all others, or
// behind them for the operators that end in -nl.
func compareVersions(a, op, b string) status {
	names := map[string]string{"lt": "<<", "le": "<=", "eq": "=", "ge": ">=", "gt": ">>", "<<": "<<", "<=": "<=", "=": "=", ">=": ">=", ">>": ">>"}
	plain, late := strings.CutSuffix(op, "-nl")
	word, ok := names[plain]
	if !ok {
		return unsure
	}
	order := 0
	switch {
	case a == "" && b == "":
	case a == "":
		order = -1
	case b == "":
		order = 1
	default:
		order = control.Version(a).Compare(control.Version(b))
		late = false
	}
	if late {
		order = -order
	}
	switch word {
	case "<<":
		return when(order < 0)
	case "<=":
		return when(order <= 0)
	case "=":
		return when(order == 0)
	case ">=":
		return when(order >= 0)
	}
	return when(order > 0)
}
