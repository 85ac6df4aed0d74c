// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package account

import (
	"fmt"
	"maps"
)

// want is one name that needs an id.
type want struct {
	name     string
	explicit *int
	system   bool
}

// allocator hands out the ids of one kind, uids or gids.
type allocator struct {
	kind       string // "uid" or "gid", for messages
	regularMax int
	owner      map[int]string // every id that a name has or had
	ids        map[string]int // the same the other way round
	regular    int            // where the search for a regular id begins
	system     int
	warnings   []string
}

// allocate gives each wanted name an id. present are the ids in the account
// file now, kept are all that names ever had. The rules: a declared id is
// taken as it is; a known name keeps its id; the others get the next free
// regular id upwards or system id downwards, counted on from the last one, and
// never one that another name ever had.
func allocate(kind string, wants []want, present, kept map[string]int, top int) (map[string]int, map[string]int, []string, error) {
	a := &allocator{kind: kind, regularMax: top, owner: map[int]string{}, ids: map[string]int{}}
	maps.Copy(a.ids, kept)
	maps.Copy(a.ids, present)
	for _, name := range sortedKeys(a.ids) {
		// Two names with one id can come from files that others wrote; the
		// name that is there now is the owner, of two such the first.
		id := a.ids[name]
		_, here := present[name]
		if old, ok := a.owner[id]; ok {
			if _, oldHere := present[old]; oldHere || !here {
				continue
			}
		}
		a.owner[id] = name
	}
	// The cursors follow the ids of earlier boots, not those that this
	// declaration claims further down its list.
	a.setCursors()
	if err := a.claim(wants); err != nil {
		return nil, nil, nil, err
	}
	given := map[string]int{}
	for _, w := range wants {
		id, err := a.give(w)
		if err != nil {
			return nil, nil, nil, err
		}
		given[w.name] = id
	}
	return given, a.ids, a.warnings, nil
}

// claim reserves all declared ids before any other is given out.
func (a *allocator) claim(wants []want) error {
	declared := map[string]bool{}
	explicit := map[string]bool{}
	for _, w := range wants {
		if declared[w.name] {
			return fmt.Errorf("cannot give %q a %s: it is declared twice", w.name, a.kind)
		}
		declared[w.name] = true
		explicit[w.name] = w.explicit != nil
	}
	claimed := map[int]string{}
	for _, w := range wants {
		if w.explicit == nil {
			continue
		}
		id := *w.explicit
		if id < 0 || id > maxID {
			return fmt.Errorf("cannot give %q the %s %d: it is not an id", w.name, a.kind, id)
		}
		if other, ok := claimed[id]; ok {
			return fmt.Errorf("cannot give %q the %s %d, which %q has: %w", w.name, a.kind, id, other, ErrTaken)
		}
		claimed[id] = w.name
		if other, ok := a.owner[id]; ok && other != w.name {
			if declared[other] && !explicit[other] {
				return fmt.Errorf("cannot give %q the %s %d, which %q has had since an earlier boot; declare another one for %q: %w",
					w.name, a.kind, id, other, w.name, ErrTaken)
			}
			if !declared[other] {
				a.warnf("%q gets the %s %d, which the removed %q had: its files are now %q's", w.name, a.kind, id, other, w.name)
			}
		}
	}
	for id, name := range claimed {
		if other, ok := a.owner[id]; ok && other != name && a.ids[other] == id {
			delete(a.ids, other)
		}
		if old, ok := a.ids[name]; ok && old != id {
			a.warnf("%q changes its %s from %d to %d: files keep the old one", name, a.kind, old, id)
		}
		a.owner[id] = name
		a.ids[name] = id
	}
	return nil
}

// setCursors continues where the ids that are known leave off.
func (a *allocator) setCursors() {
	a.regular, a.system = regularMin, systemMax
	for id := range a.owner {
		if id >= regularMin && id <= a.regularMax && id >= a.regular {
			a.regular = id + 1
		}
		if id > systemMin && id <= systemMax && id <= a.system {
			a.system = id - 1
		}
	}
}

// give gives w its id and moves the cursor behind a declared one.
func (a *allocator) give(w want) (int, error) {
	if w.explicit != nil {
		a.moveCursor(*w.explicit)
		return *w.explicit, nil
	}
	if id, ok := a.ids[w.name]; ok && a.owner[id] == w.name {
		return id, nil
	}
	low, high, step, cursor := regularMin, a.regularMax, 1, &a.regular
	if w.system {
		low, high, step, cursor = systemMin, systemMax, -1, &a.system
	}
	id := *cursor
	for range high - low + 1 {
		if id < low {
			id = high
		}
		if id > high {
			id = low
		}
		if _, taken := a.owner[id]; !taken {
			a.owner[id] = w.name
			a.ids[w.name] = id
			*cursor = id + step
			return id, nil
		}
		id += step
	}
	return 0, fmt.Errorf("cannot find a %s for %q, all from %d to %d have been given: %w", a.kind, w.name, low, high, ErrExhausted)
}

func (a *allocator) moveCursor(id int) {
	switch {
	case id >= regularMin && id <= a.regularMax:
		a.regular = id + 1
	case id > systemMin && id <= systemMax:
		a.system = id - 1
	}
}

func (a *allocator) warnf(format string, args ...any) {
	a.warnings = append(a.warnings, fmt.Sprintf(format, args...))
}
