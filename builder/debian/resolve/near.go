// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"osbuild/builder/debian/lock"
)

// maxNear is how many names a message offers.
const maxNear = 5

// unknown says that the index has no package of a name.
func (ix *Index) unknown(name string) error {
	e := &UnknownError{Name: name}
	for _, p := range ix.providers[name] {
		e.Providers = append(e.Providers, p.pkg.Name)
	}
	if len(e.Providers) == 0 {
		names := make([]string, 0, len(ix.names))
		for n := range ix.names {
			names = append(names, n)
		}
		e.Near = near(name, names)
	}
	return e
}

// notLocked says that a name to update is not in the lock.
func notLocked(name string, l *lock.Lock) error {
	s := fmt.Sprintf("cannot update %s: the lock has no such package", name)
	if l == nil {
		return fmt.Errorf("%s", s)
	}
	names := make([]string, len(l.Packages))
	for i, p := range l.Packages {
		names[i] = p.Name
	}
	if close := near(name, names); len(close) > 0 {
		s += "; did you mean " + strings.Join(close, ", ") + "?"
	}
	return fmt.Errorf("%s", s)
}

// near are the names that may have been meant, the likeliest first: what a
// slip of the fingers makes of them, what another number or another last part
// makes of them, what begins with the name, contains it, or begins it.
func near(name string, names []string) []string {
	type match struct {
		name          string
		score, common int
	}
	var found []match
	for _, n := range names {
		common := 0
		for common < len(n) && common < len(name) && n[common] == name[common] {
			common++
		}
		if score, ok := likeness(name, n); ok {
			found = append(found, match{n, score, common})
		}
	}
	slices.SortFunc(found, func(a, b match) int {
		return cmp.Or(cmp.Compare(a.score, b.score), cmp.Compare(b.common, a.common), strings.Compare(a.name, b.name))
	})
	var best []string
	for _, m := range found[:min(len(found), maxNear)] {
		best = append(best, m.name)
	}
	return best
}

// likeness says how little n, which exists, differs from what was written.
func likeness(name, n string) (score int, ok bool) {
	if len(name) < 2 {
		return 0, false
	}
	limit := 1 + len(name)/8
	if i := strings.LastIndexByte(name, '-'); i >= 3 && strings.HasPrefix(n, name[:i+1]) {
		limit = max(limit, min(3, len(name)-i-2)) // the part after the hyphen
	}
	score, ok = 1000, false
	take := func(s int) { score, ok = min(score, s), true }
	if d := distance(name, n, limit+1); d <= limit {
		take(10 * d)
	}
	if stem := withoutNumber(name); len(stem) >= 3 && withoutNumber(n) == stem {
		take(15) // another number
	}
	switch {
	case strings.HasPrefix(n, name):
		take(8 + min(50, len(n)-len(name)))
	case len(name) >= 4 && strings.Contains(n, name):
		take(30 + min(50, len(n)-len(name)))
	case len(n) >= 4 && strings.HasPrefix(name, n):
		take(40)
	}
	return score, ok
}

// withoutNumber is a name without the version at its end.
func withoutNumber(name string) string { return strings.TrimRight(name, "0123456789.") }

// distance counts the insertions, deletions, substitutions and swaps of
// neighbours between a and b; it may answer limit for anything not below it.
func distance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	var rows [3][130]int // names have at most 128 characters
	if len(b) >= len(rows[0]) {
		return limit
	}
	before, last, now := rows[0][:], rows[1][:], rows[2][:]
	for j := range len(b) + 1 {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		now[0] = i
		least := i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			now[j] = min(last[j]+1, now[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				now[j] = min(now[j], before[j-2]+1)
			}
			least = min(least, now[j])
		}
		if least > limit {
			return limit
		}
		before, last, now = last, now, before
	}
	return last[len(b)]
}
