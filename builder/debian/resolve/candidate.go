// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"fmt"

	"osbuild/builder/debian/control"
	"osbuild/builder/debian/lock"
)

// candidate is a package that can be chosen, with its relations read. It
// comes from the index, from the lock, or from both: then its dependencies
// are those of the lock, and the index adds what it excludes.
type candidate struct {
	name    string
	version control.Version
	arch    string
	multi   string           // Multi-Arch
	pkg     *control.Package // nil where the index lacks it
	pin     *lock.Package    // nil where the lock does not keep it

	depends  []control.Dependency
	excludes []exclusion
	provides []control.Relation
}

// exclusion is what a package cannot be together with.
type exclusion struct {
	control.Relation
	word string // "conflicts with" or "breaks"
}

func (c *candidate) String() string { return c.name + " " + string(c.version) }

// fromIndex reads the relations of a record.
func fromIndex(p *control.Package) (*candidate, error) {
	c := &candidate{name: p.Name, version: p.Version, arch: p.Arch, multi: p.MultiArch, pkg: p}
	fail := func(field string, err error) (*candidate, error) {
		return nil, fmt.Errorf("cannot use the package %s %s: its field %s in the index is broken: %w", p.Name, p.Version, field, err)
	}
	pre, err := p.PreDepends.Parse()
	if err != nil {
		return fail("Pre-Depends", err)
	}
	deps, err := p.Depends.Parse()
	if err != nil {
		return fail("Depends", err)
	}
	c.depends = append(pre, deps...)
	for _, field := range []struct {
		name, word string
		value      control.Relations
	}{{"Conflicts", "conflicts with", p.Conflicts}, {"Breaks", "breaks", p.Breaks}} {
		rels, err := field.value.List()
		if err != nil {
			return fail(field.name, err)
		}
		for _, r := range rels {
			c.excludes = append(c.excludes, exclusion{r, field.word})
		}
	}
	if c.provides, err = p.Provides.List(); err != nil {
		return fail("Provides", err)
	}
	return c, nil
}

// fromLock makes a candidate of a locked package. same is the record of the
// very same file, nil where the index lacks it.
func fromLock(pin *lock.Package, same *control.Package) (*candidate, error) {
	c := &candidate{name: pin.Name, version: control.Version(pin.Version), arch: pin.Arch}
	if same != nil {
		var err error
		if c, err = fromIndex(same); err != nil {
			return nil, err
		}
	} else {
		// The lock does not say what relations with a qualifier need to know;
		// it holds only what satisfied them once.
		c.multi = "allowed"
		for _, s := range pin.Provides {
			r, err := control.ParseRelation(s)
			if err != nil {
				return nil, fmt.Errorf("cannot use the locked package %s: %w", pin.Name, err)
			}
			c.provides = append(c.provides, r)
		}
	}
	c.pin = pin
	c.depends = make([]control.Dependency, len(pin.Deps))
	for i, name := range pin.Deps {
		c.depends[i] = control.Dependency{{Name: name}}
	}
	return c, nil
}

// is says whether the candidate itself, by its name, satisfies a relation.
func (c *candidate) is(r control.Relation, arch string) bool {
	if c.name != r.Name || !c.version.Satisfies(r.Op, r.Version) || foreign(r.Arch, arch) {
		return false
	}
	// A package that is not marked for it promises its interface to programs
	// of its own architecture only.
	return r.Arch != "any" || c.multi == "allowed" || c.multi == "foreign"
}

// provided says whether a name that is provided as version satisfies a
// relation.
func provided(version control.Version, r control.Relation, arch string) bool {
	if foreign(r.Arch, arch) {
		return false
	}
	return r.Op == "" || version != "" && version.Satisfies(r.Op, r.Version)
}

// meets says whether the candidate is, or provides, what a relation names.
func (c *candidate) meets(r control.Relation, arch string) bool {
	if c.is(r, arch) {
		return true
	}
	for _, p := range c.provides {
		if p.Name == r.Name && !foreign(p.Arch, arch) && provided(p.Version, r, arch) {
			return true
		}
	}
	return false
}
