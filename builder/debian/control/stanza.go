// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package control

import (
	"bytes"
	"fmt"
	"io"
	"strings"
)

// Field is one field of a stanza. Value has no blanks at its ends; further
// lines stand behind a newline with the blank that begins them, so that
// Name + ": " + Value is the field as it was written.
type Field struct {
	Name, Value string
}

// Stanza is a block of fields, in the order in which they were written.
type Stanza struct {
	Fields []Field
	Line   int // where it begins, from 1
}

// Lookup finds a field; names differ in more than case.
func (s Stanza) Lookup(name string) (string, bool) {
	for _, f := range s.Fields {
		if len(f.Name) == len(name) && strings.EqualFold(f.Name, name) {
			return f.Value, true
		}
	}
	return "", false
}

// Get is the value of a field, "" when there is none.
func (s Stanza) Get(name string) string {
	v, _ := s.Lookup(name)
	return v
}

// Lines are the lines of a field without the blank that begins each but the
// first. A line of a single dot stands for an empty one. A first line that is
// empty, as in lists of files, is left out.
func (s Stanza) Lines(name string) []string {
	v, ok := s.Lookup(name)
	if !ok || v == "" {
		return nil
	}
	lines := strings.Split(v, "\n")
	for i, l := range lines {
		if i > 0 {
			l = l[1:]
		}
		if l == "." {
			l = ""
		}
		lines[i] = l
	}
	if lines[0] == "" {
		lines = lines[1:]
	}
	return lines
}

// ReadStanzas calls f for each stanza of r. Lines that begin with # are
// comments. An error of f ends the reading and is returned as it is.
func ReadStanzas(r io.Reader, f func(Stanza) error) error {
	in := newLines(r)
	var s Stanza
	var value strings.Builder
	open, size := false, 0
	endField := func() {
		if open {
			s.Fields[len(s.Fields)-1].Value = value.String()
			value.Reset()
			open = false
		}
	}
	endStanza := func() error {
		endField()
		if len(s.Fields) == 0 {
			return nil
		}
		done := s
		s, size = Stanza{}, 0
		return f(done)
	}
	for {
		line, err := in.next()
		if err == io.EOF {
			return endStanza()
		}
		if err != nil {
			return err
		}
		if size += len(line) + 1; size > maxStanza {
			return in.errorf("a stanza is longer than %d bytes", maxStanza)
		}
		switch {
		case len(line) > 0 && line[0] == '#':
		case blank(line):
			if err := endStanza(); err != nil {
				return err
			}
		case line[0] == ' ' || line[0] == '\t':
			if !open {
				return in.errorf("a stanza begins with a line that continues a field")
			}
			value.WriteByte('\n')
			value.Write(bytes.TrimRight(line, " \t\r"))
		default:
			endField()
			name, rest, err := splitField(line)
			if err != nil {
				return in.errorf("%v", err)
			}
			if len(s.Fields) == 0 {
				s.Line = in.line
			}
			if _, twice := s.Lookup(string(name)); twice {
				return in.errorf("the field %s stands twice in a stanza", name)
			}
			if len(s.Fields) == maxFields {
				return in.errorf("a stanza has more than %d fields", maxFields)
			}
			s.Fields = append(s.Fields, Field{Name: string(name)})
			value.Write(rest)
			open = true
		}
	}
}

// ParseControl reads the control file of a package: exactly one stanza.
func ParseControl(data []byte) (Stanza, error) {
	var found []Stanza
	err := ReadStanzas(bytes.NewReader(data), func(s Stanza) error {
		found = append(found, s)
		return nil
	})
	if err != nil {
		return Stanza{}, err
	}
	if len(found) != 1 {
		return Stanza{}, fmt.Errorf("cannot read a control file: it has %d stanzas, not one", len(found))
	}
	return found[0], nil
}

// splitField splits "Name: value" and checks the name's characters.
func splitField(line []byte) (name, value []byte, err error) {
	i := bytes.IndexByte(line, ':')
	if i <= 0 {
		return nil, nil, fmt.Errorf("%.60q is not a field: a name and a colon are missing", line)
	}
	name = line[:i]
	if name[0] == '-' {
		return nil, nil, fmt.Errorf("the field name %.60q begins with a hyphen", name)
	}
	for _, c := range name {
		if c <= ' ' || c >= 0x7f {
			return nil, nil, fmt.Errorf("the field name %.60q has the character %q", name, c)
		}
	}
	return name, bytes.Trim(line[i+1:], " \t\r"), nil
}

func blank(line []byte) bool {
	for _, c := range line {
		if c != ' ' && c != '\t' && c != '\r' {
			return false
		}
	}
	return true
}
