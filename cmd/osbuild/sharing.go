// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"path/filepath"
	"runtime"
	"strings"

	"osbuild/store"
	"osbuild/store/cache"
	"osbuild/store/cache/location"
	"osbuild/store/cache/signature"
	"osbuild/store/fsys"
)

// openLocation finds the place that a URL names.
func (a *app) openLocation(url string) (location.Location, error) {
	scheme, rest, ok := strings.Cut(url, "://")
	if !ok {
		return nil, usagef("%q is no URL of a cache; write for example file:///srv/cache", url)
	}
	switch scheme {
	case "file":
		if rest == "" {
			return nil, usagef("%q names no folder; write for example file:///srv/cache", url)
		}
		dir, err := filepath.Abs(rest)
		if err != nil {
			return nil, err
		}
		disk := a.fs
		if disk == nil {
			disk = fsys.OS{}
		}
		return location.NewFolder(dir, disk), nil
	}
	return nil, usagef("%q: caches are at file:// URLs", url)
}

// openCache opens the cache at a URL.
func (a *app) openCache(ctx context.Context, url string) (*cache.Cache, error) {
	l, err := a.openLocation(url)
	if err != nil {
		return nil, err
	}
	return cache.Open(ctx, l)
}

// trusted reads the keys of --trusted-keys, separated by commas or spaces.
func trusted(keys []string) (signature.Trust, error) {
	return signature.ParseTrust(strings.ReplaceAll(strings.Join(keys, " "), ",", " "))
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
