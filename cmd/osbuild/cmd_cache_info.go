// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"

	"osbuild/store"
	"osbuild/store/cache/narinfo"
)

func cacheInfoVerb() verb {
	return verb{
		name:    "cache-info",
		args:    "URL [ITEM…]",
		summary: "show what a cache says of itself, or of items",
		help: `osbuild cache-info file:///srv/cache
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
}

func showCache(ctx context.Context, a *app, args []string) error {
	if args = words(args); len(args) == 0 {
		return usagef("cache-info: give the URL of a cache; see `osbuild help cache-info`")
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
	for _, p := range paths {
		n, err := c.Narinfo(ctx, p)
		if err != nil {
			return err
		}
		items = append(items, n)
	}
	if a.json {
		info := cacheInfo{URL: c.String(), StoreDir: c.About.StoreDir, Priority: c.About.Priority}
		for _, n := range items {
			info.Items = append(info.Items, cachedItem{
				Path: n.Path, NarHash: n.NarHash.SRI(), NarSize: n.NarSize, URL: n.URL, Compression: n.Compression, FileSize: n.FileSize,
				References: append([]store.Path{}, n.References...), CA: n.CA, Signatures: n.Sigs,
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
	}
	return nil
}
