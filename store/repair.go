// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"osbuild/store/fsys"
	"osbuild/store/nar"
)

// Source gives items again that are damaged here: another store, a cache.
// Nothing that it says is believed unless it follows from what is known.
type Source interface {
	fmt.Stringer
	// Describe tells of an item. An error wraps [ErrNotFound] where the source
	// does not have it.
	Describe(ctx context.Context, p Path) (Info, error)
	// Archive opens the archive of the item.
	Archive(ctx context.Context, i Info) (io.ReadCloser, error)
}

// RepairOptions say what is repaired and from where.
type RepairOptions struct {
	Paths   []Path   // nil means all items
	Sources []Source // asked in this order
	// Rebuild, if not nil, makes an item again that no source has. It gets a
	// view of the store in which the item does not count as valid, so that a
	// build makes it; what it adds to the view in its place is taken.
	Rebuild func(ctx context.Context, view *Store, i Info) error
}

// Repaired is an item that is whole again.
type Repaired struct {
	Path Path
	How  string
}

// RepairFailure is one that is not.
type RepairFailure struct {
	Path Path
	Err  error
}

// RepairResult is what [Store.Repair] did.
type RepairResult struct {
	Checked  int
	Repaired []Repaired
	Failed   []RepairFailure
}

// Repair verifies all contents and makes whole what is damaged: by the item's
// own tree where only its modes or its info are, from a source, or by building it
// again. The whole tree takes the place of the other in one step. The tree of an item that
// another process uses is not replaced.
func (s *Store) Repair(ctx context.Context, o RepairOptions) (RepairResult, error) {
	var r RepairResult
	err := s.writable()
	if err == nil {
		err = s.repair(ctx, o, &r)
	}
	if err != nil {
		return r, fmt.Errorf("cannot repair the store: %w", s.explain(err))
	}
	return r, nil
}

func (s *Store) repair(ctx context.Context, o RepairOptions, r *RepairResult) (err error) {
	var todo []Path
	paths := o.Paths
	if paths != nil {
		// What is no item at all may be named too.
		paths = []Path{}
		for _, p := range sortPaths(o.Paths) {
			if _, err := s.Info(p); err == nil {
				paths = append(paths, p)
			} else {
				todo = append(todo, p)
			}
		}
	}
	rep, err := s.verify(ctx, VerifyOptions{Contents: true, Paths: paths})
	if err != nil {
		return err
	}
	r.Checked = rep.Checked
	more, err := s.damaged(rep.Problems)
	if todo = append(todo, more...); err != nil || len(todo) == 0 {
		return err
	}
	l, err := s.NewLease("store repair")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	all, _, err := s.trees()
	if err != nil {
		return err
	}
	// What is repaired may need any other item.
	if err := l.add(false, append(all, todo...)); err != nil {
		return err
	}
	d, err := s.newDeriver(all)
	if err != nil {
		return err
	}
	for _, p := range todo {
		how, err := (&repairer{store: s, lease: l, deriver: d, options: o}).item(ctx, p)
		if cerr := ctx.Err(); cerr != nil {
			return cerr
		}
		if err != nil {
			r.Failed = append(r.Failed, RepairFailure{p, s.explain(err)})
		} else if how != "" {
			r.Repaired = append(r.Repaired, Repaired{p, how})
		}
	}
	return nil
}

// damaged lists the items that problems are about, what is referred to first
// as far as that is known.
func (s *Store) damaged(problems []Problem) ([]Path, error) {
	infos, _, err := s.load()
	if err != nil {
		return nil, err
	}
	all, _, err := s.trees()
	if err != nil {
		return nil, err
	}
	var todo []Path
	for _, p := range problems {
		switch name := strings.TrimSuffix(string(p.Path[strings.LastIndexByte(string(p.Path), '/')+1:]), ".narinfo"); {
		case p.Kind == ProblemLink: // gone by now
		case p.Kind == ProblemInfo && len(name) == digestLen:
			// A damaged info file, which does not say the item's name.
			for _, q := range all {
				if q.Digest() == name {
					todo = append(todo, q)
				}
			}
		default:
			for _, q := range infos[p.Path].References {
				if !s.Valid(q) {
					todo = append(todo, q)
				}
			}
			todo = append(todo, p.Path)
		}
	}
	seen := make(map[Path]bool, len(todo))
	todo = slices.DeleteFunc(todo, func(p Path) bool {
		twice := seen[p]
		seen[p] = true
		return twice
	})
	return todo, nil
}

// repairer repairs one item.
type repairer struct {
	store   *Store
	lease   *Lease
	deriver *deriver
	options RepairOptions
}

func (r *repairer) item(ctx context.Context, p Path) (how string, err error) {
	i, err := r.store.Info(p)
	switch {
	case errors.Is(err, ErrNotFound):
		return r.unknown(ctx, p)
	case err != nil:
		return "", err
	}
	problems := r.store.checkTree(ctx, i, true, nil)
	kind := func(want ...string) bool {
		return slices.ContainsFunc(problems, func(p Problem) bool { return slices.Contains(want, p.Kind) })
	}
	switch {
	case len(problems) == 0:
		return "", nil // only what it refers to was damaged
	case kind(ProblemAddress):
		return r.unknown(ctx, p)
	case !kind(ProblemMissing, ProblemContent, ProblemUnread):
		return "its modes and times", r.own(ctx, i)
	}
	return r.tree(ctx, i)
}

// own replaces a tree by a copy of itself, which has canonical modes.
func (r *repairer) own(ctx context.Context, i Info) error {
	t, err := nar.List(ctx, r.store.Physical(i.Path), nil)
	if err != nil {
		return err
	}
	temp, err := r.lease.scratch()
	if err != nil {
		return err
	}
	sum := sha256.New()
	if _, err := r.store.copyTree(ctx, t, temp, sum, nil); err != nil {
		return err
	}
	if Hash(sum.Sum(nil)) != i.NarHash {
		return errors.Join(fmt.Errorf("it changed while it was read: %w", ErrWrong), fsys.RemoveTree(r.store.fs, temp))
	}
	return r.replace(ctx, i.Path, temp)
}

// replace puts a whole tree in place.
func (r *repairer) replace(ctx context.Context, p Path, temp string) error {
	used, err := r.store.exchangeAll(ctx, r.lease, []twin{{path: p, temp: temp}})
	if err == nil && used[p] != "" {
		err = fmt.Errorf("it is %s, which may have it open (end that first)", used[p])
	}
	return err
}

// tree replaces the tree of an item whose info is sound.
func (r *repairer) tree(ctx context.Context, i Info) (how string, err error) {
	var errs []error
	for _, src := range r.options.Sources {
		err := r.fetch(ctx, src, i)
		if err == nil {
			return "from " + src.String(), nil
		}
		if !errors.Is(err, ErrNotFound) {
			errs = append(errs, fmt.Errorf("%s: %w", src, err))
		}
	}
	if r.options.Rebuild != nil && i.Deriver != "" {
		err := r.rebuild(ctx, i)
		if err == nil {
			return "built again", nil
		}
		errs = append(errs, fmt.Errorf("cannot build it again: %w", err))
	}
	if len(errs) == 0 {
		errs = append(errs, fmt.Errorf("no source has it: %w (give another with --from)", ErrNotFound))
	}
	return "", errors.Join(errs...)
}

func (r *repairer) fetch(ctx context.Context, src Source, i Info) error {
	arrival, err := r.unpack(ctx, src, i)
	if err != nil {
		return err
	}
	return r.replace(ctx, i.Path, arrival.temp)
}

func (r *repairer) unpack(ctx context.Context, src Source, i Info) (*Arrival, error) {
	if _, err := src.Describe(ctx, i.Path); err != nil {
		return nil, err
	}
	archive, err := src.Archive(ctx, i)
	if err != nil {
		return nil, err
	}
	arrival, err := r.store.Unpack(ctx, r.lease, i, archive)
	return arrival, errors.Join(err, archive.Close())
}

// rebuild makes an item again, which must give the same bytes.
func (r *repairer) rebuild(ctx context.Context, i Info) error {
	temp, err := r.lease.scratch()
	if err != nil {
		return err
	}
	view, err := Open(r.store.root, Options{FS: r.store.fs})
	if err != nil {
		return err
	}
	var made *Info
	view.suspect = map[Path]bool{i.Path: true}
	view.catch = func(got Info, tree string) (Info, error) {
		if made != nil {
			return *made, fsys.RemoveTree(view.fs, tree)
		}
		made = &got
		return got, view.fs.Rename(tree, temp)
	}
	err = errors.Join(r.options.Rebuild(ctx, view, i), view.Sync())
	switch {
	case err == nil && made == nil:
		err = errors.New("the build gave something else this time")
	case err == nil && made.NarHash != i.NarHash:
		err = fmt.Errorf("the build gave the hash %s, but %s is registered: %w", made.NarHash, i.NarHash, ErrWrong)
	}
	if err != nil {
		return errors.Join(err, fsys.RemoveTree(r.store.fs, temp))
	}
	return r.replace(ctx, i.Path, temp)
}

// unknown makes an item valid again whose info is damaged or not there, or is
// not that of its path: of its tree where its path follows from that, or of a
// source.
func (r *repairer) unknown(ctx context.Context, p Path) (how string, err error) {
	if _, err := os.Lstat(r.store.Physical(p)); err == nil {
		i, err := r.deriver.derive(ctx, p)
		if err == nil && i.Path != "" {
			return "its info, from its tree", r.adopt(ctx, i)
		}
	}
	var errs []error
	for _, src := range r.options.Sources {
		i, err := src.Describe(ctx, p)
		if err == nil {
			// Its path must tell what the info could not.
			err = CheckAddress(i)
		}
		var arrival *Arrival
		if err == nil {
			arrival, err = r.unpack(ctx, src, i)
		}
		if err == nil {
			err = r.admit(ctx, arrival)
		}
		if err == nil {
			return "from " + src.String(), nil
		}
		if !errors.Is(err, ErrNotFound) {
			errs = append(errs, fmt.Errorf("%s: %w", src, err))
		}
	}
	if len(errs) == 0 {
		errs = append(errs, fmt.Errorf("nothing tells what belongs there: %w (give a source with --from, or let osbuild store gc remove it)", ErrNotFound))
	}
	return "", errors.Join(errs...)
}

// adopt registers what lies in its place, and mends its modes.
func (r *repairer) adopt(ctx context.Context, i Info) error {
	if err := r.store.adopt(ctx, i); err != nil {
		return err
	}
	if problems := r.store.checkTree(ctx, i, false, nil); len(problems) > 0 {
		return r.own(ctx, i)
	}
	return nil
}

// admit registers an item, in place of a valid one too.
func (r *repairer) admit(ctx context.Context, a *Arrival) error {
	if !r.store.Valid(a.Info.Path) {
		return r.store.Admit(ctx, r.lease, a)
	}
	if err := r.replace(ctx, a.Info.Path, a.temp); err != nil {
		return err
	}
	return r.store.adopt(ctx, a.Info)
}

// FromStore is a source that gives the items of another store.
func FromStore(s *Store) Source { return storeSource{s} }

type storeSource struct{ store *Store }

func (s storeSource) String() string { return s.store.Root() }

func (s storeSource) Describe(_ context.Context, p Path) (Info, error) { return s.store.valid(p) }

func (s storeSource) Archive(ctx context.Context, i Info) (io.ReadCloser, error) {
	r, w := io.Pipe()
	go func() { _ = w.CloseWithError(s.store.DumpNAR(ctx, i.Path, w)) }() // always nil
	return r, nil
}
