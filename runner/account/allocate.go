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

// known are the ids of one kind that names have or had.
type known struct {
	present map[string]int // in the account file now
	kept    map[string]int // of all names that there ever were
	former  map[int]string // those that a name gave up for another
}

// given is what an allocation decides and what is known afterwards.
type given struct {
	ids      map[string]int // of the wanted names
	kept     map[string]int
	former   map[int]string
	warnings []string
}

// allocator hands out the ids of one kind, uids or gids.
type allocator struct {
	kind       string // "uid" or "gid", for messages
	regularMax int
	owner      map[int]string // every id that a name has or had
	ids        map[string]int // the id of every name
	former     map[int]string // ids that a name had before
	regular    int            // where the search for a regular id begins
	system     int
	warnings   []string
}

// allocate gives each wanted name an id. The rules: a declared id is taken as
// it is; a known name keeps its id; the others get the next free regular id
// upwards or system id downwards, counted on from the last one, and never one
// that another name ever had.
func allocate(kind string, wants []want, k known, top int) (given, error) {
	a := &allocator{kind: kind, regularMax: top, owner: map[int]string{}, ids: map[string]int{}, former: map[int]string{}}
	maps.Copy(a.former, k.former)
	maps.Copy(a.owner, k.former)
	maps.Copy(a.ids, k.kept)
	maps.Copy(a.ids, k.present)
	for _, name := range sortedKeys(k.kept) {
		id := k.kept[name]
		// The account file may have been changed by hand.
		if a.ids[name] != id {
			a.former[id], a.owner[id] = name, name
		}
	}
	owners := map[int]string{}
	for _, name := range sortedKeys(a.ids) {
		// Two names with one id can come from files that others wrote; the
		// name that is there now is the owner, of two such the first.
		id := a.ids[name]
		_, here := k.present[name]
		if old, ok := owners[id]; ok {
			if _, oldHere := k.present[old]; oldHere || !here {
				continue
			}
		}
		owners[id] = name
	}
	maps.Copy(a.owner, owners)
	// The cursors follow the ids of earlier boots, not those that this
	// declaration claims further down its list.
	a.setCursors()
	if err := a.claim(wants); err != nil {
		return given{}, err
	}
	ids := map[string]int{}
	for _, w := range wants {
		id, err := a.give(w)
		if err != nil {
			return given{}, err
		}
		ids[w.name] = id
	}
	for id := range a.former {
		if name, ok := a.owner[id]; ok && a.ids[name] == id {
			delete(a.former, id) // somebody has it again
		}
	}
	return given{ids: ids, kept: a.ids, former: a.former, warnings: a.warnings}, nil
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
			if declared[other] && !explicit[other] && a.ids[other] == id {
				return fmt.Errorf("cannot give %q the %s %d, which %q has had since an earlier boot; declare another one for %q: %w",
					w.name, a.kind, id, other, w.name, ErrTaken)
			}
			switch {
			case !declared[other]:
				a.warnf("%q gets the %s %d, which the removed %q had: its files are now %q's", w.name, a.kind, id, other, w.name)
			default:
				a.warnf("%q gets the %s %d, which %q had before: files that have it are now %q's", w.name, a.kind, id, other, w.name)
			}
		}
	}
	// First all leave what they had, then all take what they claim, so that two
	// names may change places.
	for _, w := range wants {
		if w.explicit == nil {
			continue
		}
		if old, ok := a.ids[w.name]; ok && old != *w.explicit {
			a.warnf("%q changes its %s from %d to %d: files keep the old one", w.name, a.kind, old, *w.explicit)
			if a.owner[old] == w.name {
				a.former[old] = w.name
			}
		}
	}
	for id, name := range claimed {
		if other, ok := a.owner[id]; ok && other != name && a.ids[other] == id {
			delete(a.ids, other)
		}
	}
	for id, name := range claimed {
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
