// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package cache

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"osbuild/store"
	"osbuild/store/cache/narinfo"
	"osbuild/store/cache/policy"
)

const (
	// downloads is how many archives come at once, at most. Each needs a few MiB, or
	// what its compression asks for.
	downloads = 8
	// DefaultMaxSize bounds one archive, and maxItems a closure, so that a
	// hostile cache cannot go on for ever.
	DefaultMaxSize = 64 << 30
	maxItems       = 200_000
)

// Puller brings items from caches into a store. Its fields are set before the
// first call. It may be used by many goroutines, which then share what they
// download.
type Puller struct {
	Store *store.Store
	// Caches in the order in which they are asked; see [ByPriority].
	Caches []*Cache
	// Policy says whose signatures count; nil means nobody's.
	Policy *policy.Policy
	// MaxSize is the largest archive that is taken; 0 is DefaultMaxSize.
	MaxSize int64
	// Observe, if set, is told how far each download is.
	Observe Observer
	// Warn, if set, is told what the user should know although it goes on.
	Warn func(text string)

	flights flights
	warned  sync.Map // what Warn was told
}

// PullResult is what was done.
type PullResult struct {
	Items     int   // that were downloaded
	Bytes     int64 // of their archives
	FileBytes int64 // of the files, as far as the caches say
}

// ByPriority sorts caches: those of a lower number first, otherwise in the
// order given.
func ByPriority(caches []*Cache) []*Cache {
	out := slices.Clone(caches)
	slices.SortStableFunc(out, func(a, b *Cache) int { return cmp.Compare(a.About.Priority, b.About.Priority) })
	return out
}

// Pull makes the items and their closures valid, and protects them by the
// lease. All of it is downloaded and checked before anything is registered.
// The error wraps [store.ErrNotFound] where no cache has one of the items,
// and [store.ErrWrong] where what they have is refused.
func (p *Puller) Pull(ctx context.Context, l *store.Lease, paths ...store.Path) (PullResult, error) {
	wanted, err := p.plan(ctx, l, paths)
	if len(wanted) == 0 {
		return PullResult{}, err
	}
	var r PullResult
	for _, w := range wanted {
		r.Items++
		r.Bytes += w.info.NarSize
		r.FileBytes += w.info.FileSize
	}
	if err == nil {
		err = p.roomFor(r.Bytes)
	}
	if err != nil {
		for _, w := range wanted {
			p.Observe.tell(Transfer{Path: w.info.Path, Total: w.info.NarSize, Settled: true, Err: context.Canceled})
		}
		return PullResult{}, err
	}
	return r, p.fetch(ctx, l, wanted)
}

// wanted is an item that must come from a cache.
type wanted struct {
	info narinfo.Narinfo
	from *Cache
	// rules are those of what needs it that reach further, see
	// [policy.Rule.Closure].
	rules []*policy.Rule
}

// plan finds out what of the closure of paths is missing, and where it is. With
// an error it gives what was found before.
func (p *Puller) plan(ctx context.Context, l *store.Lease, paths []store.Path) ([]wanted, error) {
	g, gctx := errgroup.WithContext(ctx)
	s := &survey{Puller: p, ctx: gctx, lease: l, group: g, slots: make(chan struct{}, questions), seen: make(map[store.Path]bool)}
	s.visit("", paths)
	if err := g.Wait(); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return s.wanted, err
	}
	// The largest first, so that at the end nobody waits for one of them.
	slices.SortFunc(s.wanted, func(a, b wanted) int {
		return cmp.Or(cmp.Compare(b.info.NarSize, a.info.NarSize), cmp.Compare(a.info.Path, b.info.Path))
	})
	return s.wanted, p.believeClosures(ctx, s.wanted)
}

// survey is one walk over a closure, part of which is elsewhere.
type survey struct {
	*Puller
	ctx   context.Context
	lease *store.Lease
	group *errgroup.Group
	slots chan struct{} // bounds the questions in flight

	mu     sync.Mutex
	seen   map[store.Path]bool
	wanted []wanted
}

// visit asks for what was not seen yet.
func (s *survey) visit(referrer store.Path, paths []store.Path) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, path := range paths {
		if s.seen[path] {
			continue
		}
		s.seen[path] = true
		n := len(s.seen)
		s.group.Go(func() error {
			if n > maxItems {
				return fmt.Errorf("%w: the closure has more than %d items", store.ErrWrong, maxItems)
			}
			return s.item(referrer, path)
		})
	}
}

func (s *survey) item(referrer, path store.Path) error {
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-s.ctx.Done():
		return s.ctx.Err()
	}
	// Leased first, so that it cannot go away after it was found.
	if err := s.lease.Add(path); err != nil {
		return err
	}
	if s.Store.Valid(path) {
		return nil // and so is all that it refers to
	}
	n, c, err := s.find(s.ctx, path, s.Caches)
	if errors.Is(err, store.ErrNotFound) && referrer != "" {
		// The item that was asked for is there, so this is no plain absence.
		return fmt.Errorf("%w: %s refers to %s, which is in no cache that was asked", store.ErrWrong, referrer, path)
	}
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.wanted = append(s.wanted, wanted{info: n, from: c})
	s.mu.Unlock()
	s.Observe.tell(Transfer{Path: path, Total: n.NarSize})
	s.visit(path, n.References)
	return nil
}

// find asks caches for an item until one has it in a way that can be
// accepted.
func (p *Puller) find(ctx context.Context, path store.Path, caches []*Cache) (narinfo.Narinfo, *Cache, error) {
	var refused []error
	for _, c := range caches {
		n, err := c.Narinfo(ctx, path)
		if ctx.Err() != nil {
			return n, nil, ctx.Err()
		}
		if err == nil {
			if err = p.acceptable(ctx, c, &n); err == nil {
				return n, c, nil
			}
			err = fmt.Errorf("cannot take %s from %s: %w", path, c, err)
		}
		if !errors.Is(err, store.ErrNotFound) {
			refused = append(refused, err)
		}
	}
	if len(refused) > 0 {
		return narinfo.Narinfo{}, nil, errors.Join(refused...)
	}
	return narinfo.Narinfo{}, nil, fmt.Errorf("cannot find %s in any cache: %w", path, store.ErrNotFound)
}
