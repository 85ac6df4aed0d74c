// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package script

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// filter is a program that gives nothing where it gets nothing.
func filter(c *Call) Status {
	for _, a := range c.Args {
		if strings.Contains(a, "BEGIN") || strings.Contains(a, "END") || c.has(c.Path(a)) {
			return Unsure
		}
	}
	if c.in.text != "" {
		return Unsure
	}
	return Success
}

// xargs runs what follows once for all that it reads, or not at all.
func xargs(c *Call) Status {
	args := c.Args
	for len(args) > 0 && strings.HasPrefix(args[0], "-") {
		if args[0] != "-r" && args[0] != "--no-run-if-empty" && args[0] != "-0" {
			return c.sedUnsure(true)
		}
		args = args[1:]
	}
	if c.in.text == "" {
		return Success
	}
	if len(args) == 0 || !c.step() {
		return Unsure
	}
	sub := c.child()
	sub.run(append(slices.Clone(args), strings.Fields(strings.ReplaceAll(c.in.text, "\x00", " "))...))
	return sub.last
}

// seq counts, for loops.
func seq(c *Call) Status {
	n := []int{1, 1, 0}
	for i, a := range c.Args {
		v, err := strconv.Atoi(a)
		if err != nil || len(c.Args) > 3 {
			return Unsure
		}
		switch {
		case i == len(c.Args)-1:
			n[2] = v
		default:
			n[i] = v
		}
	}
	if n[1] == 0 || (n[2]-n[0])/n[1] > 1000 {
		return Unsure
	}
	for i := n[0]; n[1] > 0 && i <= n[2] || n[1] < 0 && i >= n[2]; i += n[1] {
		c.Print(strconv.Itoa(i) + "\n")
	}
	return Success
}

func grep(c *Call) Status {
	set, values, rest, ok := Options(c.Args, "EFqswxvioeh", "e", map[string]string{"quiet": "q", "silent": "q"})
	if !ok || !Known(c.Args...) {
		return Unsure
	}
	patterns := values['e']
	if len(patterns) == 0 {
		if len(rest) == 0 {
			return Failure
		}
		patterns, rest = rest[:1], rest[1:]
	}
	text := c.in.text
	for i, p := range rest {
		if i == 0 {
			text = ""
		}
		if !c.has(c.Path(p)) {
			continue
		}
		text += c.Content(p)
	}
	if !Known(text) {
		return Unsure
	}
	var alternatives []string
	for _, p := range patterns {
		switch {
		case set['F'] || c.Name == "fgrep":
			p = regexp.QuoteMeta(p)
		case !set['E'] && c.Name != "egrep":
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
	if err != nil || !c.Spend(searchCost*len(text)) || set['o'] && !set['q'] {
		return Unsure
	}
	found := Failure
	for _, line := range lines(text) {
		if re.MatchString(line) != set['v'] {
			found = Success
			if !set['q'] {
				c.Print(line + "\n")
			}
		}
	}
	return found
}

// searchCost is how much dearer than to copy it is to search a text.
const searchCost = 8

func cut(c *Call) Status {
	_, values, rest, ok := Options(c.Args, "s", "df", nil)
	if !ok || len(rest) > 0 || len(values['f']) != 1 || !Known(c.in.text) || !Known(c.Args...) {
		return Unsure
	}
	n, err := strconv.Atoi(values['f'][0])
	if err != nil || n < 1 {
		return Unsure
	}
	sep := "\t"
	if len(values['d']) > 0 {
		sep = values['d'][0]
	}
	if sep == "" {
		return Unsure
	}
	if !c.Spend(len(c.in.text)) {
		return Unsure
	}
	for _, line := range lines(c.in.text) {
		parts := strings.Split(line, sep)
		switch {
		case len(parts) == 1:
			c.Print(line + "\n")
		case n <= len(parts):
			c.Print(parts[n-1] + "\n")
		default:
			c.Print("\n")
		}
	}
	return Success
}

// tr knows one character for another, and -d of digits' complement.
func tr(c *Call) Status {
	if !c.Spend(len(c.in.text)) || !Known(c.in.text) || !Known(c.Args...) {
		return Unsure
	}
	escapes := strings.NewReplacer(`\n`, "\n", `\t`, "\t", `\0`, "\x00", `\000`, "\x00")
	switch {
	case len(c.Args) == 2 && c.Args[0] == "A-Z" && c.Args[1] == "a-z", len(c.Args) == 2 && c.Args[0] == "[:upper:]" && c.Args[1] == "[:lower:]":
		c.Print(strings.ToLower(c.in.text))
	case len(c.Args) == 2 && !strings.HasPrefix(c.Args[0], "-"):
		from, to := escapes.Replace(c.Args[0]), escapes.Replace(c.Args[1])
		if len(from) != 1 || len(to) != 1 {
			return Unsure
		}
		c.Print(strings.ReplaceAll(c.in.text, from, to))
	case len(c.Args) == 2 && c.Args[0] == "-d":
		from := escapes.Replace(c.Args[1])
		if len(from) != 1 {
			return Unsure
		}
		c.Print(strings.ReplaceAll(c.in.text, from, ""))
	default:
		return Unsure
	}
	return Success
}

// find looks for files. It is known where there is nothing to look for, or
// where it tidies up empty folders of other versions; where it does something
// with what it finds, it is left.
func find(c *Call) Status {
	acts, empty, start := false, false, true
	found := false
	for _, a := range c.Args {
		if strings.HasPrefix(a, "-") || a == "(" || a == "!" {
			start = false
		}
		switch a {
		case "-exec", "-execdir", "-delete", "-ok":
			acts = true
		case "-empty":
			empty = true
		}
		if start && (!Known(a) || c.has(c.Path(a))) {
			found = true
		}
	}
	switch {
	case !found || empty && acts:
		return Success
	case acts:
		c.Leave(strings.Join(append([]string{"find"}, c.Args...), " "))
	}
	return Unsure
}
