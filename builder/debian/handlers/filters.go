// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package handlers

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

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
	if err != nil || !c.spend(searchCost*len(text)) || set['o'] && !set['q'] {
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

// searchCost is how much dearer than to copy it is to search a text.
const searchCost = 8

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
	if !c.spend(len(c.in.text)) {
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
	if !c.spend(len(c.in.text)) || !known(c.in.text) || !known(c.args...) {
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

// find looks for files. It is known where there is nothing to look for, or
// where it tidies up empty folders of other versions; where it does something
// with what it finds, it is left.
func find(c *call) status {
	acts, empty, start := false, false, true
	found := false
	for _, a := range c.args {
		if strings.HasPrefix(a, "-") || a == "(" || a == "!" {
			start = false
		}
		switch a {
		case "-exec", "-execdir", "-delete", "-ok":
			acts = true
		case "-empty":
			empty = true
		}
		if start && (!known(a) || c.r.has(c.path(a))) {
			found = true
		}
	}
	switch {
	case !found || empty && acts:
		return success
	case acts:
		c.leave(strings.Join(append([]string{"find"}, c.args...), " "))
	}
	return unsure
}
