// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"

	"osbuild/store"
	"osbuild/store/cache"
	"osbuild/store/cache/narinfo"
)

func cacheInfoVerb() verb {
	return verb{
		name:    "cache-info",
		args:    "[URL [ITEM…]]",
		summary: "show what a cache says of itself, or of items and whether they would be taken; or whose word counts",
		help: `osbuild cache-info                        # which caches are asked, and whose signatures count
osbuild cache-info file:///srv/cache
osbuild cache-info file:///srv/cache 0a1b2c3d4f5g6h7i8j9kalbmcndpfqgr-system`,
		setup: plain(showCache),
	}
}

// cacheInfo is the result of `cache-info --json`.
type cacheInfo struct {
	URL      string       `json:"url"`
	StoreDir string       `json:"storeDir"`
	Priority int          `json:"priority"`
	Items    []cachedItem `json:"items,omitempty"`
}

type cachedItem struct {
	Path        store.Path   `json:"path"`
	NarHash     string       `json:"narHash"`
	NarSize     int64        `json:"narSize"`
	URL         string       `json:"url"`
	Compression string       `json:"compression"`
	FileSize    int64        `json:"fileSize,omitempty"`
	References  []store.Path `json:"references"`
	CA          string       `json:"ca,omitempty"`
	Signatures  []string     `json:"signatures,omitempty"`
	// Taken says whether a pull from this cache would take it, and Why.
	Taken bool   `json:"taken"`
	Why   string `json:"why"`
}

func showCache(ctx context.Context, a *app, args []string) error {
	if args = words(args); len(args) == 0 {
		return a.showPolicy()
	}
	paths := make([]store.Path, len(args)-1)
	for k, arg := range args[1:] {
		var err error
		if paths[k], err = parseItem(arg); err != nil {
			return err
		}
	}
	c, err := a.openCache(ctx, args[0])
	if err != nil {
		return err
	}
	var items []narinfo.Narinfo
	var verdicts []verdict
	for _, p := range paths {
		n, err := c.Narinfo(ctx, p)
		if err != nil {
			return err
		}
		v, err := judge(ctx, c, n)
		if err != nil {
			return err
		}
		items, verdicts = append(items, n), append(verdicts, v)
	}
	if a.json {
		info := cacheInfo{URL: c.String(), StoreDir: c.About.StoreDir, Priority: c.About.Priority}
		for k, n := range items {
			info.Items = append(info.Items, cachedItem{
				Path: n.Path, NarHash: n.NarHash.SRI(), NarSize: n.NarSize, URL: n.URL, Compression: n.Compression, FileSize: n.FileSize,
				References: append([]store.Path{}, n.References...), CA: n.CA, Signatures: n.Sigs,
				Taken: verdicts[k].taken, Why: verdicts[k].why,
			})
		}
		return a.printJSON(info)
	}
	if len(items) == 0 {
		_, err := a.stdout.Write(c.About.Encode())
		return err
	}
	for k, n := range items {
		if k > 0 {
			fmt.Fprintln(a.stdout)
		}
		if _, err := a.stdout.Write(n.Encode()); err != nil {
			return err
		}
		word := "would be taken"
		if !verdicts[k].taken {
			word = "would be refused"
		}
		a.say("%s %s: %s", n.Path.Base(), word, verdicts[k].why)
	}
	return nil
}

// verdict is whether an item would be taken, and why.
type verdict struct {
	taken bool
	why   string
}

// judge says whether a pull from a cache would believe what it tells of an
// item.
func judge(ctx context.Context, c *cache.Cache, n narinfo.Narinfo) (verdict, error) {
	p, err := sharing{}.effective()
	if err != nil {
		return verdict{}, err
	}
	rule, err := (&cache.Puller{Caches: []*cache.Cache{c}, Policy: p}).Believe(ctx, c, &n)
	switch {
	case errors.Is(err, store.ErrWrong):
		return verdict{false, err.Error()}, nil
	case err != nil:
		return verdict{}, err
	case rule == nil:
		return verdict{true, "its path follows from its content"}, nil
	case c.Trusted:
		return verdict{true, "the cache is trusted"}, nil
	}
	return verdict{true, "it has " + rule.Wants()}, nil
}
