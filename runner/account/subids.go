// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package account

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"sort"

	"osbuild/runner/spec"
)

// defaultSubids is the length of a range whose declaration names none.
const defaultSubids = 65536

// SubidOptions say where subordinate ids may lie.
type SubidOptions struct {
	// AddRoot gives root a range when none is declared for it.
	AddRoot bool
	// Min and Max bound the declared ranges; Max is exclusive.
	Min, Max int
	// Shrink makes ranges without a start shorter, all alike, where they
	// would not fit. Without it that is an error.
	Shrink bool
	// Accounts are the ids of users, or groups, by name: who has a range must
	// not become one of them by it.
	Accounts map[int]string
}

// PlaceSubids decides which subordinate ids each name has. Ranges that are on
// disk stay as they are, wherever they lie, and a name that has some gets no
// others. Of the declared ones, those with a start come first and must fit;
// each of the rest, by name, begins at the low end of the highest free
// interval that is long enough. Ids of accounts are not free. The result is sorted by start.
func PlaceSubids(onDisk, declared []spec.SubidRange, o SubidOptions) (placed []spec.SubidRange, warnings []string, err error) {
	taken := map[string]bool{}
	for _, r := range onDisk {
		if r.Start == nil {
			return nil, nil, fmt.Errorf("cannot keep the subordinate ids of %q: %w", r.Name, ErrNoStart)
		}
		taken[r.Name] = true
		placed = append(placed, r)
	}
	declared, warnings = distinct(declared)
	declared = slices.DeleteFunc(addRoot(declared, onDisk, o), func(r spec.SubidRange) bool { return taken[r.Name] })

	var generic []spec.SubidRange
	for _, r := range declared {
		if r.Start == nil {
			generic = append(generic, r)
			continue
		}
		if *r.Start < o.Min || *r.Start+r.Count > o.Max {
			return nil, nil, fmt.Errorf("cannot give %q the subordinate ids %d to %d, permitted are %d to %d: %w",
				r.Name, *r.Start, *r.Start+r.Count-1, o.Min, o.Max-1, ErrOutside)
		}
		if other, ok := overlapping(placed, *r.Start, r.Count); ok {
			return nil, nil, fmt.Errorf("cannot give %q the subordinate ids %d to %d, %q has %d to %d: %w", r.Name,
				*r.Start, *r.Start+r.Count-1, other.Name, *other.Start, *other.Start+other.Count-1, ErrOverflow)
		}
		if other, ok := overlapping(o.single(), *r.Start, r.Count); ok {
			return nil, nil, fmt.Errorf("cannot give %q the subordinate ids %d to %d, %d is %q itself: %w", r.Name,
				*r.Start, *r.Start+r.Count-1, *other.Start, other.Name, ErrOverflow)
		}
		placed = append(placed, r)
	}
	all, failed := placeGeneric(placed, generic, o, o.Max)
	if failed != nil && o.Shrink {
		// The longest common limit that lets all of them fit.
		limit := sort.Search(o.Max-o.Min, func(i int) bool {
			_, failed := placeGeneric(placed, generic, o, i+1)
			return failed != nil
		})
		if limit > 0 {
			all, failed = placeGeneric(placed, generic, o, limit)
		}
	}
	if failed != nil {
		return nil, nil, fmt.Errorf("cannot find %d subordinate ids for %q between %d and %d, the longest free interval has %d: %w",
			failed.Count, failed.Name, o.Min, o.Max-1, longest(all, o), ErrOverflow)
	}
	sortRanges(all)
	return all, warnings, nil
}

// distinct drops all but the first range of a name and fills in counts.
func distinct(declared []spec.SubidRange) (out []spec.SubidRange, warnings []string) {
	seen := map[string]bool{}
	for _, r := range declared {
		if seen[r.Name] {
			warnings = append(warnings, fmt.Sprintf("the subordinate ids of %q are declared more than once; the first declaration counts", r.Name))
			continue
		}
		seen[r.Name] = true
		if r.Count <= 0 {
			r.Count = defaultSubids
		}
		out = append(out, r)
	}
	sortRanges(out)
	return out, warnings
}

// addRoot gives root the ids in front of the first declared start, so that it
// has the lowest ones, as other tools expect.
func addRoot(declared, onDisk []spec.SubidRange, o SubidOptions) []spec.SubidRange {
	if !o.AddRoot || slices.ContainsFunc(declared, func(r spec.SubidRange) bool { return r.Name == "root" }) {
		return declared
	}
	root := spec.SubidRange{Name: "root", Count: defaultSubids}
	start := o.Min
	switch {
	case len(declared) == 0 || declared[0].Start == nil:
		root.Start = &start
	case *declared[0].Start > o.Min:
		root.Start, root.Count = &start, *declared[0].Start-o.Min
	}
	if root.Start != nil {
		_, clash := overlapping(slices.Concat(onDisk, o.single()), start, root.Count)
		// In a small container root shares with the others instead.
		shared := o.Shrink && root.Count == defaultSubids
		if clash || shared {
			root.Start, root.Count = nil, defaultSubids
		}
	}
	out := append([]spec.SubidRange{root}, declared...)
	sortRanges(out)
	return out
}

// placeGeneric places ranges without a start, none longer than limit. It
// returns what is placed so far and the range that found no room.
func placeGeneric(placed, generic []spec.SubidRange, o SubidOptions, limit int) ([]spec.SubidRange, *spec.SubidRange) {
	placed = slices.Clone(placed)
	for _, r := range generic {
		r.Count = min(r.Count, limit)
		fits := -1
		for _, gap := range free(placed, o) {
			if gap.count >= r.Count {
				fits = gap.start
			}
		}
		if fits < 0 {
			return placed, &r
		}
		r.Start = &fits
		placed = append(placed, r)
	}
	return placed, nil
}

type interval struct{ start, count int }

// free lists the gaps between placed ranges within the bounds, ascending.
func free(placed []spec.SubidRange, o SubidOptions) (gaps []interval) {
	placed = slices.Concat(placed, o.single())
	sortRanges(placed)
	at := o.Min
	for _, r := range placed {
		if stop := min(*r.Start, o.Max); stop > at {
			gaps = append(gaps, interval{at, stop - at})
		}
		at = max(at, *r.Start+r.Count)
	}
	if at < o.Max {
		gaps = append(gaps, interval{at, o.Max - at})
	}
	return gaps
}

// single are the ids of accounts, each a range of its own.
func (o SubidOptions) single() (ranges []spec.SubidRange) {
	for _, id := range slices.Sorted(maps.Keys(o.Accounts)) {
		if id >= o.Min && id < o.Max {
			ranges = append(ranges, spec.SubidRange{Name: o.Accounts[id], Start: &id, Count: 1})
		}
	}
	return ranges
}

func longest(placed []spec.SubidRange, o SubidOptions) int {
	n := 0
	for _, gap := range free(placed, o) {
		n = max(n, gap.count)
	}
	return n
}

func overlapping(placed []spec.SubidRange, start, count int) (spec.SubidRange, bool) {
	for _, r := range placed {
		if r.Start != nil && start < *r.Start+r.Count && *r.Start < start+count {
			return r, true
		}
	}
	return spec.SubidRange{}, false
}

// sortRanges puts ranges with a start first, by start, then the others by name.
func sortRanges(ranges []spec.SubidRange) {
	slices.SortStableFunc(ranges, func(a, b spec.SubidRange) int {
		switch {
		case a.Start != nil && b.Start != nil:
			return cmp.Or(cmp.Compare(*a.Start, *b.Start), cmp.Compare(a.Name, b.Name))
		case a.Start != nil:
			return -1
		case b.Start != nil:
			return 1
		}
		return cmp.Compare(a.Name, b.Name)
	})
}
