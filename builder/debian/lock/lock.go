// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

// Package lock owns the lock file: which packages a system is made of, to the
// bit, and who depends on whom.
//
// It never chooses a package and fetches nothing; it holds no host names, so
// that a lock says the same on every machine. Start with [Lock].
package lock

import (
	"fmt"
	"slices"
	"sort"
	"strings"
)

// Version is the version of the format that is read and written.
const Version = 1

// Policies for packages that no other depends on by name because every Debian
// system has them.
const (
	EssentialNone    = "none"
	EssentialMinimal = "minimal"
	EssentialFull    = "full"
)

// Lock is the content of a lock file. Its lists are sorted by name.
type Lock struct {
	Version   int    `json:"version"`
	Arch      string `json:"arch"`
	Essential string `json:"essential"`
	// Suite is the declaration's restriction to one suite; "" means all
	// suites of the host.
	Suite string `json:"suite,omitempty"`
	// Roots are the names that were asked for.
	Roots    []string  `json:"roots"`
	Suites   []Suite   `json:"suites"`
	Packages []Package `json:"packages"`
}

// Suite is what was known of a suite of an archive when packages were chosen.
type Suite struct {
	Name            string `json:"name"` // "bookworm-security"
	InReleaseSHA256 string `json:"inRelease"`
	Date            string `json:"date"`   // as the suite gives it
	Signer          string `json:"signer"` // fingerprint of the key
}

// Package is one locked package: enough to fetch and verify its file and to
// know its closure without an index.
type Package struct {
	Name          string `json:"name"`
	Version       string `json:"version"`
	Arch          string `json:"arch"`
	Suite         string `json:"suite"`
	Path          string `json:"path"` // below the archive's root
	SHA256        string `json:"sha256"`
	Size          int64  `json:"size"`
	InstalledSize int64  `json:"installedSize"` // KiB
	Essential     bool   `json:"essential,omitempty"`
	// Deps are names of this lock.
	Deps []string `json:"deps"`
	// Provides are "name" or "name (= version)".
	Provides []string `json:"provides,omitempty"`
	Source   string   `json:"source,omitempty"` // "" where it is Name
}

// Package finds a package by its name.
func (l *Lock) Package(name string) (Package, bool) {
	i, ok := slices.BinarySearchFunc(l.Packages, name, func(p Package, name string) int {
		return strings.Compare(p.Name, name)
	})
	if !ok {
		return Package{}, false
	}
	return l.Packages[i], true
}

// Closure is the named packages and all that they depend on, sorted by name.
func (l *Lock) Closure(names ...string) ([]Package, error) {
	seen := map[string]bool{}
	var all []Package
	todo := slices.Clone(names)
	for len(todo) > 0 {
		name := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if seen[name] {
			continue
		}
		seen[name] = true
		p, ok := l.Package(name)
		if !ok {
			return nil, fmt.Errorf("the lock has no package %s", name)
		}
		all = append(all, p)
		todo = append(todo, p.Deps...)
	}
	sort.Slice(all, func(i, j int) bool { return all[i].Name < all[j].Name })
	return all, nil
}

// Missing are those of roots that the lock was not asked for, sorted. That a
// package is locked because another one needs it is not enough: what the
// other one needs may change with its next version.
func (l *Lock) Missing(roots []string) []string { return without(roots, l.Roots) }

// Extra are the lock's roots that are not among roots, sorted.
func (l *Lock) Extra(roots []string) []string { return without(l.Roots, roots) }

// Fits says whether the lock was made by these rules of a declaration.
func (l *Lock) Fits(essential, suite string) bool {
	return l.Essential == essential && l.Suite == suite
}

func without(all, some []string) []string {
	var rest []string
	for _, name := range all {
		if !slices.Contains(some, name) {
			rest = append(rest, name)
		}
	}
	slices.Sort(rest)
	return slices.Compact(rest)
}
