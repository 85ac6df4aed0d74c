// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package script

import (
	"regexp"
	"strings"
)

// sedCommand is one s or d, with an optional address /expr/.
type sedCommand struct {
	address *regexp.Regexp
	delete  bool
	from    *regexp.Regexp
	to      string
	all     bool
}

// sed does substitutions and deletions, which is what scripts use it for.
func sed(c *Call) Status {
	if !Known(c.Args...) {
		return Unsure
	}
	set, values, rest, ok := Options(c.Args, "Eri", "e", nil)
	if !ok {
		return Unsure
	}
	scripts := values['e']
	if len(scripts) == 0 {
		if len(rest) == 0 {
			return Failure
		}
		scripts, rest = rest[:1], rest[1:]
	}
	var program []sedCommand
	for _, s := range scripts {
		for _, one := range lines(s) {
			cmd, ok := parseSed(strings.TrimSpace(one), set['E'] || set['r'])
			if !ok {
				return c.sedUnsure(set['i'])
			}
			program = append(program, cmd)
		}
	}
	if set['i'] {
		return c.sedInPlace(program, rest)
	}
	text := c.in.text
	for i, p := range rest {
		if i == 0 {
			text = ""
		}
		if !c.has(c.Path(p)) {
			return Failure
		}
		text += c.Content(p)
	}
	if !Known(text) || !c.Spend(searchCost*len(program)*len(text)) {
		return Unsure
	}
	changed := runSed(program, text)
	if !Known(changed) {
		return Unsure
	}
	c.Print(changed)
	return Success
}

// sedUnsure leaves a change of a file that is not understood.
func (c *Call) sedUnsure(inPlace bool) Status {
	if inPlace {
		c.Leave(c.Name + " " + strings.Join(c.Args, " "))
	}
	return Unsure
}

func (c *Call) sedInPlace(program []sedCommand, files []string) Status {
	for _, p := range files {
		text := c.Content(p)
		if !Known(text) || c.maybe > 0 || !c.Spend(searchCost*len(program)*len(text)) {
			return c.sedUnsure(true)
		}
		changed := runSed(program, text)
		if !Known(changed) {
			return c.sedUnsure(true)
		}
		if err := c.world.Edit(c.Path(p), text, changed); err != nil {
			return c.sedUnsure(true)
		}
	}
	return Success
}

func parseSed(s string, extended bool) (sedCommand, bool) {
	var cmd sedCommand
	expr := func(e string) (*regexp.Regexp, bool) {
		if !extended {
			e = basic(e)
		}
		re, err := compile(e)
		return re, err == nil
	}
	if strings.HasPrefix(s, "/") {
		end := strings.Index(s[1:], "/")
		if end < 0 {
			return cmd, false
		}
		var ok bool
		if cmd.address, ok = expr(s[1 : 1+end]); !ok {
			return cmd, false
		}
		s = strings.TrimSpace(s[end+2:])
	}
	if s == "d" {
		cmd.delete = true
		return cmd, cmd.address != nil
	}
	if len(s) < 4 || s[0] != 's' {
		return cmd, false
	}
	parts := splitSed(s[2:], s[1])
	if len(parts) != 3 {
		return cmd, false
	}
	flags := parts[2]
	if strings.Trim(flags, "gI") != "" {
		return cmd, false
	}
	cmd.all = strings.Contains(flags, "g")
	from := parts[0]
	re, ok := expr(from)
	if ok && strings.Contains(flags, "I") {
		re, ok = expr(from)
		if ok {
			var err error
			re, err = compile("(?i:" + re.String() + ")")
			ok = err == nil
		}
	}
	cmd.from = re
	cmd.to = replacement(parts[1])
	return cmd, ok
}

// splitSed splits at a separator that no backslash protects.
func splitSed(s string, sep byte) []string {
	var parts []string
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s):
			if s[i+1] != sep {
				b.WriteByte('\\')
			}
			i++
			b.WriteByte(s[i])
		case s[i] == sep:
			parts = append(parts, b.String())
			b.Reset()
		default:
			b.WriteByte(s[i])
		}
	}
	return append(parts, b.String())
}

// replacement turns \1 and & into what Go has.
func replacement(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && i+1 < len(s):
			i++
			switch d := s[i]; {
			case '0' <= d && d <= '9':
				b.WriteString("${" + string(d) + "}")
			case d == 'n':
				b.WriteByte('\n')
			default:
				b.WriteByte(d)
			}
		case c == '&':
			b.WriteString("${0}")
		case c == '$':
			b.WriteString("$$")
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// runSed gives the changed text, or what is not known where it grows too much.
func runSed(program []sedCommand, text string) string {
	var out strings.Builder
	work := 0
next:
	for _, line := range lines(text) {
		for _, cmd := range program {
			if work += len(line); work > maxWork || len(line) > maxText {
				return Unknown
			}
			if cmd.address != nil && !cmd.address.MatchString(line) {
				continue
			}
			if cmd.delete {
				continue next
			}
			if cmd.all {
				line = cmd.from.ReplaceAllString(line, cmd.to)
			} else if at := cmd.from.FindStringSubmatchIndex(line); at != nil {
				line = line[:at[0]] + string(cmd.from.ExpandString(nil, cmd.to, line, at)) + line[at[1]:]
			}
		}
		if out.Len() > maxText {
			return Unknown
		}
		out.WriteString(line)
		out.WriteByte('\n')
	}
	return bounded(out.String())
}

const maxWork = 16 * maxText
