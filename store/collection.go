// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// collection is one collection's view of the store.
type collection struct {
	infos   map[Path]Info
	log     logState // of the index that infos came from
	damaged []string // names of files that are no sound info files
	stray   []string // entries of the store folder without info or lease
	stale   []string // entries of indirect roots that lead nowhere
	roots   []Root   // of all kinds: links, leases, recent use
	parent  map[Path]string
	dead    []Path // in the order of deletion
	freed   int    // how many of dead are gone
	dry     bool
}

func (c *collection) result() GCResult {
	if c == nil {
		return GCResult{}
	}
	r := GCResult{Freed: c.dead[:c.freed], Kept: len(c.infos) - c.freed}
	if c.dry {
		r.Freed, r.Kept = c.dead, len(c.infos)-len(c.dead)
	}
	for _, p := range r.Freed {
		r.Bytes += c.infos[p].NarSize
	}
	return r
}

// survey finds out what lives and what is dead. With clean it also takes
// away what dead processes left.
func (s *Store) survey(o GCOptions, clean bool) (*collection, error) {
	c := &collection{dry: !clean, parent: make(map[Path]string)}
	if clean {
		if _, err := s.discardDead(); err != nil {
			return nil, err
		}
	}
	// The leases come first: who ends one now has registered everything
	// before, so that the info files, which are read later, tell of it.
	leased, err := s.leaseRoots(nil)
	if err != nil {
		return nil, err
	}
	if c.infos, c.damaged, c.log, err = s.loadWith(true); err != nil {
		return nil, err
	}
	if c.roots, c.stale, err = s.roots(); err != nil {
		return nil, err
	}
	c.roots = append(c.roots, leased...)
	if o.ScanProc != "" {
		open, err := s.procRoots(o.ScanProc)
		if err != nil {
			return nil, err
		}
		c.roots = append(c.roots, open...)
	}
	c.mark()
	if o.Delete != nil {
		return c, c.choose(o.Delete)
	}
	var used map[Path]time.Time
	if o.MinAge > 0 || o.KeepLast > 0 || o.MaxFreed > 0 {
		used = s.lastUse(c)
	}
	if o.MinAge > 0 {
		limit := time.Now().Add(-o.MinAge)
		for p, t := range used {
			if t.After(limit) {
				c.roots = append(c.roots, Root{Link: fmt.Sprintf("used less than %v ago", o.MinAge), Path: p})
			}
		}
		c.mark()
	}
	if o.KeepLast > 0 {
		c.keepLast(used, o.KeepLast)
	}
	c.sweep(used, o.MaxFreed)
	return c, s.findStray(c)
}

// keepLast makes roots of those dead items that were used last and to which
// no other refers.
func (c *collection) keepLast(used map[Path]time.Time, n int) {
	referrers := c.referrers()
	var tops []Path
	for p := range c.infos {
		if !c.alive(p) && len(referrers[p]) == 0 {
			tops = append(tops, p)
		}
	}
	slices.SortFunc(tops, func(a, b Path) int {
		return cmp.Or(used[b].Compare(used[a]), strings.Compare(string(a), string(b)))
	})
	for _, p := range tops[:min(n, len(tops))] {
		c.roots = append(c.roots, Root{Link: fmt.Sprintf("one of the %d used last", n), Path: p})
	}
	c.mark()
}

// leaseRoots returns what living leases protect, without that of but.
func (s *Store) leaseRoots(but *Lease) ([]Root, error) {
	states, err := s.leases()
	if err != nil {
		return nil, err
	}
	var out []Root
	for _, st := range states {
		if st.dead != nil {
			_ = st.dead.Close() // only read
			continue
		}
		if but != nil && st.id == but.id {
			continue
		}
		for _, p := range st.paths {
			out = append(out, Root{Link: "in use by " + cmp.Or(st.label, "another process"), Path: p})
		}
	}
	return out, nil
}

// lastUse returns the time that each item which is not alive was last used, see
// touch.
func (s *Store) lastUse(c *collection) map[Path]time.Time {
	used := make(map[Path]time.Time)
	for p := range c.infos {
		if c.alive(p) {
			continue
		}
		if st, err := os.Lstat(s.infoPath(p)); err == nil {
			used[p] = st.ModTime()
		}
	}
	return used
}

// mark goes from the roots along the references. parent then holds, for all
// that lives, what keeps it: a referrer's path or a root's link.
func (c *collection) mark() {
	var queue []Path
	for _, r := range c.roots {
		if _, seen := c.parent[r.Path]; !seen {
			c.parent[r.Path] = r.Link
			queue = append(queue, r.Path)
		}
	}
	for len(queue) > 0 {
		p := queue[0]
		queue = queue[1:]
		for _, r := range c.infos[p].References {
			if _, seen := c.parent[r]; !seen {
				c.parent[r] = string(p)
				queue = append(queue, r)
			}
		}
	}
}

func (c *collection) alive(p Path) bool {
	_, ok := c.parent[p]
	return ok
}

// why returns the chain from a root to p, or nil.
func (c *collection) why(p Path) []string {
	if !c.alive(p) {
		return nil
	}
	chain := []string{string(p)}
	for {
		up := c.parent[p]
		chain = append(chain, up)
		next, err := ParsePath(up)
		if err != nil {
			slices.Reverse(chain)
			return chain
		}
		p = next
	}
}

// referrers inverts the references of infos, without those to itself.
func (c *collection) referrers() map[Path][]Path {
	out := make(map[Path][]Path)
	for p, i := range c.infos {
		for _, r := range i.References {
			if r != p {
				out[r] = append(out[r], p)
			}
		}
	}
	return out
}

// sweep lists the dead, referrers before what they refer to, and otherwise
// the least recently used first as far as that is known, until limit bytes are
// reached.
func (c *collection) sweep(used map[Path]time.Time, limit int64) {
	type entry struct {
		used, size int64
		start      uint64
		path       Path
		refs       []Path
	}
	order := make([]entry, 0, len(c.infos))
	for p, i := range c.infos {
		if !c.alive(p) {
			order = append(order, entry{used[p].UnixNano(), i.NarSize, digestStart(p), p, i.References})
		}
	}
	slices.SortFunc(order, func(a, b entry) int {
		switch {
		case a.used != b.used:
			return cmp.Compare(a.used, b.used)
		case a.start != b.start:
			return cmp.Compare(a.start, b.start)
		}
		return strings.Compare(string(a.path), string(b.path))
	})
	// Numbers stand for the dead: there may be very many.
	numbers := newNumbering(len(order), func(k int32) Path { return order[k].path })
	var arrows []arrow
	for k, e := range order {
		for _, r := range e.refs {
			if n := numbers.of(r); n >= 0 && int(n) != k {
				arrows = append(arrows, arrow{int32(k), n})
			}
		}
	}
	referrers := referrersOf(len(order), arrows)
	done := make([]bool, len(order))
	var freed int64
	full := func() bool { return limit > 0 && freed >= limit }
	var stack []int32
	// Not recursive: chains of references may be long.
	for k := range order {
		stack = append(stack[:0], int32(k))
		for len(stack) > 0 && !full() {
			top := stack[len(stack)-1]
			pending := len(stack)
			for _, r := range referrers(top) {
				if !done[r] {
					stack = append(stack, r)
				}
			}
			if len(stack) > pending {
				continue
			}
			stack = stack[:pending-1]
			if !done[top] {
				done[top] = true
				c.dead = append(c.dead, order[top].path)
				freed += order[top].size
			}
		}
	}
}

// arrow says that an item refers to another; both are numbers.
type arrow struct{ from, to int32 }

// referrersOf gives, for each of n items, where its arrows come from.
func referrersOf(n int, arrows []arrow) func(k int32) []int32 {
	start := make([]int32, n+1)
	for _, a := range arrows {
		start[a.to+1]++
	}
	for k := range n {
		start[k+1] += start[k]
	}
	next := slices.Clone(start)
	list := make([]int32, len(arrows))
	for _, a := range arrows {
		list[next[a.to]] = a.from
		next[a.to]++
	}
	return func(k int32) []int32 { return list[start[k]:start[k+1]] }
}

// choose checks that paths may go and puts them in order.
func (c *collection) choose(paths []Path) error {
	chosen := make(map[Path]bool)
	for _, p := range paths {
		if _, ok := c.infos[p]; !ok {
			return fmt.Errorf("cannot find %s in the store: %w", p, ErrNotFound)
		}
		if chain := c.why(p); chain != nil {
			return fmt.Errorf("%s is %w: %s", p, ErrAlive, strings.Join(chain, " → "))
		}
		chosen[p] = true
	}
	for p, list := range c.referrers() {
		for _, r := range list {
			if chosen[p] && !chosen[r] {
				return fmt.Errorf("%s is %w: %s refers to it (delete that too, or collect garbage)", p, ErrAlive, r)
			}
		}
	}
	rest := c.infos
	c.infos = make(map[Path]Info, len(chosen))
	for p := range chosen {
		c.infos[p] = rest[p]
	}
	c.parent = make(map[Path]string)
	c.sweep(nil, 0)
	c.infos = rest
	return nil
}

// findStray lists the entries of the store folder that no info describes and
// no lease protects.
func (s *Store) findStray(c *collection) error {
	dir, err := os.Open(s.at(storeFolder))
	if err != nil {
		return err
	}
	names, err := dir.Readdirnames(-1)
	if err = errors.Join(err, dir.Close()); err != nil {
		return err
	}
	for _, name := range names {
		p, err := parseBase(name)
		if err == nil {
			if _, valid := c.infos[p]; valid || c.alive(p) {
				continue
			}
		}
		c.stray = append(c.stray, name)
	}
	return nil
}

// WhyAlive returns the chain that keeps an item: a root's link (or who uses
// the item), then items, each referring to the next, the last one p. It is
// empty where nothing keeps p. Of the options of a collection only ScanProc
// counts.
func (s *Store) WhyAlive(p Path, o GCOptions) ([]string, error) {
	if _, err := s.Info(p); err != nil {
		return nil, err
	}
	c, err := s.survey(GCOptions{ScanProc: o.ScanProc}, false)
	if err != nil {
		return nil, fmt.Errorf("cannot find out what keeps %s: %w", p, err)
	}
	return c.why(p), nil
}
