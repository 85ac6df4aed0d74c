// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"bytes"
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"testing"

	"osbuild/builder/debian/control"
	"osbuild/builder/debian/lock"
)

// checkLock says what is wrong with a choice: a lock must be closed, free of
// conflicts, reached from its roots, and writable. It uses none of the
// solver's code but the reading of relations.
func checkLock(t testing.TB, l *lock.Lock, index []*control.Package) {
	t.Helper()
	if _, err := l.Encode(); err != nil {
		t.Error(err)
	}
	reached, err := l.Closure(append(l.Base(), l.Roots...)...)
	if err != nil {
		t.Error(err)
	}
	if len(reached) != len(l.Packages) {
		t.Errorf("%d of %d packages are reached from the roots", len(reached), len(l.Packages))
	}
	var chosen []*control.Package
	for _, p := range l.Packages {
		i := slices.IndexFunc(index, func(q *control.Package) bool { return q.Name == p.Name && string(q.Version) == p.Version })
		if i < 0 {
			continue // of an older lock
		}
		chosen = append(chosen, index[i])
	}
	// matches says whether p is, or provides, what r names.
	matches := func(p *control.Package, r control.Relation) bool {
		if r.Arch != "" && r.Arch != "any" && r.Arch != "amd64" {
			return false
		}
		if p.Name == r.Name && p.Version.Satisfies(r.Op, r.Version) {
			return true
		}
		provides, _ := p.Provides.List()
		return slices.ContainsFunc(provides, func(v control.Relation) bool {
			return v.Name == r.Name && (v.Arch == "" || v.Arch == "amd64") &&
				(r.Op == "" || v.Version != "" && v.Version.Satisfies(r.Op, r.Version))
		})
	}
	for _, p := range chosen {
		locked, _ := l.Package(p.Name)
		for _, field := range []control.Relations{p.PreDepends, p.Depends} {
			deps, _ := field.Parse()
			for _, dep := range deps {
				if !slices.ContainsFunc(dep, func(r control.Relation) bool {
					return matches(p, r) || slices.ContainsFunc(chosen, func(q *control.Package) bool {
						return matches(q, r) && slices.Contains(locked.Deps, q.Name)
					})
				}) {
					t.Errorf("%s needs %s, and its deps %v do not satisfy that", p.Name, dep, locked.Deps)
				}
			}
		}
		for _, field := range []control.Relations{p.Conflicts, p.Breaks} {
			rels, _ := field.List()
			for _, r := range rels {
				for _, q := range chosen {
					if q.Name != p.Name && matches(q, r) {
						t.Errorf("%s excludes %s, which %s is", p.Name, r, q.Name)
					}
				}
			}
		}
	}
}

// randomIndex makes a small archive full of choices and conflicts.
func randomIndex(rnd *rand.Rand) string {
	const names = 14
	pick := func() string { return string(rune('a' + rnd.Intn(names))) }
	relation := func() string {
		switch rnd.Intn(6) {
		case 0:
			return fmt.Sprintf("v%d", rnd.Intn(3))
		case 1:
			return fmt.Sprintf("v%d (>= %d)", rnd.Intn(3), 1+rnd.Intn(2))
		case 2:
			return fmt.Sprintf("%s (%s %d)", pick(), []string{"<<", "<=", "=", ">=", ">>"}[rnd.Intn(5)], 1+rnd.Intn(3))
		}
		return pick()
	}
	var text strings.Builder
	for i := range names {
		for version := 1; version <= 1+rnd.Intn(2); version++ {
			fmt.Fprintf(&text, "%c %d", 'a'+i, version)
			var deps []string
			for range rnd.Intn(3) {
				dep := relation()
				for rnd.Intn(2) == 0 {
					dep += " | " + relation()
				}
				deps = append(deps, dep)
			}
			if len(deps) > 0 {
				text.WriteString("; dep: " + strings.Join(deps, ", "))
			}
			if rnd.Intn(3) == 0 {
				text.WriteString("; con: " + relation())
			}
			if rnd.Intn(3) == 0 {
				text.WriteString("; brk: " + relation())
			}
			switch rnd.Intn(4) {
			case 0:
				fmt.Fprintf(&text, "; prov: v%d", rnd.Intn(3))
			case 1:
				fmt.Fprintf(&text, "; prov: v%d (= %d)", rnd.Intn(3), 1+rnd.Intn(2))
			}
			text.WriteString("\n")
		}
	}
	return text.String()
}

// TestProperties resolves in random archives: what comes out is a right
// choice, the same each time, and does not move when it is the lock of the
// next resolution.
func TestProperties(t *testing.T) {
	solved := 0
	for seed := range int64(3000) {
		rnd := rand.New(rand.NewSource(seed))
		text := randomIndex(rnd)
		all := packages(t, text)
		roots := []string{"a", "b"}
		ix := NewIndex("amd64", all)
		l, err := Resolve(ix, Request{Roots: roots})
		rnd.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		again, errAgain := Resolve(NewIndex("amd64", all), Request{Roots: []string{"b", "a"}})
		if (err == nil) != (errAgain == nil) || err != nil && err.Error() != errAgain.Error() {
			t.Fatalf("seed %d: once %v, then %v", seed, err, errAgain)
		}
		if err != nil {
			continue
		}
		solved++
		checkLock(t, l, all)
		if a, b := encode(t, l), encode(t, again); a != b {
			t.Errorf("seed %d: once\n%sthen\n%s", seed, a, b)
		}
		kept, err := Resolve(ix, Request{Roots: roots, Pinned: l})
		if err != nil {
			t.Errorf("seed %d: with its own lock: %v", seed, err)
		} else if a, b := encode(t, l), encode(t, kept); a != b {
			t.Errorf("seed %d: with its own lock\n%snot\n%s", seed, b, a)
		}
		// A third root keeps all that is there, and is as right.
		if more, err := Resolve(ix, Request{Roots: []string{"a", "b", "c"}, Pinned: l}); err == nil {
			checkLock(t, more, all)
			for _, c := range lock.Diff(l, more) {
				if c.Old != "" {
					t.Errorf("seed %d: a further root moves %s", seed, c)
				}
			}
		}
		if t.Failed() {
			t.Fatalf("seed %d:\n%s%s", seed, text, choice(l))
		}
	}
	if solved < 300 {
		t.Errorf("only %d archives had a choice", solved)
	}
	t.Logf("%d archives had a choice", solved)
}

func encode(t testing.TB, l *lock.Lock) string {
	t.Helper()
	data, err := l.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return string(bytes.Clone(data))
}

// TestUpdateProperties updates locks of random archives in which some packages
// have become newer and the old versions are gone or not.
func TestUpdateProperties(t *testing.T) {
	updated, moved := 0, 0
	for seed := range int64(1500) {
		rnd := rand.New(rand.NewSource(seed))
		old := packages(t, randomIndex(rnd))
		l, err := Resolve(NewIndex("amd64", old), Request{Roots: []string{"a", "b"}})
		if err != nil {
			continue
		}
		now := packages(t, strings.NewReplacer(" 1;", " 3;", " 2;", " 4;", " 1\n", " 3\n", " 2\n", " 4\n").Replace(randomIndex(rnd)))
		var gone []*control.Package
		for _, p := range old {
			if rnd.Intn(2) == 0 {
				now = append(now, p)
				continue
			}
			// Nobody knows any more what it excludes: a lock does not say it.
			p.Conflicts, p.Breaks = "", ""
			gone = append(gone, p)
		}
		for _, p := range gone {
			if !slices.ContainsFunc(now, func(q *control.Package) bool { return p.Name == q.Name }) {
				p.Depends = "" // it cannot move, and nobody knows what it needs
			}
		}
		ix := NewIndex("amd64", now)
		next, err := Resolve(ix, Request{Roots: l.Roots, Pinned: l, Update: []string{"a"}})
		if err != nil {
			continue
		}
		updated++
		checkLock(t, next, append(now, gone...))
		for _, c := range lock.Diff(l, next) {
			if c.Old == "" || c.New == "" {
				continue
			}
			moved++
			if control.Version(c.New).Compare(control.Version(c.Old)) <= 0 {
				t.Errorf("seed %d: an update goes back: %s", seed, c)
			}
		}
		if a, _ := next.Package("a"); ix.newest("a") != nil && a.SHA256 != ix.newest("a").SHA256 {
			if before, _ := l.Package("a"); a.Version == before.Version {
				t.Errorf("seed %d: a does not move", seed)
			}
		}
		if t.Failed() {
			t.Fatalf("seed %d: %s, then %s", seed, choice(l), choice(next))
		}
	}
	if updated < 50 || moved < 50 {
		t.Errorf("only %d updates with %d moves", updated, moved)
	}
}

// TestRefusalsAreRight looks at what is refused in random archives: no set of
// candidates at all is a right choice.
func TestRefusalsAreRight(t *testing.T) {
	refused := 0
	for seed := int64(0); refused < 200 && seed < 2000; seed++ {
		text := randomIndex(rand.New(rand.NewSource(seed)))
		ix := NewIndex("amd64", packages(t, text))
		roots := []string{"a", "b"}
		if _, err := Resolve(ix, Request{Roots: roots}); err == nil {
			continue
		}
		refused++
		if set := anyChoice(t, ix, roots); set != "" {
			t.Fatalf("seed %d: refused, but %s is a choice in\n%s", seed, set, text)
		}
	}
	if refused < 100 {
		t.Errorf("only %d archives were refused", refused)
	}
}

// anyChoice tries all sets of candidates.
func anyChoice(t *testing.T, ix *Index, roots []string) string {
	t.Helper()
	var names []string
	for name := range ix.names {
		names = append(names, name)
	}
	slices.Sort(names)
	all := make([]*candidate, len(names))
	for i, name := range names {
		c, err := fromIndex(ix.newest(name))
		if err != nil {
			t.Fatal(err)
		}
		all[i] = c
	}
	// who is the set of candidates that are what a relation names.
	who := func(r control.Relation) (set uint) {
		for i, c := range all {
			if c.is(r, ix.arch) || slices.ContainsFunc(c.provides, func(p control.Relation) bool {
				return p.Name == r.Name && provided(p.Version, r, ix.arch)
			}) {
				set |= 1 << i
			}
		}
		return set
	}
	needs, excludes := make([][]uint, len(all)), make([]uint, len(all))
	var must uint
	for i, c := range all {
		for _, dep := range c.depends {
			var set uint
			for _, r := range dep {
				set |= who(r)
			}
			needs[i] = append(needs[i], set)
		}
		for _, e := range c.excludes {
			excludes[i] |= who(e.Relation) &^ (1 << i)
		}
		if slices.Contains(roots, c.name) {
			must |= 1 << i
		}
	}
sets:
	for set := uint(0); set < 1<<len(all); set++ {
		if set&must != must {
			continue
		}
		for i := range all {
			if set&(1<<i) == 0 {
				continue
			}
			if set&excludes[i] != 0 {
				continue sets
			}
			for _, need := range needs[i] {
				if set&need == 0 {
					continue sets
				}
			}
		}
		var chosen []string
		for i, c := range all {
			if set&(1<<i) != 0 {
				chosen = append(chosen, c.String())
			}
		}
		return strings.Join(chosen, ", ")
	}
	return ""
}
