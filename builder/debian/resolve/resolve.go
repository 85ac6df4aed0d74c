// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

// Package resolve chooses the packages that a list of names needs.
//
// It owns the choice, and the words for why there is none. It reads no file
// and no network: it gets the records of indexes and gives a lock. The same
// records and names always give the same lock. Start with [Resolve].
package resolve

import (
	"fmt"
	"slices"
	"strings"

	"osbuild/builder/debian/control"
	"osbuild/builder/debian/lock"
)

// Request says what is wanted.
type Request struct {
	// Roots are the names of packages that are wanted.
	Roots []string
	// Essential is one of the policies of package lock; "" is none.
	Essential string
	// Pinned is a lock whose packages keep their versions, in the index or
	// not. Nil chooses everything anew.
	Pinned *lock.Lock
	// Update are names of Pinned that may move to another version, and with
	// them what they force to move.
	Update []string
	// Prune leaves out the roots of Pinned that are not among Roots, and what
	// only they need.
	Prune bool
}

// maxAttempts bounds the search. Each attempt knows one mistake more than the
// one before; real archives need none or a few.
const maxAttempts = 500

// Resolve chooses one version of each package that the roots need. The
// caller fills the lock's Suite and Suites.
func Resolve(ix *Index, r Request) (*lock.Lock, error) {
	if r.Essential == "" {
		r.Essential = lock.EssentialNone
	}
	s, err := newSolver(ix, r)
	if err != nil {
		return nil, err
	}
	var first error
	for range maxAttempts {
		a, f := s.attempt()
		if f == nil {
			f = a.verify()
		}
		if f == nil {
			return a.lock(r)
		}
		if first == nil || s.freed {
			first, s.freed = f.err, false
		}
		if !s.learn(f) {
			return nil, first
		}
	}
	return nil, fmt.Errorf("%w\n%d other choices of alternatives do not work either; name those that you want", first, maxAttempts)
}

// solver is what attempts have in common and learn.
type solver struct {
	ix     *Index
	roots  []string // of the lock and of the policy, sorted
	named  []string // of the lock only
	pins   map[string]*lock.Package
	update bool // pins may be freed

	extends  bool                   // there is a lock to extend
	locked   map[string]bool        // names of that lock, free to move or not
	mistakes map[decision][]reasons // sets of decisions, by each of them
	freed    bool                   // a pin was freed: errors before it mean nothing now
	made     map[*control.Package]*candidate
	pinned   map[string]*candidate
	// provides has what pinned packages provide, by name, in order of name.
	provides map[string][]pinnedProvider
}

type pinnedProvider struct {
	name    string
	version control.Version
}

func newSolver(ix *Index, r Request) (*solver, error) {
	s := &solver{
		ix: ix, pins: map[string]*lock.Package{}, update: len(r.Update) > 0,
		extends: r.Pinned != nil, locked: map[string]bool{}, mistakes: map[decision][]reasons{},
		made: map[*control.Package]*candidate{}, pinned: map[string]*candidate{},
		provides: map[string][]pinnedProvider{},
	}
	s.named = slices.Clone(r.Roots)
	if r.Pinned != nil {
		if r.Pinned.Arch != ix.arch {
			return nil, fmt.Errorf("cannot extend a lock for %s with packages for %s", r.Pinned.Arch, ix.arch)
		}
		if !r.Prune {
			s.named = append(s.named, r.Pinned.Roots...)
		}
		for i := range r.Pinned.Packages {
			p := &r.Pinned.Packages[i]
			s.pins[p.Name] = p
			s.locked[p.Name] = true
		}
	}
	slices.Sort(s.named)
	s.named = slices.Compact(s.named)
	for _, name := range r.Update {
		if s.pins[name] == nil && !slices.Contains(s.named, name) {
			return nil, notLocked(name, r.Pinned)
		}
		s.free(name)
	}
	s.roots = slices.Clone(s.named)
	switch r.Essential {
	case lock.EssentialNone:
	case lock.EssentialMinimal:
		s.roots = append(s.roots, lock.Minimal()...)
	case lock.EssentialFull:
		s.roots = append(s.roots, ix.essential...)
		for name, p := range s.pins {
			if p.Essential {
				s.roots = append(s.roots, name)
			}
		}
	default:
		return nil, fmt.Errorf("cannot choose packages: essential is %q, not none, minimal or full", r.Essential)
	}
	slices.Sort(s.roots)
	s.roots = slices.Compact(s.roots)
	for _, name := range s.roots {
		if err := control.CheckName(name); err != nil {
			return nil, fmt.Errorf("cannot choose packages: %w", err)
		}
	}
	return s, s.readPins()
}

// readPins makes the candidates of the locked packages.
func (s *solver) readPins() error {
	for name, pin := range s.pins {
		var same *control.Package
		for _, p := range s.ix.all(name) {
			if p.SHA256 == pin.SHA256 && string(p.Version) == pin.Version {
				same = p
			}
		}
		c, err := fromLock(pin, same)
		if err != nil {
			return err
		}
		s.pinned[name] = c
		for _, r := range c.provides {
			s.provides[r.Name] = append(s.provides[r.Name], pinnedProvider{name, r.Version})
		}
	}
	for _, list := range s.provides {
		slices.SortFunc(list, func(a, b pinnedProvider) int { return strings.Compare(a.name, b.name) })
	}
	return nil
}

// candidate is what can be chosen for a name: the locked package, or the
// highest version of the index; nil for neither.
func (s *solver) candidate(name string) (*candidate, error) {
	if s.pins[name] != nil {
		return s.pinned[name], nil
	}
	if p := s.ix.newest(name); p != nil {
		return s.read(p)
	}
	return nil, nil
}

func (s *solver) read(p *control.Package) (*candidate, error) {
	if c := s.made[p]; c != nil {
		return c, nil
	}
	c, err := fromIndex(p)
	if err == nil {
		s.made[p] = c
	}
	return c, err
}

// providers are the candidates that provide what a relation names: locked
// ones first, since a lock is extended as little as can be.
func (s *solver) providers(r control.Relation) ([]*candidate, error) {
	var found []*candidate
	for _, p := range s.provides[r.Name] {
		if s.pins[p.name] != nil && p.name != r.Name && provided(p.version, r, s.ix.arch) {
			found = append(found, s.pinned[p.name])
		}
	}
	for _, p := range s.ix.providers[r.Name] {
		if s.pins[p.pkg.Name] != nil || p.pkg.Name == r.Name || !provided(p.version, r, s.ix.arch) {
			continue
		}
		c, err := s.read(p.pkg)
		if err != nil {
			return nil, err
		}
		found = append(found, c)
	}
	return found, nil
}
