// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package control

import (
	"fmt"
	"strings"
)

// Relation names packages: by name, and where it says so by architecture and
// version.
type Relation struct {
	Name string
	// Arch is the qualifier after a colon: "any", "native" or an
	// architecture; "" where there is none.
	Arch string
	// Op is "", "<<", "<=", "=", ">=" or ">>"; Version is "" when Op is.
	Op      string
	Version Version
}

func (r Relation) String() string {
	s := r.Name
	if r.Arch != "" {
		s += ":" + r.Arch
	}
	if r.Op != "" {
		s += " (" + r.Op + " " + string(r.Version) + ")"
	}
	return s
}

// Dependency is a list of alternatives, the preferred one first.
type Dependency []Relation

func (d Dependency) String() string {
	parts := make([]string, len(d))
	for i, r := range d {
		parts[i] = r.String()
	}
	return strings.Join(parts, " | ")
}

// Relations is the value of a field such as Depends, as written.
type Relations string

// Parse reads the dependencies of a field. Empty entries (a trailing comma)
// are left out, as dpkg does.
func (r Relations) Parse() ([]Dependency, error) {
	if r == "" {
		return nil, nil
	}
	s := string(r)
	deps := make([]Dependency, 0, strings.Count(s, ",")+1)
	for entry := range strings.SplitSeq(s, ",") {
		if entry = trim(entry); entry == "" {
			continue
		}
		dep := make(Dependency, 0, strings.Count(entry, "|")+1)
		for alt := range strings.SplitSeq(entry, "|") {
			rel, err := ParseRelation(alt)
			if err != nil {
				return nil, err
			}
			dep = append(dep, rel)
		}
		deps = append(deps, dep)
	}
	return deps, nil
}

// List reads a field that knows no alternatives, such as Provides.
func (r Relations) List() ([]Relation, error) {
	deps, err := r.Parse()
	if err != nil {
		return nil, err
	}
	rels := make([]Relation, len(deps))
	for i, d := range deps {
		if len(d) != 1 {
			return nil, fmt.Errorf("cannot read the relation %q: it has alternatives where none can be", d)
		}
		rels[i] = d[0]
	}
	return rels, nil
}

// ParseRelation reads one relation: "name", "name:any", "name (>= 1.2)".
func ParseRelation(s string) (Relation, error) {
	whole := trim(s)
	rel := Relation{Name: whole}
	bad := func(why string) (Relation, error) {
		return Relation{}, fmt.Errorf("cannot read the relation %q: %s", whole, why)
	}
	if i := strings.IndexByte(whole, '('); i >= 0 {
		constraint, closed := strings.CutSuffix(whole[i+1:], ")")
		if !closed {
			return bad("it has text after the version or lacks a closing parenthesis")
		}
		rel.Name, constraint = trim(whole[:i]), trim(constraint)
		n := 0
		for n < len(constraint) && strings.IndexByte("<>=", constraint[n]) >= 0 {
			n++
		}
		switch op := constraint[:n]; op {
		case "<<", "<=", "=", ">=", ">>":
			rel.Op = op
		case "<":
			rel.Op = "<=" // what dpkg makes of the old spelling
		case ">":
			rel.Op = ">="
		default:
			return bad("its operator is not one of << <= = >= >>")
		}
		var err error
		if rel.Version, err = ParseVersion(trim(constraint[n:])); err != nil {
			return bad(err.Error())
		}
	}
	if name, arch, found := strings.Cut(rel.Name, ":"); found {
		rel.Name, rel.Arch = name, arch
		if CheckName(arch) != nil {
			return bad("what follows the colon is not an architecture")
		}
	}
	if err := CheckName(rel.Name); err != nil {
		return bad(err.Error())
	}
	return rel, nil
}

func trim(s string) string { return strings.Trim(s, " \t\n\r") }
