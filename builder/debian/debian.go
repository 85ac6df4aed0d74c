// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

// Package debian gives a declaration its packages by name: it is the source
// that an evaluation asks, and what makes the lock that the source reads.
//
// It owns which names a declaration uses, whether the lock beside it serves
// them, and how it gets a lock that does. It reads nothing while a declaration
// is evaluated, never fetches a package, and never looks into one: that is done
// by builtins (builder/debian/items, builder/debian/handlers) when items are
// made. Start with [Source].
package debian

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"osbuild/builder/debian/lock"
	"osbuild/builder/debian/recipe"
	"osbuild/builder/derivation"
	"osbuild/builder/service"
)

// ErrTwoPolicies is wrapped by the error for systems of one declaration that
// want their packages chosen in different ways.
var ErrTwoPolicies = errors.New("all systems of a file share one choice of packages and one lock")

// Source gives the packages of one evaluation, as its lock pins them. A name
// that the lock lacks gets a stand-in, so that the evaluation goes on and
// every such name is known at its end; see [Source.Stale].
type Source struct {
	graph *derivation.Graph
	lock  *lock.Lock

	mu     sync.Mutex
	policy *service.PackagePolicy
	asked  map[string]derivation.Position
	items  map[string]string
	is     map[string]bool
	debs   map[string]string
	// mentions remembers which derivations are made from packages.
	mentions map[derivation.Key]bool
}

// NewSource begins an evaluation with the lock of its declaration, nil where
// there is none.
func NewSource(g *derivation.Graph, l *lock.Lock) *Source {
	if l == nil {
		l = &lock.Lock{}
	}
	return &Source{
		graph: g, lock: l,
		asked:    map[string]derivation.Position{},
		items:    map[string]string{},
		is:       map[string]bool{},
		debs:     map[string]string{},
		mentions: map[derivation.Key]bool{},
	}
}

// Package implements service.Packages.
func (s *Source) Package(name string, pos derivation.Position) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := validName(name); err != nil {
		return "", service.At(pos, err)
	}
	if s.asked[name] == (derivation.Position{}) {
		s.asked[name] = pos
	}
	return s.item(name, pos)
}

// item declares a package item, or what stands in for it, once.
func (s *Source) item(name string, pos derivation.Position) (string, error) {
	if item, ok := s.items[name]; ok {
		return item, nil
	}
	item, err := s.declare(name, pos)
	if err != nil {
		return "", service.At(pos, fmt.Errorf("cannot use package %q: %w", name, err))
	}
	s.items[name], s.is[item] = item, true
	return item, nil
}

func (s *Source) declare(name string, pos derivation.Position) (string, error) {
	own, ok := s.lock.Package(name)
	if !ok {
		return recipe.Package(s.graph, name, nil, "", pos)
	}
	closure, err := s.lock.Closure(name)
	if err != nil {
		return "", err
	}
	first, err := s.deb(own)
	if err != nil {
		return "", err
	}
	debs := []string{first}
	for _, p := range closure {
		if p.Name == name {
			continue
		}
		d, err := s.deb(p)
		if err != nil {
			return "", err
		}
		debs = append(debs, d)
	}
	return recipe.Package(s.graph, name, debs, own.Version, pos)
}

func (s *Source) deb(p lock.Package) (string, error) {
	if d, ok := s.debs[p.Name]; ok {
		return d, nil
	}
	d, err := recipe.Deb(s.graph, p, derivation.Position{})
	if err == nil {
		s.debs[p.Name] = d
	}
	return d, err
}

// validName checks the syntax of a package's name.
func validName(name string) error {
	for i, r := range name {
		if (r < 'a' || r > 'z') && (r < '0' || r > '9') && (i == 0 || !strings.ContainsRune("+-.", r)) {
			return fmt.Errorf("cannot use package %q: %q cannot stand in the name of a package, such as nginx-light", name, r)
		}
	}
	if len(name) < 2 {
		return fmt.Errorf("cannot use package %q: the name of a package has at least two letters", name)
	}
	return nil
}

// Is implements service.Packages.
func (s *Source) Is(path string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.is[path]
}

// Use implements service.Packages.
func (s *Source) Use(policy service.PackagePolicy) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if first := s.policy; first != nil &&
		(first.Suite != policy.Suite || first.Essential != policy.Essential || !slices.Equal(first.Ignore, policy.Ignore)) {
		return nil, service.At(policy.Pos, fmt.Errorf("cannot choose the packages of this system in another way than those of the system at %s: %w", first.Pos, ErrTwoPolicies))
	}
	if s.policy == nil {
		s.policy = &policy
	}
	var items []string
	for _, name := range s.lock.Base() {
		item, err := s.item(name, policy.Pos)
		if err != nil {
			return nil, err
		}
		items = append(items, item)
	}
	return items, nil
}

// Root implements service.Packages.
func (s *Source) Root(items []string, quiet bool, pos derivation.Position) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.ContainsFunc(items, s.mentionsPackage) {
		return "", nil
	}
	items = slices.Clone(items)
	slices.Sort(items)
	set, err := recipe.Set(s.graph, "package-set", slices.Compact(items), pos)
	if err != nil {
		return "", err
	}
	if quiet {
		return recipe.Root(s.graph, "packages", set, []string{recipe.IgnoreAll}, nil, pos)
	}
	var ignore []string
	if s.policy != nil {
		ignore = s.policy.Ignore
	}
	return recipe.Root(s.graph, "packages", set, ignore, s.programs(items), pos)
}

// mentionsPackage says whether a package is among what an item is made from.
func (s *Source) mentionsPackage(item string) bool {
	ref, _, ok := s.graph.Split(item)
	if !ok || ref.Drv == "" {
		return false
	}
	return s.madeFromPackage(ref.Drv)
}

func (s *Source) madeFromPackage(k derivation.Key) bool {
	if known, ok := s.mentions[k]; ok {
		return known
	}
	d, ok := s.graph.Derivation(k)
	if !ok {
		return false
	}
	name, _ := d.Builtin()
	found := name == recipe.BuiltinPackage
	for _, in := range d.Inputs {
		found = found || in.Drv != "" && s.madeFromPackage(in.Drv)
	}
	s.mentions[k] = found
	return found
}
