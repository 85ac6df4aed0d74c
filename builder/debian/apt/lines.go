// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package apt

import (
	"errors"
	"fmt"
	"strings"
)

// parseLines reads a file of one-line sources:
//
//	deb [ option=value option=value ] URI suite component component
func parseLines(file string, data []byte) ([]entry, error) {
	var entries []entry
	for i, line := range strings.Split(string(data), "\n") {
		e, ok, err := parseLine(line)
		e.where = fmt.Sprintf("%s:%d", file, i+1)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", e.where, err)
		}
		if !ok {
			continue
		}
		if err := e.check(); err != nil {
			return nil, err
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// parseLine reads one line; ok is false where it names no source of packages.
func parseLine(line string) (e entry, ok bool, err error) {
	words, err := splitLine(line)
	if err != nil || len(words) == 0 {
		return e, false, err
	}
	switch words[0] {
	case "deb":
	case "deb-src":
		return e, false, nil
	default:
		return e, false, fmt.Errorf("the type %q is neither deb nor deb-src", words[0])
	}
	words = words[1:]
	if len(words) > 0 && strings.HasPrefix(words[0], "[") {
		if words, err = e.options.setLine(words); err != nil {
			return e, false, err
		}
	}
	if len(words) > 0 {
		e.uris = words[:1]
	}
	if len(words) > 1 {
		e.suites = words[1:2]
		e.components = words[2:]
	}
	return e, true, nil
}

// setLine reads the options in brackets at the begin of words and returns the
// words behind them.
func (o *options) setLine(words []string) ([]string, error) {
	words[0] = words[0][1:]
	for i, w := range words {
		w, last := strings.CutSuffix(w, "]")
		if w != "" {
			name, value, found := strings.Cut(w, "=")
			if !found {
				return nil, fmt.Errorf("the option %q has no value", w)
			}
			if err := o.set(strings.ToLower(name), value); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
		}
		if last {
			return words[i+1:], nil
		}
	}
	return nil, errors.New("the options are not closed by a bracket")
}

// splitLine splits a line at blanks. Blanks within double quotes are part of
// a word, and what follows a # is a comment.
func splitLine(line string) ([]string, error) {
	var words []string
	var word strings.Builder
	inWord, quoted := false, false
	end := func() {
		if inWord {
			words = append(words, word.String())
			word.Reset()
			inWord = false
		}
	}
	for i := range len(line) {
		c := line[i]
		switch {
		case c == '"':
			quoted = !quoted
			inWord = true
		case quoted:
			word.WriteByte(c)
		case c == ' ' || c == '\t' || c == '\r':
			end()
		case c == '#':
			end()
			return words, nil
		default:
			word.WriteByte(c)
			inWord = true
		}
	}
	if quoted {
		return nil, errors.New("a quote is not closed")
	}
	end()
	return words, nil
}
