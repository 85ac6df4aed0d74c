// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"osbuild/builder/realise"
	"osbuild/store"
	"osbuild/store/cache"
	"osbuild/store/cache/location"
	"osbuild/store/cache/origin"
	"osbuild/store/cache/policy"
	"osbuild/store/cache/signature"
	"osbuild/store/fsys"
)

// openLocation finds the place that a URL names. The token is what a server
// expects of who uploads.
func (a *app) openLocation(url, token string) (location.Location, error) {
	scheme, rest, ok := strings.Cut(url, "://")
	if !ok {
		return nil, usagef("%q is no URL of a cache; write for example file:///srv/cache", location.Redacted(url))
	}
	switch scheme {
	case "file":
		if rest == "" {
			return nil, usagef("%q names no folder; write for example file:///srv/cache", url)
		}
		if strings.ContainsAny(rest, "?#") {
			// Nix's options would become the name of a folder.
			return nil, usagef("%q: osbuild knows no options in the URL of a folder", location.Redacted(url))
		}
		dir, err := filepath.Abs(rest)
		if err != nil {
			return nil, err
		}
		if _, err := os.Stat(filepath.Join(dir, "root.json")); err == nil {
			return openRoot(dir)
		}
		disk := a.fs
		if disk == nil {
			disk = fsys.OS{}
		}
		return location.NewFolder(dir, disk), nil
	case "http", "https":
		if a.offline {
			return nil, fmt.Errorf("cannot use the cache %s: there is no network (--offline)", location.Redacted(url))
		}
		w, err := location.NewWeb(url, location.WebOptions{Token: token, TempDir: a.uploadDir})
		if err != nil {
			return nil, usagef("%v", err)
		}
		return w, nil
	}
	return nil, usagef("%q: caches are at file://, http:// and https:// URLs", location.Redacted(url))
}

// trustedMark at a URL's end says that what the cache tells needs no
// signature.
const trustedMark = "?trusted=1"

// openCache opens the cache at a URL.
func (a *app) openCache(ctx context.Context, url string) (*cache.Cache, error) {
	return a.openNamed(ctx, policy.Cache{URL: url})
}

// openNamed opens a cache that a policy names.
func (a *app) openNamed(ctx context.Context, named policy.Cache) (*cache.Cache, error) {
	url, mark := strings.CutSuffix(named.URL, trustedMark)
	l, err := a.openLocation(url, "")
	if err != nil {
		return nil, err
	}
	c, err := cache.Open(ctx, l)
	if err != nil {
		return nil, err
	}
	c.Trusted, c.Rules = named.Trusted || mark, named.Rules
	return c, nil
}

// newOrigin shows a store as a cache, with what was built there.
func newOrigin(s *store.Store) *origin.Origin {
	return &origin.Origin{
		Store: s, Priority: origin.DefaultPriority,
		Built: func(resolved string) (map[string]store.Path, bool, error) { return realise.Recorded(s, resolved) },
	}
}

// openRoot shows the store of another root as a cache.
func openRoot(dir string) (location.Location, error) {
	s, err := store.Open(dir, store.Options{ReadOnly: true})
	if err != nil {
		return nil, err
	}
	return origin.Place{Origin: newOrigin(s)}, nil
}

// uploadDir is where uploads wait; it goes with the lease.
func (a *app) uploadDir() (string, error) {
	_, lease, err := a.openLease()
	if err != nil {
		return "", err
	}
	return lease.TempDir()
}

// trusted reads the keys of --trusted-keys, separated by commas or spaces.
func trusted(keys []string) (signature.Trust, error) {
	return signature.ParseTrust(strings.Join(list(strings.Join(keys, " ")), " "))
}

// jobCount is how much work is done at once.
func (a *app) jobCount() int {
	if a.jobs > 0 {
		return a.jobs
	}
	return runtime.NumCPU()
}

// parseItem reads an item that need not be here: its path or base name.
func parseItem(arg string) (store.Path, error) {
	if !strings.HasPrefix(arg, "/") {
		arg = store.Dir + "/" + arg
	}
	return store.ParsePath(arg)
}

// readToken reads the token of --upload-token, "" where none is given.
func readToken(file string) (string, error) {
	if file == "" {
		return "", nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("cannot read the upload token: %w", err)
	}
	token := strings.TrimSpace(string(text))
	if len(token) < 16 || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return "", fmt.Errorf("cannot use %s as an upload token: it must hold one word of at least 16 plain characters (`head -c 24 /dev/urandom | base64 >FILE` makes one)", file)
	}
	return token, nil
}
