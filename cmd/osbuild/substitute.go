// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"osbuild/builder/derivation"
	"osbuild/builder/realise"
	"osbuild/store"
	"osbuild/store/cache"
	"osbuild/store/cache/origin"
	"osbuild/store/cache/signature"
)

// substituters opens the caches from which builds may come. One that cannot
// be asked is reported, and is no reason to fail: what it has can be built.
func (a *app) substituters(ctx context.Context, s *store.Store) ([]realise.Substituter, error) {
	set, err := a.sharing.effective()
	if err != nil || len(set.Caches) == 0 {
		return nil, err
	}
	found := make([]*cache.Cache, len(set.Caches))
	errs := make([]error, len(set.Caches))
	var wg sync.WaitGroup
	for k, named := range set.Caches {
		if a.offline && !strings.HasPrefix(named.URL, "file://") {
			continue
		}
		wg.Go(func() {
			// A build does not wait long for what it can do without.
			soon, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("cannot use the cache %s: no answer within %v", named.URL, patience))
			defer cancel()
			if found[k], errs[k] = a.openNamed(soon, named); errs[k] != nil && soon.Err() != nil {
				errs[k] = context.Cause(soon)
			}
		})
	}
	wg.Wait()
	var caches []*cache.Cache
	for k, c := range found {
		var usage usageError
		switch err := errs[k]; {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case errors.As(err, &usage):
			return nil, err
		case err != nil:
			a.say("warning: %v; going on without it", err)
		case c != nil:
			caches = append(caches, c)
		}
	}
	if len(caches) == 0 {
		return nil, nil
	}
	return []realise.Substituter{newSubstituter(a, s, &cache.Puller{Store: s, Caches: cache.ByPriority(caches), Policy: set})}, nil
}

// patience is how long a cache may take to say that it is one.
const patience = 10 * time.Second

// noteworthy is how much is announced before it is fetched.
const noteworthy = 10 << 20

// substituter brings what was built elsewhere from caches.
type substituter struct {
	puller *cache.Puller
	name   string
}

func newSubstituter(a *app, s *store.Store, p *cache.Puller) *substituter {
	var names []string
	for _, c := range p.Caches {
		names = append(names, c.String())
	}
	p.Warn = func(text string) { a.say("warning: %s", text) }
	loud := int64(noteworthy)
	if a.verbose {
		loud = 0
	}
	p.Observe = newMeter(a, "fetching", "fetched", "item", loud).observeAll
	return &substituter{p, strings.Join(slices.Compact(names), " or ")}
}

// Name implements realise.Substituter.
func (s *substituter) Name() string { return s.name }

// Realisation implements realise.Substituter.
func (s *substituter) Realisation(ctx context.Context, resolved derivation.Key) (map[string]store.Path, error) {
	r, c, err := s.puller.Realisation(ctx, string(resolved))
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err == nil && !c.Trusted {
		// Kept with its signatures, so that `osbuild serve` can pass it on.
		_, err = s.puller.Store.PutRecordOnce(origin.SharedRecords, r.Resolved, r.Encode())
	}
	return r.Outputs, err
}

// Fetch implements realise.Substituter.
func (s *substituter) Fetch(ctx context.Context, l *store.Lease, p store.Path) error {
	_, err := s.puller.Pull(ctx, l, p)
	return err
}

// shareRealisations tells a cache what the derivations gave that made the
// pushed items, and all those that these need, so that others find them by
// their declarations. The key, which may be nil, vouches for what was built
// here; what others built keeps their signatures.
func (a *app) shareRealisations(ctx context.Context, c *cache.Cache, keys []derivation.Key, key *signature.Secret) (int, error) {
	trace, err := realise.Trace(a.store, keys...)
	if err != nil {
		return 0, err
	}
	from := newOrigin(a.store)
	from.Key = key
	list := make([]cache.Realisation, len(trace))
	for k, r := range trace {
		known, err := from.Realisation(string(r.Resolved))
		if err != nil || !maps.Equal(known.Outputs, r.Outputs) {
			known = cache.Realisation{Version: cache.RealisationVersion, Resolved: string(r.Resolved), Outputs: r.Outputs}
		}
		list[k] = known
	}
	differing, err := c.PutRealisations(ctx, list)
	for _, name := range differing {
		a.say("warning: %s knows another result of the build %s, which stands", c, name)
	}
	return len(list) - len(differing), err
}
