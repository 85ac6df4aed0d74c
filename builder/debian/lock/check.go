// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package lock

import (
	"bytes"
	"errors"
	"fmt"

	"osbuild/builder/debian/control"
)

// entryError is an error about one entry of a list, which has a line.
type entryError struct {
	list  string
	index int
	err   error
}

func (e *entryError) Error() string { return e.err.Error() }
func (e *entryError) Unwrap() error { return e.err }

// check says what is wrong with a lock whose lists should be sorted.
func (l *Lock) check() error {
	if l.Version != Version {
		return fmt.Errorf("it has the version %d, and this osbuild writes version %d", l.Version, Version)
	}
	if control.CheckName(l.Arch) != nil {
		return fmt.Errorf("%q is not an architecture", l.Arch)
	}
	switch l.Essential {
	case EssentialNone, EssentialMinimal, EssentialFull:
	default:
		return fmt.Errorf("essential is %q, not none, minimal or full", l.Essential)
	}
	if l.Suite != "" && !isWord(l.Suite) {
		return fmt.Errorf("%q is not the name of a suite", l.Suite)
	}
	last := ""
	for i, s := range l.Suites {
		if err := s.check(last); err != nil {
			return &entryError{"suites", i, err}
		}
		last = s.Name
	}
	names := make(map[string]bool, len(l.Packages))
	last = ""
	for i, p := range l.Packages {
		if err := p.check(last); err != nil {
			return &entryError{"packages", i, err}
		}
		names[p.Name] = true
		last = p.Name
	}
	for i, p := range l.Packages {
		if err := sortedNames(p.Deps, names); err != nil {
			return &entryError{"packages", i, fmt.Errorf("deps of %s: %w", p.Name, err)}
		}
	}
	for i := range l.Roots {
		if err := sortedNames(l.Roots[:i+1], names); err != nil {
			return &entryError{"roots", i, err}
		}
	}
	return nil
}

func (s Suite) check(last string) error {
	if !isWord(s.Name) {
		return fmt.Errorf("%q is not the name of a suite", s.Name)
	}
	if s.Name <= last {
		return fmt.Errorf("the suite %s stands after %s", s.Name, last)
	}
	if !control.IsSHA256(s.InReleaseSHA256) {
		return fmt.Errorf("suite %s: %q is not a SHA-256 sum", s.Name, s.InReleaseSHA256)
	}
	return nil
}

func (p *Package) check(last string) error {
	if err := control.CheckName(p.Name); err != nil {
		return err
	}
	if p.Name <= last {
		return fmt.Errorf("the package %s stands after %s", p.Name, last)
	}
	if _, err := control.ParseVersion(p.Version); err != nil {
		return fmt.Errorf("package %s: %w", p.Name, err)
	}
	switch {
	case control.CheckName(p.Arch) != nil:
		return fmt.Errorf("package %s: %q is not an architecture", p.Name, p.Arch)
	case !isWord(p.Suite):
		return fmt.Errorf("package %s: %q is not the name of a suite", p.Name, p.Suite)
	case !control.CleanPath(p.Path):
		return fmt.Errorf("package %s: %q is not a clean path below an archive", p.Name, p.Path)
	case !control.IsSHA256(p.SHA256):
		return fmt.Errorf("package %s: %q is not a SHA-256 sum", p.Name, p.SHA256)
	case p.Size <= 0 || p.InstalledSize < 0:
		return fmt.Errorf("package %s: it has no size", p.Name)
	}
	before := ""
	for _, s := range p.Provides {
		rel, err := control.ParseRelation(s)
		if err != nil {
			return fmt.Errorf("package %s: %w", p.Name, err)
		}
		if rel.String() != s || rel.Op != "" && rel.Op != "=" || s <= before {
			return fmt.Errorf("package %s: provides has %q in the wrong form or place", p.Name, s)
		}
		before = s
	}
	return nil
}

// sortedNames says what is wrong with a list of names of the lock.
func sortedNames(list []string, names map[string]bool) error {
	last := ""
	for _, name := range list {
		if name <= last {
			return fmt.Errorf("%q stands after %q", name, last)
		}
		if !names[name] {
			return fmt.Errorf("the lock has no package %q", name)
		}
		last = name
	}
	return nil
}

// isWord says whether s is printable, without blanks, and of bounded length.
func isWord(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return s != "" && len(s) <= 256
}

// place gives an error about an entry its line: that of the entry in the
// lock's one form, if the text has this form so far.
func (l *Lock) place(data []byte, err error) error {
	var e *entryError
	if !errors.As(err, &e) {
		return err
	}
	line := bytes.Index(data, []byte("\n  \""+e.list+"\": ["))
	if line < 0 {
		return err
	}
	return &LineError{Line: bytes.Count(data[:line+1], []byte("\n")) + 2 + e.index, Err: err}
}
