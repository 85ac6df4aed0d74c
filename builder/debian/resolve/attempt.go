// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"slices"

	"osbuild/builder/debian/control"
)

// attempt is one run of the greedy choice. All roots are chosen first; then
// each package's dependencies are met in the order in which they are written,
// and those of what is chosen for one before the next one is looked at. So
// does apt-get, and a list of names shall mean the same to both: the order
// decides which alternatives are there already when a choice comes up. Where
// none is, the first one that excludes nothing of what is chosen is taken. A
// mistake ends the attempt with a failure, and the solver starts another one
// that knows of it.
type attempt struct {
	*solver
	chosen    map[string]*node
	order     []*node // as they were chosen
	decisions map[decision]bool
	provided  map[string][]provision
	excluded  map[string][]excluder
}

// node is a chosen package.
type node struct {
	*candidate
	parent *node // whose need it was chosen for; nil for roots
	// decision is what made it so where others could have been chosen.
	decision *decision
	// picked has the package that was chosen for a dependency, by its index.
	picked map[int]*node
}

// need is a dependency of a chosen package, or a root, which is of none.
type need struct {
	control.Dependency
	of    *node
	index int // in of.depends
}

// provision is a name that a chosen package provides.
type provision struct {
	by      *node
	version control.Version
}

// excluder is a chosen package that excludes a name.
type excluder struct {
	by *node
	exclusion
}

func (s *solver) attempt() (*attempt, *failure) {
	a := &attempt{
		solver: s, chosen: map[string]*node{}, decisions: map[decision]bool{},
		provided: map[string][]provision{}, excluded: map[string][]excluder{},
	}
	// What is locked comes first, so that new roots find it there.
	for _, locked := range []bool{true, false} {
		for _, name := range s.roots {
			if (s.pins[name] != nil) != locked {
				continue
			}
			if !locked && s.ix.newest(name) == nil {
				return a, &failure{err: s.ix.unknown(name)}
			}
			if _, f := a.decide(need{Dependency: control.Dependency{{Name: name}}}); f != nil {
				return a, f
			}
		}
	}
	for _, n := range slices.Clone(a.order) {
		if f := a.expand(n); f != nil {
			return a, f
		}
	}
	return a, nil
}

// expand meets the dependencies of a package, and of what is chosen for them.
func (a *attempt) expand(of *node) *failure {
	for i, dep := range of.depends {
		if a.satisfied(dep) != nil {
			continue
		}
		n, f := a.decide(need{dep, of, i})
		if f == nil {
			f = a.expand(n)
		}
		if f != nil {
			return f
		}
	}
	return nil
}

// satisfied is the chosen package that satisfies a dependency, by the order of
// its alternatives, or nil.
func (a *attempt) satisfied(dep control.Dependency) *node {
	for _, r := range dep {
		if n := a.chosen[r.Name]; n != nil && n.is(r, a.ix.arch) {
			return n
		}
		for _, p := range a.provided[r.Name] {
			if provided(p.version, r, a.ix.arch) {
				return p.by
			}
		}
	}
	return nil
}

// decide chooses a package for a need.
func (a *attempt) decide(n need) (*node, *failure) {
	options, err := a.options(n.Dependency, n.of == nil)
	if err != nil {
		return nil, &failure{err: err, because: because(n.of)}
	}
	var first *failure
	why := because(n.of)
	for _, c := range options {
		var d *decision
		if len(options) > 1 {
			d = &decision{n.String(), c.String()}
			if others := a.refused(*d); others != nil {
				why.add(others)
				continue
			}
		}
		chosen, f := a.choose(c, n.of, d)
		if f == nil {
			if n.of != nil {
				n.of.pick(n.index, chosen)
			}
			return chosen, nil
		}
		why.add(because(f.other))
		if first == nil {
			first = f
		}
	}
	if first == nil {
		first = a.unsatisfied(n)
	}
	first.because = why
	return nil, first
}

func (n *node) pick(dependency int, chosen *node) {
	if n.picked == nil {
		n.picked = map[int]*node{}
	}
	n.picked[dependency] = chosen
}

// options are the candidates for a dependency: for each alternative the real
// package, then those that provide it. Where a lock is extended, what is locked
// comes first, since it is there anyhow; and older versions come last, those
// that may go with what is locked. A new lock shall not have what its archives
// replaced. A root is a package of that very name.
func (a *attempt) options(dep control.Dependency, root bool) ([]*candidate, error) {
	var options []*candidate
	add := func(c *candidate) {
		if !slices.Contains(options, c) {
			options = append(options, c)
		}
	}
	for _, r := range dep {
		c, err := a.candidate(r.Name)
		if err != nil {
			return nil, err
		}
		if c != nil && c.is(r, a.ix.arch) {
			add(c)
		}
		if root {
			continue
		}
		providers, err := a.providers(r)
		if err != nil {
			return nil, err
		}
		for _, c := range providers {
			add(c)
		}
	}
	if !a.extends {
		return options, nil
	}
	slices.SortStableFunc(options, func(a, b *candidate) int {
		switch {
		case (a.pin != nil) == (b.pin != nil):
			return 0
		case a.pin != nil:
			return -1
		}
		return 1
	})
	for _, r := range dep {
		if a.locked[r.Name] || a.ix.newest(r.Name) == nil {
			continue
		}
		for _, p := range a.ix.all(r.Name)[1:] {
			c, err := a.read(p)
			if err != nil {
				return nil, err
			}
			if c.is(r, a.ix.arch) {
				add(c)
			}
		}
	}
	return options, nil
}

// choose takes a candidate, unless it and one that is chosen exclude each
// other.
func (a *attempt) choose(c *candidate, parent *node, d *decision) (*node, *failure) {
	n := &node{candidate: c, parent: parent, decision: d}
	if same := a.chosen[c.name]; same != nil {
		if same.candidate == c {
			return same, nil
		}
		return nil, conflictOf(n, same, "a system has one version of a package")
	}
	if f := a.conflict(n); f != nil {
		return nil, f
	}
	if d != nil {
		a.decisions[*d] = true
	}
	a.chosen[c.name] = n
	a.order = append(a.order, n)
	for _, p := range c.provides {
		if !foreign(p.Arch, a.ix.arch) {
			a.provided[p.Name] = append(a.provided[p.Name], provision{n, p.Version})
		}
	}
	for _, e := range c.excludes {
		if !foreign(e.Arch, a.ix.arch) {
			a.excluded[e.Name] = append(a.excluded[e.Name], excluder{n, e})
		}
	}
	return n, nil
}

// conflict finds a chosen package that cannot be together with n.
func (a *attempt) conflict(n *node) *failure {
	for _, e := range n.excludes {
		if foreign(e.Arch, a.ix.arch) {
			continue
		}
		if other := a.chosen[e.Name]; other != nil && other.name != n.name && other.version.Satisfies(e.Op, e.Version) {
			return conflictOf(n, other, e.why(n, other))
		}
		for _, p := range a.provided[e.Name] {
			if p.by.name != n.name && provided(p.version, e.Relation, a.ix.arch) {
				return conflictOf(n, p.by, e.why(n, p.by))
			}
		}
	}
	for _, x := range a.excluded[n.name] {
		if n.version.Satisfies(x.Op, x.Version) {
			return conflictOf(n, x.by, x.why(x.by, n))
		}
	}
	for _, p := range n.provides {
		if foreign(p.Arch, a.ix.arch) {
			continue
		}
		for _, x := range a.excluded[p.Name] {
			if provided(p.Version, x.Relation, a.ix.arch) {
				return conflictOf(n, x.by, x.why(x.by, n))
			}
		}
	}
	return nil
}
