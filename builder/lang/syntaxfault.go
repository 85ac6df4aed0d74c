// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package lang

import (
	"fmt"
	"strings"

	"go.starlark.net/syntax"

	"osbuild/builder/derivation"
)

// The parser says at which token it gave up: its place is where that token
// ends, and a bracket that nobody closed is not where it gave up at all. So
// the text is looked through once more, up to there.

// token is a piece of a text that is no space and no comment.
type token struct {
	text      string
	line, col int // where it begins, columns in letters
	end       int // the byte behind it
}

func (t token) place() string { return fmt.Sprintf("%d:%d", t.line, t.col) }

// explainSyntax words a fault that the parser found in a text.
func explainSyntax(fault syntax.Error, src string) *Error {
	e := &Error{Pos: position(fault.Pos), Msg: "cannot read the file: " + fault.Msg}
	got, want, ok := strings.Cut(strings.TrimPrefix(fault.Msg, "got "), ", want ")
	if !ok || !strings.HasPrefix(fault.Msg, "got ") {
		return e
	}
	at := offset(src, fault.Pos)
	if want == "primary expression" && got != "end of file" {
		// Here the place is that of the token.
		return e
	}
	if got == "newline" && strings.HasSuffix(src[:at], "\n") {
		// A line ends at its own end, not at the beginning of the next one.
		line := src[strings.LastIndexByte(src[:at-1], '\n')+1 : at-1]
		e.Pos.Line, e.Pos.Col = e.Pos.Line-1, len([]rune(line))+1
	}
	open, last := scanTokens(src, at)
	if last.end == at && last.text != "" && got != "newline" && got != "end of file" {
		e.Pos = derivation.Position{File: e.Pos.File, Line: last.line, Col: last.col}
		if _, closes := closing[last.text]; closes || isOpening(last.text) {
			open = openBefore(src, last)
		}
	}
	if len(open) == 0 {
		return e
	}
	inner := open[len(open)-1]
	closer := string(closerOf[inner.text[0]])
	switch {
	case got == "end of file":
		e.Pos = derivation.Position{File: e.Pos.File, Line: inner.line, Col: inner.col}
		e.Msg = fmt.Sprintf("cannot read the file: this '%s' is never closed", inner.text)
	case got == "')'" || got == "']'" || got == "'}'":
		if want == "'"+closer+"'" || want == "','" {
			e.Msg = fmt.Sprintf("cannot read the file: got %s, want '%s' for the '%s' at %s", got, closer, inner.text, inner.place())
		}
	case want == "','" || want == "'"+closer+"'":
		e.Msg = fmt.Sprintf("cannot read the file: got %s, want ',', or '%s' for the '%s' at %s", got, closer, inner.text, inner.place())
	}
	return e
}

var (
	closerOf = map[byte]byte{'(': ')', '[': ']', '{': '}'}
	closing  = map[string]string{")": "(", "]": "[", "}": "{"}
)

func isOpening(text string) bool { return len(text) == 1 && closerOf[text[0]] != 0 }

// openBefore gives the brackets that are open in front of a token.
func openBefore(src string, t token) []token {
	open, _ := scanTokens(src, t.end-len(t.text))
	return open
}

// offset gives the byte of a place, at most the length of the text.
func offset(src string, p syntax.Position) int {
	at := 0
	for line := int32(1); line < p.Line; line++ {
		i := strings.IndexByte(src[at:], '\n')
		if i < 0 {
			return len(src)
		}
		at += i + 1
	}
	col := int32(1)
	for i := range src[at:] {
		if col == p.Col {
			return at + i
		}
		col++
	}
	return len(src)
}

// scanTokens looks through a text up to a byte: the brackets that are open
// there, and the last token that ends there or before.
func scanTokens(src string, end int) (open []token, last token) {
	line, start := 1, 0 // start is the byte at which the line begins
	for i := 0; i < end; {
		c := src[i]
		n := tokenLength(src[i:])
		switch {
		case c == '\n':
			line, start = line+1, i+1
		case c == '#', c == ' ', c == '\t', c == '\r', c == '\\':
		default:
			if i+n > end {
				return open, last
			}
			t := token{text: src[i : i+n], line: line, col: len([]rune(src[start:i])) + 1, end: i + n}
			last = t
			switch {
			case isOpening(t.text):
				open = append(open, t)
			case len(open) > 0 && closing[t.text] == open[len(open)-1].text:
				open = open[:len(open)-1]
			}
			if breaks := strings.Count(t.text, "\n"); breaks > 0 {
				line, start = line+breaks, i+strings.LastIndexByte(t.text, '\n')+1
			}
		}
		i += n
	}
	return open, last
}

// tokenLength is how long the token is with which a text begins: a word or
// number, a string, a comment, or one sign.
func tokenLength(s string) int {
	if n := stringLength(s); n > 0 {
		return n
	}
	if s[0] == '#' {
		if i := strings.IndexByte(s, '\n'); i >= 0 {
			return i
		}
		return len(s)
	}
	n := 0
	for n < len(s) && (isWord(s[n]) || s[n] == '.' && '0' <= s[0] && s[0] <= '9') {
		n++
	}
	if n > 0 {
		return n
	}
	for _, sign := range []string{"//=", "<<=", ">>=", "**", "//", "<<", ">>", "==", "!=", "<=", ">=", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^="} {
		if strings.HasPrefix(s, sign) {
			return len(sign)
		}
	}
	return 1
}

func isWord(c byte) bool {
	return c == '_' || c >= 0x80 || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// stringLength is how long the string is with which a text begins, or 0.
func stringLength(s string) int {
	quotes := strings.TrimLeft(s[:min(2, len(s))], "rb")
	lead := min(2, len(s)) - len(quotes)
	if lead == len(s) || s[lead] != '"' && s[lead] != '\'' {
		return 0
	}
	quote := s[lead : lead+1]
	if strings.HasPrefix(s[lead:], strings.Repeat(quote, 3)) {
		quote = strings.Repeat(quote, 3)
	}
	for i := lead + len(quote); i < len(s); i++ {
		switch {
		case s[i] == '\\':
			i++
		case strings.HasPrefix(s[i:], quote):
			return i + len(quote)
		case s[i] == '\n' && len(quote) == 1:
			return i
		}
	}
	return len(s)
}
