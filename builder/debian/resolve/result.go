// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"slices"
	"strings"

	"osbuild/builder/debian/lock"
)

// verify looks whether locked packages still have what they need now that
// others moved. What a locked package needs beyond names only the index
// knows; where the index has that version no more, any move of a dependency
// moves it too.
func (a *attempt) verify() *failure {
	for _, n := range a.order {
		if n.pin == nil {
			continue
		}
		if n.pkg != nil {
			full, err := fromIndex(n.pkg)
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
			l.Packages = append(l.Packages, *n.pin)
			continue
		}
		l.Packages = append(l.Packages, a.record(n))
	}
	slices.SortFunc(l.Packages, func(p, q lock.Package) int { return strings.Compare(p.Name, q.Name) })
	return l, nil
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
