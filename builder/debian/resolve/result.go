// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"slices"
	"strings"

	"osbuild/builder/debian/control"
	"osbuild/builder/debian/lock"
)

// verify looks whether locked packages still have what they need now that
// others moved. What a locked package needs beyond names, and what it
// excludes, only the index knows. Where the index has another version of it,
// any move of a dependency moves it too; where it has none at all, the package
// stays and the names must do.
func (a *attempt) verify() *failure {
	for _, n := range a.order {
		if n.pin == nil {
			continue
		}
		if n.pkg != nil {
			full, err := a.read(n.pkg)
			if err != nil {
				return &failure{err: err}
			}
			for i, dep := range full.depends {
				if a.satisfied(dep) == nil {
					needs := &node{candidate: full, parent: n.parent}
					f := a.unsatisfied(need{dep, needs, i})
					f.pins = append([]string{n.name}, f.pins...)
					return f
				}
			}
			continue
		}
		for _, name := range n.pin.Deps {
			if s := a.chosen[name]; s.pin == nil && a.ix.newest(n.name) != nil && a.update {
				return &failure{
					err: &UnsatisfiedError{
						Package: n.String(), Needs: name, Path: n.path(),
						Why: "the lock has another version of it, and the indexes do not say whether " + s.String() + " will do",
					},
					pins: []string{n.name},
				}
			}
		}
	}
	return nil
}

// lock writes down what was chosen.
func (a *attempt) lock(r Request) (*lock.Lock, error) {
	l := &lock.Lock{Version: lock.Version, Arch: a.ix.arch, Essential: r.Essential, Roots: a.named}
	for _, n := range a.order {
		if n.pin != nil {
			p, err := a.kept(n)
			if err != nil {
				return nil, err
			}
			l.Packages = append(l.Packages, p)
			continue
		}
		l.Packages = append(l.Packages, a.record(n))
	}
	slices.SortFunc(l.Packages, func(p, q lock.Package) int { return strings.Compare(p.Name, q.Name) })
	return l, nil
}

// kept is the record of a package that was locked before. Its deps stay; where
// one of them moved and is not what it was, another package may have to stand
// for it now.
func (a *attempt) kept(n *node) (lock.Package, error) {
	p := *n.pin
	if n.pkg == nil {
		return p, nil
	}
	full, err := a.read(n.pkg)
	if err != nil {
		return p, err
	}
	deps := slices.Clone(p.Deps)
	for _, dep := range full.depends {
		if !slices.ContainsFunc(dep, func(r control.Relation) bool {
			return n.meets(r, a.ix.arch) || slices.ContainsFunc(deps, func(name string) bool {
				return a.chosen[name].meets(r, a.ix.arch)
			})
		}) {
			deps = append(deps, a.satisfied(dep).name)
		}
	}
	slices.Sort(deps)
	p.Deps = slices.Compact(deps)
	return p, nil
}

// record is the lock's record of a package that came from the index.
func (a *attempt) record(n *node) lock.Package {
	p := n.pkg
	out := lock.Package{
		Name: p.Name, Version: string(p.Version), Arch: p.Arch, Suite: p.Suite, Path: p.Filename, SHA256: p.SHA256,
		Size: p.Size, InstalledSize: p.InstalledSize, Essential: p.Essential, Source: p.Source, Deps: []string{},
	}
	for i, dep := range n.depends {
		// What was chosen for this dependency stands for it, although another
		// alternative may have come later: else nothing would lead to it.
		s := n.picked[i]
		if s == nil {
			s = a.satisfied(dep)
		}
		if s.name != p.Name {
			out.Deps = append(out.Deps, s.name)
		}
	}
	slices.Sort(out.Deps)
	out.Deps = slices.Compact(out.Deps)
	for _, r := range n.provides {
		if !foreign(r.Arch, a.ix.arch) {
			r.Arch = ""
			out.Provides = append(out.Provides, r.String())
		}
	}
	slices.Sort(out.Provides)
	out.Provides = slices.Compact(out.Provides)
	return out
}
