// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package account

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"osbuild/runner/spec"
)

// sequences is how many random histories of a machine a property test makes;
// each has a few generations of declarations.
const sequences = 10000

// machine is what one machine has on its disk, as bytes, and what the test
// remembers of all its generations.
type machine struct {
	passwd, shadow, group, ids []byte
	subids                     []byte
	// had are all names that ever had an id, by kind and id.
	had map[string]map[int]string
	// was are the ids of all names in the generation before.
	was map[string]map[string]int
	log strings.Builder
}

// random makes declarations of few names with near ids, so that they meet.
type random struct{ *rand.Rand }

func (r random) chance(percent int) bool { return r.IntN(100) < percent }

// declaredID is an id near the ends of the ranges that this machine has.
func (r random) declaredID(top int) *int {
	var n int
	switch r.IntN(4) {
	case 0:
		n = r.IntN(12) + systemMax - 6
	case 1:
		n = r.IntN(8) + systemMin - 2
	case 2:
		n = r.IntN(8) + top - 4
	default:
		n = r.IntN(8) + regularMin
	}
	return &n
}

func (r random) accounts(top int) (decl spec.Accounts) {
	declared := map[int]bool{}
	id := func() *int {
		if r.chance(70) {
			return nil
		}
		n := r.declaredID(top)
		if declared[*n] && r.chance(90) {
			return nil // two names with one id are refused; not too often
		}
		declared[*n] = true
		return n
	}
	for _, i := range r.Perm(10)[:2+r.IntN(8)] {
		decl.Groups = append(decl.Groups, spec.Group{Name: fmt.Sprintf("g%d", i), GID: id(), System: r.chance(40)})
	}
	declared = map[int]bool{}
	for _, i := range r.Perm(10)[:1+r.IntN(9)] {
		u := spec.User{
			Name: fmt.Sprintf("u%d", i), UID: id(), System: r.chance(30), Shell: "/bin/sh",
			Home: fmt.Sprintf("/home/u%d", r.IntN(3)), Comment: fmt.Sprint(r.IntN(3)),
			Group: decl.Groups[r.IntN(len(decl.Groups))].Name,
		}
		if r.chance(20) {
			u.Group = "100"
		}
		if r.chance(50) {
			u.SupplementaryGroups = []string{decl.Groups[r.IntN(len(decl.Groups))].Name}
		}
		decl.Users = append(decl.Users, u)
	}
	return decl
}

// previous reads the disk as an activation does.
func (m *machine) previous(t *testing.T) (prev Previous) {
	t.Helper()
	var problems [3][]error
	prev.Users, problems[0] = ParsePasswd(m.passwd)
	prev.Shadow, problems[1] = ParseShadow(m.shadow)
	prev.Groups, problems[2] = ParseGroup(m.group)
	for _, p := range problems {
		if len(p) > 0 {
			t.Fatalf("what was written cannot be read: %v", p)
		}
	}
	if m.ids != nil {
		if err := json.Unmarshal(m.ids, &prev.IDs); err != nil {
			t.Fatal(err)
		}
	}
	return prev
}

func (m *machine) write(t *testing.T, db Database) {
	t.Helper()
	m.passwd, m.shadow, m.group = FormatPasswd(db.Users), FormatShadow(db.Shadow), FormatGroup(db.Groups)
	var err error
	if m.ids, err = json.Marshal(db.IDs); err != nil {
		t.Fatal(err)
	}
}

// check holds what the ids of one kind may never be.
func (m *machine) check(t *testing.T, kind string, wants []want, ids map[string]int, warnings string) {
	t.Helper()
	owner := map[int]string{}
	for _, w := range wants {
		id, ok := ids[w.name]
		if !ok {
			t.Fatalf("%s has no %s\n%s", w.name, kind, m.log.String())
		}
		if other, twice := owner[id]; twice {
			t.Fatalf("%s and %s have the %s %d\n%s", w.name, other, kind, id, m.log.String())
		}
		owner[id] = w.name
		before, known := m.was[kind][w.name]
		switch {
		case w.explicit != nil && *w.explicit != id:
			t.Fatalf("%s declares the %s %d and has %d\n%s", w.name, kind, *w.explicit, id, m.log.String())
		case w.explicit == nil && known && before != id && owner[before] == "":
			// Only a declaration may have taken it away.
			if _, taken := takenBy(wants, before); !taken {
				t.Fatalf("%s had the %s %d and has %d\n%s", w.name, kind, before, id, m.log.String())
			}
		}
		if other, used := m.had[kind][id]; used && other != w.name {
			if w.explicit == nil {
				t.Fatalf("%s gets the %s %d, which %s had\n%s", w.name, kind, id, other, m.log.String())
			}
			if !strings.Contains(warnings, fmt.Sprintf("%q gets the %s %d, which", w.name, kind, id)) {
				t.Fatalf("%s declares the %s %d, which %s had, and nobody is told:\n%s\n%s", w.name, kind, id, other, warnings, m.log.String())
			}
		}
	}
	for id, name := range owner {
		m.had[kind][id] = name
	}
	// Whom a declaration took an id, has none to keep any more.
	maps.DeleteFunc(m.was[kind], func(_ string, id int) bool { return owner[id] != "" })
	maps.Copy(m.was[kind], ids)
}

func takenBy(wants []want, id int) (string, bool) {
	for _, w := range wants {
		if w.explicit != nil && *w.explicit == id {
			return w.name, true
		}
	}
	return "", false
}

func passwordless(users []User) map[string]int {
	ids := map[string]int{}
	for _, u := range users {
		ids[u.Name] = u.UID
	}
	return ids
}

// TestRandomAccounts follows many machines through random declarations. No id
// that is not declared was ever another name's, no two names have one id, each
// name keeps its own, and what is done twice is done once.
func TestRandomAccounts(t *testing.T) {
	outcomes := map[string]int{}
	for seed := range uint64(sequences) {
		r := random{rand.New(rand.NewPCG(seed, 1))}
		top := regularMin + 2 + r.IntN(20)
		m := &machine{had: map[string]map[int]string{"uid": {}, "gid": {}}, was: map[string]map[string]int{"uid": {}, "gid": {}}}
		fmt.Fprintf(&m.log, "seed %d, top %d\n", seed, top)
		for range 1 + r.IntN(6) {
			decl := r.accounts(top)
			text, err := json.Marshal(decl)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&m.log, "%s\n", text)
			db, err := Build(decl, m.previous(t), top, 20000)
			switch {
			case errors.Is(err, ErrExhausted):
				outcomes["exhausted"]++
				continue
			case errors.Is(err, ErrTaken):
				outcomes["taken"]++
				continue
			case err != nil:
				t.Fatalf("%v\n%s", err, m.log.String())
			}
			outcomes["built"]++
			warnings := strings.Join(db.Warnings, "\n")
			var wants []want
			for _, u := range decl.Users {
				wants = append(wants, want{u.Name, u.UID, u.System})
			}
			m.check(t, "uid", wants, passwordless(db.Users), warnings)
			wants = nil
			gids := map[string]int{}
			for _, g := range decl.Groups {
				wants = append(wants, want{g.Name, g.GID, g.System})
			}
			for _, g := range db.Groups {
				gids[g.Name] = g.GID
			}
			m.check(t, "gid", wants, gids, warnings)

			m.write(t, db)
			again, err := Build(decl, m.previous(t), top, 30000)
			if err != nil {
				t.Fatalf("a second time: %v\n%s", err, m.log.String())
			}
			if len(again.Warnings) > 0 {
				t.Fatalf("a second time there are warnings: %v\n%s", again.Warnings, m.log.String())
			}
			once := *m
			m.write(t, again)
			for _, f := range []struct{ first, second []byte }{{once.passwd, m.passwd}, {once.shadow, m.shadow}, {once.group, m.group}, {once.ids, m.ids}} {
				if diff := cmp.Diff(string(f.first), string(f.second)); diff != "" {
					t.Fatalf("a second time changes (-first +second):\n%s\n%s", diff, m.log.String())
				}
			}
		}
	}
	for _, o := range []string{"built", "taken", "exhausted"} {
		if outcomes[o] < sequences/100 {
			t.Errorf("the declarations are not varied enough: %v", outcomes)
		}
	}
}

// TestRandomSubids does the same for subordinate ids: no range overlaps
// another or an account, all lie within the bounds, a name keeps what it has,
// and only what cannot fit is refused.
func TestRandomSubids(t *testing.T) {
	outcomes := map[string]int{}
	for seed := range uint64(sequences) {
		r := random{rand.New(rand.NewPCG(seed, 2))}
		o := SubidOptions{AddRoot: r.chance(50), Min: 100000, Max: 100000 + 1000 + r.IntN(400000)}
		unit := (o.Max - o.Min) / 12
		if r.chance(50) {
			o.Min, o.Max, o.Shrink, unit = ContainerSubidMin, ContainerSubidMax, true, 5000
		}
		m := &machine{}
		fmt.Fprintf(&m.log, "seed %d, %+v\n", seed, o)
		for range 1 + r.IntN(5) {
			o.Accounts = map[int]string{}
			var declared []spec.SubidRange
			for _, i := range r.Perm(6)[:r.IntN(6)] {
				d := spec.SubidRange{Name: fmt.Sprintf("u%d", i), Count: 1 + r.IntN(2*unit)}
				if r.chance(40) {
					start := o.Min - 20 + r.IntN(o.Max-o.Min)
					d.Start = &start
				}
				if r.chance(10) {
					d.Count = 0 // the usual number
				}
				declared = append(declared, d)
			}
			onDisk, problems := ParseSubids(m.subids)
			if len(problems) > 0 {
				t.Fatal(problems)
			}
			if r.chance(20) {
				id := o.Min + r.IntN(o.Max-o.Min)
				if _, taken := overlapping(onDisk, id, 1); !taken {
					o.Accounts[id] = "somebody"
				}
			}
			fmt.Fprintf(&m.log, "on disk:\n%sdeclared: %s\naccounts: %v\n", m.subids, describe(declared), o.Accounts)
			placed, _, err := PlaceSubids(onDisk, declared, o)
			switch {
			case errors.Is(err, ErrOutside):
				outcomes["outside"]++
				continue
			case errors.Is(err, ErrOverflow):
				outcomes["overflow"]++
				continue
			case err != nil:
				t.Fatalf("%v\n%s", err, m.log.String())
			}
			outcomes["placed"]++
			checkRanges(t, m, onDisk, declared, placed, o)
			m.subids = FormatSubids(placed)
			again, _, err := PlaceSubids(placed, declared, o)
			if err != nil {
				t.Fatalf("a second time: %v\n%s", err, m.log.String())
			}
			if diff := cmp.Diff(string(m.subids), string(FormatSubids(again))); diff != "" {
				t.Fatalf("a second time changes (-first +second):\n%s\n%s", diff, m.log.String())
			}
		}
	}
	for _, o := range []string{"placed", "outside", "overflow"} {
		if outcomes[o] < sequences/100 {
			t.Errorf("the declarations are not varied enough: %v", outcomes)
		}
	}
}

func describe(ranges []spec.SubidRange) string {
	var b strings.Builder
	for _, r := range ranges {
		start := "-"
		if r.Start != nil {
			start = fmt.Sprint(*r.Start)
		}
		fmt.Fprintf(&b, "%s:%s:%d ", r.Name, start, r.Count)
	}
	return b.String()
}

func checkRanges(t *testing.T, m *machine, onDisk, declared, placed []spec.SubidRange, o SubidOptions) {
	t.Helper()
	fail := func(format string, args ...any) {
		t.Helper()
		t.Fatalf("%s\nplaced: %s\n%s", fmt.Sprintf(format, args...), describe(placed), m.log.String())
	}
	has := map[string]spec.SubidRange{}
	end := 0
	for _, r := range placed {
		if *r.Start < end {
			fail("%s overlaps the range before it, or the order is wrong", r.Name)
		}
		end = *r.Start + r.Count
		if r.Count < 1 || *r.Start < o.Min || end > o.Max {
			fail("%s has ids that are not there", r.Name)
		}
		for id, name := range o.Accounts {
			if id >= *r.Start && id < end {
				fail("%s may become %s", r.Name, name)
			}
		}
		if _, twice := has[r.Name]; twice {
			fail("%s has two ranges", r.Name)
		}
		has[r.Name] = r
	}
	kept := map[string]bool{}
	for _, r := range onDisk {
		kept[r.Name] = true
		if now := has[r.Name]; *now.Start != *r.Start || now.Count != r.Count {
			fail("%s lost the ids it had", r.Name)
		}
	}
	for _, d := range declared {
		now, ok := has[d.Name]
		switch {
		case !ok:
			fail("%s got no range", d.Name)
		case kept[d.Name]:
		case d.Start != nil && *now.Start != *d.Start:
			fail("%s does not begin where it was declared to", d.Name)
		case (d.Start != nil || !o.Shrink) && d.Count > 0 && now.Count != d.Count:
			fail("%s has another count than it was declared to have", d.Name)
		}
	}
	if _, ok := has["root"]; o.AddRoot && !ok {
		fail("root got no range")
	}
}
