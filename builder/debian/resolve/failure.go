// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"fmt"
	"slices"
	"strings"

	"osbuild/builder/debian/control"
)

// failure ends an attempt.
type failure struct {
	err error
	// because are the decisions that cannot be together.
	because reasons
	// other is the chosen package that a conflict is with.
	other *node
	// pins are locked packages that stand in the way.
	pins []string
}

// path leads from a root to n.
func (n *node) path() []string {
	var names []string
	for ; n != nil; n = n.parent {
		names = append(names, n.name)
	}
	slices.Reverse(names)
	return names
}

// conflictOf is the failure of adding n to other.
func conflictOf(n, other *node, why string) *failure {
	var pins []string
	for _, m := range []*node{n, other} {
		if m.pin != nil {
			pins = append(pins, m.name)
		}
	}
	return &failure{
		err: &ConflictError{
			A: n.String(), B: other.String(), Why: why, PathA: n.path(), PathB: other.path(), Locked: pins,
		},
		other: other, pins: pins,
	}
}

// why says that by excludes against.
func (e exclusion) why(by, against *node) string {
	why := fmt.Sprintf("%s %s %s", by.name, e.word, e.Relation)
	if against.name != e.Name {
		why += ", which " + against.name + " provides"
	}
	return why
}

// unsatisfied is the failure of a need that nothing satisfies.
func (a *attempt) unsatisfied(n need) *failure {
	f := &failure{}
	dep := n.Dependency
	var reasons []string
	for _, r := range dep {
		reason, pin := a.reason(r)
		reasons = append(reasons, reason)
		if pin != "" {
			f.pins = append(f.pins, pin)
		}
	}
	if n.of == nil {
		f.err = fmt.Errorf("cannot choose %s: %s", n, strings.Join(reasons, "; "))
		return f
	}
	if n.of.pin != nil {
		f.pins = append(f.pins, n.of.name)
	}
	f.err = &UnsatisfiedError{
		Package: n.of.String(), Needs: dep.String(),
		Why: strings.Join(slices.Compact(reasons), "; "), Path: n.of.path(),
	}
	return f
}

// reason says why nothing satisfies one relation; pin is the locked package
// that does not.
func (a *attempt) reason(r control.Relation) (why, pin string) {
	if foreign(r.Arch, a.ix.arch) {
		return fmt.Sprintf("only packages of %s are taken", a.ix.arch), ""
	}
	c, err := a.candidate(r.Name)
	switch {
	case err != nil:
		return err.Error(), ""
	case c == nil:
		providers, _ := a.providers(control.Relation{Name: r.Name})
		if len(providers) == 0 {
			return fmt.Sprintf("no package %s is in the indexes", r.Name), ""
		}
		var names []string
		for _, p := range providers {
			if p.pin != nil {
				pin = p.name
			}
			names = append(names, p.name)
		}
		if providers[0].meets(r, a.ix.arch) {
			return fmt.Sprintf("what provides %s (%s) cannot be together with the rest", r.Name, strings.Join(names, ", ")), pin
		}
		return fmt.Sprintf("%s provides %s, but not this version", strings.Join(names, ", "), r.Name), pin
	case c.is(r, a.ix.arch):
		return fmt.Sprintf("%s cannot be together with the rest", c), ""
	case c.pin != nil:
		return fmt.Sprintf("the lock keeps %s; `osbuild lock --update FILE %s` lets it move", c, c.name), c.name
	case !c.version.Satisfies(r.Op, r.Version):
		return fmt.Sprintf("the indexes have %s", c), ""
	}
	return fmt.Sprintf("%s is for programs of its own architecture only", c), ""
}
