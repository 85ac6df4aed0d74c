// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package control

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// wanted are the fields of an index that a Package keeps.
type wanted int

const (
	fieldPackage wanted = iota
	fieldVersion
	fieldArchitecture
	fieldSource
	fieldSection
	fieldPriority
	fieldMultiArch
	fieldEssential
	fieldPreDepends
	fieldDepends
	fieldConflicts
	fieldBreaks
	fieldReplaces
	fieldProvides
	fieldFilename
	fieldSize
	fieldInstalledSize
	fieldSHA256
	fieldCount
	ignored = -1
)

var wantedNames = [fieldCount]string{
	"Package", "Version", "Architecture", "Source", "Section", "Priority", "Multi-Arch", "Essential",
	"Pre-Depends", "Depends", "Conflicts", "Breaks", "Replaces", "Provides",
	"Filename", "Size", "Installed-Size", "SHA256",
}

// ReadPackages calls add for each package of an index. suite is put into each
// of them. A record that lacks what is needed to fetch and verify its file,
// or that names a file outside the archive, is an error: the index is signed,
// so something larger is wrong.
func ReadPackages(r io.Reader, suite string, add func(*Package) error) error {
	p := indexReader{in: newLines(r), suite: suite, known: map[string]wanted{}, words: map[string]string{}}
	for i, name := range wantedNames {
		p.known[name] = wanted(i)
	}
	for {
		line, err := p.in.next()
		if err != nil && err != io.EOF {
			return err
		}
		if err == io.EOF || blank(line) {
			if p.start > 0 {
				start := p.start
				pkg, bad := p.finish()
				if bad != nil {
					return fmt.Errorf("line %d: %w", start, bad)
				}
				if bad := add(pkg); bad != nil {
					return bad
				}
			}
			if err == io.EOF {
				return nil
			}
			continue
		}
		if err := p.take(line); err != nil {
			return err
		}
	}
}

// indexReader gathers the wanted fields of one stanza in one buffer, which
// becomes one string: an index has tens of thousands of stanzas, and two
// allocations for each are what makes it fast to read.
type indexReader struct {
	in    *lines
	suite string
	known map[string]wanted // by every spelling that was met
	words map[string]string // one copy of each architecture, section…
	pool  []Package

	start  int // line of the stanza that is open, 0: none
	buf    []byte
	begin  [fieldCount]int // in buf
	end    [fieldCount]int // 0: absent
	last   wanted
	fields int
}

func (p *indexReader) take(line []byte) error {
	if line[0] == ' ' || line[0] == '\t' {
		if p.start == 0 {
			return p.in.errorf("a stanza begins with a line that continues a field")
		}
		if p.last != ignored {
			p.buf = append(p.buf, bytes.TrimRight(line, " \t\r")...)
			p.end[p.last] = len(p.buf)
			if len(p.buf) > maxStanza {
				return p.in.errorf("a stanza is longer than %d bytes", maxStanza)
			}
		}
		return nil
	}
	if line[0] == '#' {
		return nil
	}
	colon := bytes.IndexByte(line, ':')
	if colon <= 0 {
		_, _, err := splitField(line)
		return p.in.errorf("%v", err)
	}
	if p.start == 0 {
		p.start = p.in.line
	}
	if p.fields++; p.fields > maxFields {
		return p.in.errorf("a stanza has more than %d fields", maxFields)
	}
	field, met := p.known[string(line[:colon])]
	if !met {
		var err error
		if field, err = p.meet(line); err != nil {
			return p.in.errorf("%v", err)
		}
	}
	if p.last = field; field == ignored {
		return nil
	}
	if p.end[field] > 0 {
		return p.in.errorf("the field %s stands twice in a stanza", wantedNames[field])
	}
	p.begin[field] = len(p.buf)
	p.buf = append(p.buf, bytes.Trim(line[colon+1:], " \t\r")...)
	if p.end[field] = len(p.buf); p.begin[field] == p.end[field] {
		// An end of 0 says absent; an empty field is nearly that.
		p.buf = append(p.buf, ' ')
		p.begin[field], p.end[field] = len(p.buf), len(p.buf)
	}
	return nil
}

// meet decides about a field name that was not seen in this index before.
func (p *indexReader) meet(line []byte) (wanted, error) {
	name, _, err := splitField(line)
	if err != nil {
		return ignored, err
	}
	field := wanted(ignored)
	for i, w := range wantedNames {
		if strings.EqualFold(w, string(name)) {
			field = wanted(i)
		}
	}
	if len(p.known) < 4*maxFields { // else somebody plays with us
		p.known[string(name)] = field
	}
	return field, nil
}

// finish makes the package of the open stanza and closes it.
func (p *indexReader) finish() (*Package, error) {
	text := string(p.buf)
	get := func(f wanted) string { return text[p.begin[f]:p.end[f]] }
	word := func(f wanted) string {
		b := p.buf[p.begin[f]:p.end[f]]
		w, ok := p.words[string(b)]
		if !ok {
			w = string(b)
			p.words[w] = w
		}
		return w
	}
	if len(p.pool) == 0 {
		p.pool = make([]Package, 256)
	}
	pkg := &p.pool[0]
	p.pool = p.pool[1:]
	*pkg = Package{
		Name: get(fieldPackage), Version: Version(get(fieldVersion)), Arch: word(fieldArchitecture),
		Source: get(fieldSource), Section: word(fieldSection), Priority: word(fieldPriority),
		MultiArch: word(fieldMultiArch), Essential: get(fieldEssential) == "yes",
		PreDepends: Relations(get(fieldPreDepends)), Depends: Relations(get(fieldDepends)),
		Conflicts: Relations(get(fieldConflicts)), Breaks: Relations(get(fieldBreaks)),
		Replaces: Relations(get(fieldReplaces)), Provides: Relations(get(fieldProvides)),
		Filename: strings.TrimPrefix(get(fieldFilename), "./"), SHA256: get(fieldSHA256), Suite: p.suite,
	}
	err := pkg.check(get(fieldSize), get(fieldInstalledSize))
	p.start, p.fields, p.buf = 0, 0, p.buf[:0]
	clear(p.begin[:])
	clear(p.end[:])
	return pkg, err
}

// check says what is wrong with a record, and reads its numbers.
func (p *Package) check(size, installed string) error {
	if err := CheckName(p.Name); err != nil {
		return err
	}
	if _, err := ParseVersion(string(p.Version)); err != nil {
		return fmt.Errorf("package %s: %w", p.Name, err)
	}
	if CheckName(p.Arch) != nil {
		return fmt.Errorf("package %s: %q is not an architecture", p.Name, p.Arch)
	}
	if !CleanPath(p.Filename) {
		return fmt.Errorf("package %s: Filename %q is not a clean path below the archive", p.Name, p.Filename)
	}
	if !IsSHA256(p.SHA256) {
		return fmt.Errorf("package %s: SHA256 %q is not a SHA-256 sum, so its file cannot be verified", p.Name, p.SHA256)
	}
	var err error
	if p.Size, err = strconv.ParseInt(size, 10, 64); err != nil || p.Size <= 0 {
		return fmt.Errorf("package %s: Size %q is not a size", p.Name, size)
	}
	if installed == "" {
		return nil
	}
	if p.InstalledSize, err = strconv.ParseInt(installed, 10, 64); err != nil || p.InstalledSize < 0 {
		return fmt.Errorf("package %s: Installed-Size %q is not a size", p.Name, installed)
	}
	return nil
}

// Classes of bytes: a table, since each byte of an index's paths and sums is
// looked at.
const (
	inPath = 1 << iota
	inSum
)

var classes = func() (t [256]uint8) {
	for c := byte('!'); c < 0x7f; c++ {
		if c != '\\' && c != '?' && c != '#' {
			t[c] |= inPath
		}
		if digit(c) || 'a' <= c && c <= 'f' {
			t[c] |= inSum
		}
	}
	return t
}()

// all says whether every byte of s is of a class.
func all(s string, class uint8) bool {
	is := class
	for i := range len(s) {
		is &= classes[s[i]]
	}
	return is != 0
}

// IsSHA256 says whether s is a SHA-256 sum in lower-case hexadecimal.
func IsSHA256(s string) bool { return len(s) == 64 && all(s, inSum) }

// CleanPath says whether name leads to a file below the folder it is relative
// to, with nothing in it that a URL or a message would have to quote.
func CleanPath(name string) bool {
	if name == "" || !all(name, inPath) {
		return false
	}
	for begin := 0; begin <= len(name); {
		end := strings.IndexByte(name[begin:], '/')
		if end < 0 {
			end = len(name) - begin
		}
		switch name[begin : begin+end] {
		case "", ".", "..":
			return false
		}
		begin += end + 1
	}
	return true
}
