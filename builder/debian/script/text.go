// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package script

import (
	"regexp"
	"regexp/syntax"
	"strings"
)

// compile makes a regular expression; those of scripts are small. Repetitions
// multiply, and what an expression costs for each byte of a text with them.
func compile(expr string) (*regexp.Regexp, error) {
	if len(expr) > 1000 {
		return nil, errTooLong
	}
	tree, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return nil, err
	}
	if expressionSize(tree) > maxExpression {
		return nil, errTooLong
	}
	return regexp.Compile(expr)
}

const maxExpression = 2000

// expressionSize is about the number of steps of a regular expression.
func expressionSize(e *syntax.Regexp) int {
	n := 1 + len(e.Rune)
	for _, sub := range e.Sub {
		n += expressionSize(sub)
	}
	if e.Op == syntax.OpRepeat {
		n *= max(e.Min, e.Max, 1)
	}
	return n
}

// basic turns a basic regular expression (regex(7)) into one as Go has them.
func basic(expr string) string {
	var b strings.Builder
	for i := 0; i < len(expr); i++ {
		c := expr[i]
		switch {
		case c == '\\' && i+1 < len(expr):
			i++
			switch d := expr[i]; d {
			case '(', ')', '{', '}', '|', '+', '?':
				b.WriteByte(d)
			case '/', '-', '_', '\'', '"', '@', '#', '%', ',', ':', '=', '!', ' ', '~', '&':
				b.WriteString(regexp.QuoteMeta(string(d)))
			default:
				b.WriteByte('\\')
				b.WriteByte(d)
			}
		case strings.IndexByte("(){}|+?", c) >= 0:
			b.WriteByte('\\')
			b.WriteByte(c)
		case c == '[':
			j := bracket(expr[i:])
			b.WriteString(strings.ReplaceAll(expr[i:i+j], `\`, `\\`))
			i += j - 1
		case c == '*' && (i == 0 || i == 1 && expr[0] == '^'):
			b.WriteString(`\*`)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// bracket is how long a bracket expression at the start of s is.
func bracket(s string) int {
	i := 1
	if i < len(s) && s[i] == '^' {
		i++
	}
	if i < len(s) && s[i] == ']' {
		i++
	}
	for i < len(s) && s[i] != ']' {
		if s[i] == '[' && i+1 < len(s) && s[i+1] == ':' {
			if j := strings.Index(s[i:], ":]"); j > 0 {
				i += j + 1
			}
		}
		i++
	}
	return min(i+1, len(s))
}

// Options splits the arguments of a command: letters of flags, values of
// those that take one, and the rest. An option that it does not know makes it
// say no. long maps long options to letters; "" ignores one.
func Options(args []string, flags, valued string, long map[string]string) (set map[byte]bool, values map[byte][]string, rest []string, ok bool) {
	set, values = map[byte]bool{}, map[byte][]string{}
	for i := 0; i < len(args); i++ {
		a := args[i]
		switch {
		case a == "--":
			return set, values, append(rest, args[i+1:]...), true
		case strings.HasPrefix(a, "--"):
			name, value, has := strings.Cut(a[2:], "=")
			letter, there := long[name]
			switch {
			case !there:
				return nil, nil, nil, false
			case letter == "":
			case strings.Contains(valued, letter):
				if !has {
					if i++; i == len(args) {
						return nil, nil, nil, false
					}
					value = args[i]
				}
				values[letter[0]] = append(values[letter[0]], value)
			default:
				set[letter[0]] = true
			}
		case len(a) > 1 && a[0] == '-':
			for j := 1; j < len(a); j++ {
				switch {
				case strings.IndexByte(flags, a[j]) >= 0:
					set[a[j]] = true
				case strings.IndexByte(valued, a[j]) >= 0:
					value := a[j+1:]
					if value == "" {
						if i++; i == len(args) {
							return nil, nil, nil, false
						}
						value = args[i]
					}
					values[a[j]] = append(values[a[j]], value)
					j = len(a)
				default:
					return nil, nil, nil, false
				}
			}
		default:
			rest = append(rest, a)
		}
	}
	return set, values, rest, true
}

// lines are the lines of a text.
func lines(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
}
