// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"cmp"
	"slices"

	"osbuild/builder/debian/control"
)

// Index is what can be chosen from. It is not changed after it was made.
type Index struct {
	arch  string
	names map[string]int32 // in versions
	// versions has the packages of each name, the highest version first: the
	// candidate.
	versions  [][]*control.Package
	providers map[string][]provider // of virtual and of real names
	essential []string              // sorted
}

// provider is a package that provides a name. version is "" where it gives
// none, which no relation with a version accepts.
type provider struct {
	pkg     *control.Package
	version control.Version
}

// NewIndex makes an index of packages for one architecture; those of others
// are left out. The candidate of a name is its highest version over all
// suites; of equal versions that which stands first in pkgs.
func NewIndex(arch string, pkgs []*control.Package) *Index {
	ix := &Index{
		arch:      arch,
		names:     make(map[string]int32, len(pkgs)),
		versions:  make([][]*control.Package, 0, len(pkgs)),
		providers: map[string][]provider{},
	}
	pool := make([]*control.Package, len(pkgs)) // for the many names with one version
	for _, p := range pkgs {
		if p.Arch != arch && p.Arch != "all" {
			continue
		}
		i, ok := ix.names[p.Name]
		if !ok {
			ix.names[p.Name] = int32(len(ix.versions))
			pool[0] = p
			ix.versions, pool = append(ix.versions, pool[:1:1]), pool[1:]
			continue
		}
		same := ix.versions[i]
		at := len(same)
		for at > 0 && p.Before(same[at-1]) {
			at--
		}
		ix.versions[i] = slices.Insert(same, at, p)
	}
	for _, versions := range ix.versions {
		p := versions[0]
		if p.Essential {
			ix.essential = append(ix.essential, p.Name)
		}
		if p.Provides == "" {
			continue
		}
		// What cannot be read is reported when the package is chosen.
		rels, _ := p.Provides.List()
		for _, r := range rels {
			if foreign(r.Arch, arch) {
				continue
			}
			ix.providers[r.Name] = append(ix.providers[r.Name], provider{pkg: p, version: r.Version})
		}
	}
	slices.Sort(ix.essential)
	for _, list := range ix.providers {
		slices.SortFunc(list, func(a, b provider) int { return rank(a.pkg, b.pkg) })
	}
	return ix
}

// rank orders packages that provide the same name: those that more systems
// have come first, then those whose name comes first.
func rank(a, b *control.Package) int {
	return cmp.Or(cmp.Compare(priority(a), priority(b)), cmp.Compare(a.Name, b.Name))
}

func priority(p *control.Package) int {
	if p.Essential {
		return -1
	}
	if i := slices.Index([]string{"required", "important", "standard", "optional", "extra"}, p.Priority); i >= 0 {
		return i
	}
	return 5
}

// foreign says whether a relation's qualifier names another architecture than
// that of the index.
func foreign(qualifier, arch string) bool {
	switch qualifier {
	case "", "any", "native", "all", arch:
		return false
	}
	return true
}

// all are the packages of a name, the highest version first.
func (ix *Index) all(name string) []*control.Package {
	if i, ok := ix.names[name]; ok {
		return ix.versions[i]
	}
	return nil
}

// newest is the candidate of a name, nil when there is none.
func (ix *Index) newest(name string) *control.Package {
	if versions := ix.all(name); versions != nil {
		return versions[0]
	}
	return nil
}
