// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"osbuild/store/fsys"
)

// GCOptions say what a collection may take.
type GCOptions struct {
	// DryRun only tells what would go.
	DryRun bool
	// MinAge spares items that were used more recently than this, and what
	// they need.
	MinAge time.Duration
	// MaxFreed ends the collection when items of this many bytes are gone;
	// those go first that were not used for the longest time. 0 is no limit.
	MaxFreed int64
	// Delete, if not nil, names the only items that go. One that is still
	// needed is an error that wraps [ErrAlive].
	Delete []Path
}

// GCResult is what a collection took, or would take.
type GCResult struct {
	Freed []Path // in the order of deletion: referrers first
	Bytes int64  // the archive sizes of Freed
	Kept  int    // valid items that remain
}

// GC deletes the items that neither a root nor a lease needs. What is dead
// is decided, and moved out of the store, under a lock that blocks only the
// growth of leases; the deletion itself holds no lock, and one that was
// interrupted is finished by the next.
func (s *Store) GC(ctx context.Context, o GCOptions) (GCResult, error) {
	r, err := s.collect(ctx, o)
	switch {
	case err != nil && o.Delete != nil:
		return r, fmt.Errorf("cannot delete store items: %w", s.explain(err))
	case err != nil:
		return r, fmt.Errorf("cannot collect garbage: %w", s.explain(err))
	}
	return r, nil
}

func (s *Store) collect(ctx context.Context, o GCOptions) (GCResult, error) {
	if o.DryRun && s.readOnly {
		c, err := s.survey(o, false)
		return c.result(), err
	}
	if err := s.writable(); err != nil {
		return GCResult{}, err
	}
	f, err := s.fs.OpenLock(s.at(collectorLock))
	if err != nil {
		return GCResult{}, err
	}
	defer f.Close() // which unlocks
	if _, err := flockContext(ctx, f, unix.LOCK_EX); err != nil {
		return GCResult{}, err
	}
	c, err := s.survey(o, !o.DryRun)
	if err != nil || o.DryRun {
		return c.result(), err
	}
	err = s.condemn(ctx, c)
	if uerr := flock(f, unix.LOCK_UN); err == nil {
		err = uerr
	}
	return c.result(), errors.Join(err, s.emptyTrash())
}

// collection is one collection's view of the store.
type collection struct {
	infos   map[Path]Info
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
	var err error
	if c.infos, c.damaged, err = s.load(); err != nil {
		return nil, err
	}
	if c.roots, c.stale, err = s.roots(); err != nil {
		return nil, err
	}
	leased, err := s.leaseRoots()
	if err != nil {
		return nil, err
	}
	c.roots = append(c.roots, leased...)
	used := s.lastUse(c.infos)
	if o.MinAge > 0 && o.Delete == nil {
		limit := time.Now().Add(-o.MinAge)
		for p, t := range used {
			if t.After(limit) {
				c.roots = append(c.roots, Root{Link: fmt.Sprintf("used less than %v ago", o.MinAge), Path: p})
			}
		}
	}
	c.mark()
	if o.Delete != nil {
		return c, c.choose(o.Delete)
	}
	c.sweep(used, o.MaxFreed)
	return c, s.findStray(c)
}

// leaseRoots returns what living leases protect.
func (s *Store) leaseRoots() ([]Root, error) {
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
		for _, p := range st.paths {
			out = append(out, Root{Link: "in use by " + cmp.Or(st.label, "another process"), Path: p})
		}
	}
	return out, nil
}

// lastUse returns the time that each item was last used, see touch.
func (s *Store) lastUse(infos map[Path]Info) map[Path]time.Time {
	used := make(map[Path]time.Time, len(infos))
	for p := range infos {
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
// the least recently used first, until limit bytes are reached.
func (c *collection) sweep(used map[Path]time.Time, limit int64) {
	var order []Path
	for p := range c.infos {
		if !c.alive(p) {
			order = append(order, p)
		}
	}
	slices.SortFunc(order, func(a, b Path) int {
		return cmp.Or(used[a].Compare(used[b]), strings.Compare(string(a), string(b)))
	})
	referrers := c.referrers()
	done := make(map[Path]bool, len(order))
	var freed int64
	full := func() bool { return limit > 0 && freed >= limit }
	// Not recursive: chains of references may be long.
	for _, p := range order {
		stack := []Path{p}
		for len(stack) > 0 && !full() {
			top := stack[len(stack)-1]
			pending := len(stack)
			for _, r := range referrers[top] {
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
				c.dead = append(c.dead, top)
				freed += c.infos[top].NarSize
			}
		}
	}
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

// condemn makes the dead invalid and moves them to the trash. Every state in
// between is sound: an item goes before what it refers to, and its info
// before its tree.
func (s *Store) condemn(ctx context.Context, c *collection) error {
	for _, link := range c.stale {
		if err := s.fs.Remove(link); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	for _, name := range c.damaged {
		if err := s.fs.Remove(s.at(infoFolder, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	for _, p := range c.dead {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := s.discard(p); err != nil {
			return err
		}
		c.freed++
	}
	for _, name := range c.stray {
		if err := s.move(s.at(storeFolder, name), s.at(trashFolder, randomName())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if c.freed > 0 {
		left := maps.Clone(c.infos)
		for _, p := range c.dead {
			delete(left, p)
		}
		s.rewriteIndex(left)
	}
	return errors.Join(s.sweepLocks(), s.sweepCache())
}

// sweepLocks removes lock files that nobody holds. Whoever opened one before
// notices that it is gone (see lockOnce).
func (s *Store) sweepLocks() error {
	entries, err := os.ReadDir(s.at(locksFolder))
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := s.at(locksFolder, e.Name())
		f, err := os.Open(path)
		if err != nil {
			continue
		}
		if flock(f, unix.LOCK_EX|unix.LOCK_NB) == nil {
			err = s.fs.Remove(path)
		}
		_ = f.Close() // only read
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// emptyTrash deletes what this and former collections threw away.
func (s *Store) emptyTrash() error {
	entries, err := os.ReadDir(s.at(trashFolder))
	if err != nil {
		return err
	}
	paths := make([]string, len(entries))
	for k, e := range entries {
		paths[k] = s.at(trashFolder, e.Name())
	}
	return fsys.RemoveTrees(s.fs, paths)
}

// WhyAlive returns the chain that keeps an item: a root's link (or who uses
// the item), then items, each referring to the next, the last one p. It is
// empty where nothing keeps p.
func (s *Store) WhyAlive(p Path) ([]string, error) {
	if _, err := s.Info(p); err != nil {
		return nil, err
	}
	c := &collection{parent: make(map[Path]string)}
	var err error
	if c.infos, _, err = s.load(); err == nil {
		c.roots, _, err = s.roots()
	}
	var leased []Root
	if err == nil {
		leased, err = s.leaseRoots()
	}
	if err != nil {
		return nil, fmt.Errorf("cannot find out what keeps %s: %w", p, err)
	}
	c.roots = append(c.roots, leased...)
	c.mark()
	return c.why(p), nil
}
