// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"osbuild/builder/derivation"
	"osbuild/builder/realise"
	"osbuild/store"
	"osbuild/store/cache"
	"osbuild/store/cache/origin"
	"osbuild/store/cache/policy"
)

// sharing says where builds may come from instead of being built: flags come
// before the environment, and that before the policy file.
type sharing struct {
	substituters, keys []string
}

// policyFile is OSBUILD_CACHES, or the user's, or the machine's.
func policyFile() (file string, must bool) {
	if file := os.Getenv("OSBUILD_CACHES"); file != "" {
		return file, true
	}
	if dir, err := os.UserConfigDir(); err == nil && os.Geteuid() != 0 {
		if file := filepath.Join(dir, "osbuild", "caches.json"); fileExists(file) {
			return file, false
		}
	}
	return "/etc/osbuild/caches.json", false
}

func fileExists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

// readPolicy reads the policy file, or gives one that says nothing where there
// is none.
func readPolicy() (*policy.Policy, error) {
	file, must := policyFile()
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) && !must {
		return policy.Any(nil), nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read which caches to use: %w", err)
	}
	return policy.Parse(file, text)
}

// list splits what an environment variable or flag holds, at commas and
// spaces.
func list(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' || r == '\n' || r == '\t' })
}

// effective settles what holds for this command: the rules, and the caches
// that builds ask. With keys that are given here the file's rules do not hold.
func (s sharing) effective() (*policy.Policy, error) {
	env := func(have []string, name string) []string {
		if have != nil {
			return have
		}
		if text, ok := os.LookupEnv(name); ok {
			return append([]string{}, list(text)...)
		}
		return nil
	}
	substituters, keys := env(s.substituters, "OSBUILD_SUBSTITUTERS"), env(s.keys, "OSBUILD_TRUSTED_KEYS")
	p := policy.Any(nil)
	if substituters == nil || keys == nil {
		var err error
		if p, err = readPolicy(); err != nil {
			return nil, err
		}
	}
	if keys != nil {
		trust, err := trusted(keys)
		if err != nil {
			return nil, err
		}
		caches := p.Caches
		p = policy.Any(trust)
		p.Caches = caches
	}
	if substituters != nil {
		p.Caches = nil
		for _, url := range substituters {
			p.Caches = append(p.Caches, policy.Cache{URL: url})
		}
	}
	return p, nil
}

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
	p.Planned = func(items int, bytes int64) {
		if a.verbose || bytes > noteworthy {
			a.say("fetching %s, %s", count(items, "item"), size(bytes))
		}
	}
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
// their declarations.
func (a *app) shareRealisations(ctx context.Context, c *cache.Cache, keys []derivation.Key, sign func(*cache.Realisation)) (int, error) {
	trace, err := realise.Trace(a.store, keys...)
	if err != nil {
		return 0, err
	}
	list := make([]cache.Realisation, len(trace))
	for k, r := range trace {
		list[k] = cache.Realisation{Version: cache.RealisationVersion, Resolved: string(r.Resolved), Outputs: r.Outputs}
		sign(&list[k])
	}
	differing, err := c.PutRealisations(ctx, list)
	for _, name := range differing {
		a.say("warning: %s knows another result of the build %s, which stands", c, name)
	}
	return len(list) - len(differing), err
}
