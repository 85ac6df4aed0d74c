// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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
)

// sharing says where builds may come from instead of being built: flags come
// before the environment, and that before the file of the policy.
type sharing struct {
	substituters, keys []string
}

// policy is the file that says so for every command. Its keys count for what
// the caches tell of builds and of items without a content address.
type policy struct {
	Substituters []string `json:"substituters"`
	TrustedKeys  []string `json:"trustedKeys"`
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

func readPolicy() (policy, error) {
	var p policy
	file, must := policyFile()
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) && !must {
		return p, nil
	}
	if err != nil {
		return p, fmt.Errorf("cannot read which caches to use: %w", err)
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	err = dec.Decode(&p)
	if err == nil {
		if _, err = dec.Token(); errors.Is(err, io.EOF) {
			return p, nil
		}
		err = cmp.Or(err, errors.New("more follows its end"))
	}
	return p, fmt.Errorf("%s: cannot read which caches to use: %w (it holds {\"substituters\": [URL…], \"trustedKeys\": [KEY…]})", file, err)
}

// list splits what an environment variable or flag holds, at commas and
// spaces.
func list(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' || r == '\n' || r == '\t' })
}

// effective settles what holds for this command.
func (s sharing) effective() (sharing, error) {
	env := func(have []string, name string) []string {
		if have != nil {
			return have
		}
		if text, ok := os.LookupEnv(name); ok {
			return append([]string{}, list(text)...)
		}
		return nil
	}
	s.substituters = env(s.substituters, "OSBUILD_SUBSTITUTERS")
	s.keys = env(s.keys, "OSBUILD_TRUSTED_KEYS")
	if s.substituters != nil && s.keys != nil {
		return s, nil
	}
	p, err := readPolicy()
	if s.substituters == nil {
		s.substituters = p.Substituters
	}
	if s.keys == nil {
		s.keys = p.TrustedKeys
	}
	return s, err
}

// substituters opens the caches from which builds may come. One that cannot
// be asked is reported, and is no reason to fail: what it has can be built.
func (a *app) substituters(ctx context.Context, s *store.Store) ([]realise.Substituter, error) {
	set, err := a.sharing.effective()
	if err != nil || len(set.substituters) == 0 {
		return nil, err
	}
	trust, err := trusted(set.keys)
	if err != nil {
		return nil, err
	}
	found := make([]*cache.Cache, len(set.substituters))
	errs := make([]error, len(set.substituters))
	var wg sync.WaitGroup
	for k, url := range set.substituters {
		if a.offline && !strings.HasPrefix(url, "file://") {
			continue
		}
		wg.Go(func() {
			// A build does not wait long for what it can do without.
			soon, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("cannot use the cache %s: no answer within %v", url, patience))
			defer cancel()
			if found[k], errs[k] = a.openCache(soon, url); errs[k] != nil && soon.Err() != nil {
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
	return []realise.Substituter{newSubstituter(a, s, &cache.Puller{Store: s, Caches: cache.ByPriority(caches), Trust: trust})}, nil
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
