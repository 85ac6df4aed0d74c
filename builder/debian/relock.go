// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package debian

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"osbuild/builder/debian/apt"
	"osbuild/builder/debian/lock"
	"osbuild/builder/debian/resolve"
	"osbuild/builder/derivation"
	"osbuild/builder/service"
)

// Names are all names that the evaluation used, sorted.
func (s *Source) Names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.asked))
}

// Missing are the names used that the lock was not made for, sorted.
func (s *Source) Missing() []string { return s.lock.Missing(s.Names()) }

// Stale says whether the evaluation needs another lock: it used names that
// the lock lacks, or wants packages chosen in another way.
func (s *Source) Stale() bool {
	return len(s.Missing()) > 0 || len(s.asked) > 0 && !s.fits()
}

// fits says whether the lock was made for the policy of the evaluation.
func (s *Source) fits() bool {
	return s.lock.Fits(s.Policy())
}

// Policy is how the evaluation wants its packages chosen, as a lock says it.
func (s *Source) Policy() (essential, suite string) {
	p := s.want()
	return p.Essential, p.Suite
}

// want is the policy of the evaluation. A declaration without a system does
// not care, and takes what the lock has.
func (s *Source) want() service.PackagePolicy {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.policy != nil:
		return *s.policy
	case s.lock.Essential != "":
		return service.PackagePolicy{Essential: s.lock.Essential, Suite: s.lock.Suite}
	}
	return service.PackagePolicy{Essential: "none"}
}

// Update says what a new lock may change.
type Update struct {
	// All chooses everything anew; Names are packages that may move, with what
	// they need. Otherwise what is locked stays as it is.
	All   bool
	Names []string
	// Prune drops what the declaration does not use any more.
	Prune bool
}

// Indexes gives the records of packages to choose from; *apt.Host does.
type Indexes interface {
	// Suites names the suites that there are.
	Suites() []string
	Indexes(ctx context.Context, o apt.IndexOptions) (*apt.Snapshot, error)
}

// Relock makes a lock for what the evaluation used, from the host's archives.
// The errors name the place where a package is asked for.
func (s *Source) Relock(ctx context.Context, h Indexes, arch string, u Update) (*lock.Lock, error) {
	want := s.want()
	roots := s.Names()
	if !u.Prune {
		roots = append(roots, s.lock.Roots...)
		slices.Sort(roots)
		roots = slices.Compact(roots)
	}
	o := apt.IndexOptions{Arch: arch, Suites: suitesOf(want.Suite, h.Suites()), Known: s.lock.Suites}
	snapshot, err := h.Indexes(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("cannot lock packages: %w", err)
	}
	r := resolve.Request{Roots: roots, Essential: want.Essential, Update: u.Names}
	if !u.All && len(s.lock.Packages) > 0 {
		r.Pinned = s.lock
	}
	l, err := resolve.Resolve(resolve.NewIndex(arch, snapshot.Packages), r)
	if err != nil {
		return nil, s.place(err)
	}
	l.Arch, l.Essential, l.Suite, l.Suites = arch, want.Essential, want.Suite, snapshot.Suites
	if u.Prune {
		l.Roots = roots
		if l.Packages, err = l.Closure(slices.Concat(roots, l.Base())...); err != nil {
			return nil, fmt.Errorf("cannot lock packages: %w", err)
		}
	}
	return l, nil
}

// suitesOf are a suite and those that belong to it, such as bookworm-security
// and bookworm-updates to bookworm; nil for no suite.
func suitesOf(suite string, all []string) []string {
	if suite == "" {
		return nil
	}
	suites := []string{suite}
	for _, s := range all {
		if strings.HasPrefix(s, suite+"-") || strings.HasPrefix(s, suite+"/") {
			suites = append(suites, s)
		}
	}
	return suites
}

// place puts the position of the declaration before an error about a package
// that the declaration names.
func (s *Source) place(err error) error {
	var pos derivation.Position
	var unknown *resolve.UnknownError
	if errors.As(err, &unknown) {
		pos = s.asked[unknown.Name]
	}
	return service.At(pos, fmt.Errorf("cannot lock packages: %w", err))
}

// LockFile is where the lock of a declaration lies.
func LockFile(file string) string {
	return strings.TrimSuffix(file, ".star") + ".lock.json"
}

// Arch is dpkg's name for a platform such as "x86_64-linux".
func Arch(system string) (string, error) {
	cpu, _, _ := strings.Cut(system, "-")
	names := map[string]string{
		"x86_64": "amd64", "aarch64": "arm64", "i686": "i386", "armv7l": "armhf",
		"riscv64": "riscv64", "powerpc64le": "ppc64el", "s390x": "s390x",
	}
	if a, ok := names[cpu]; ok {
		return a, nil
	}
	return "", fmt.Errorf("cannot choose packages for %s: it is not known what Debian calls it", system)
}
