// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime/debug"
	"strings"

	"github.com/spf13/pflag"

	"osbuild/store"
	"osbuild/store/cache"
)

func pullVerb() verb {
	return verb{
		name:    "pull",
		args:    "ITEM… SOURCE…",
		summary: "bring items and all they need from caches into this store",
		help: `osbuild pull 0a1b2c3d4f5g6h7i8j9kalbmcndpfqgr-system file:///srv/cache
osbuild pull 0a1b2c3d4f5g6h7i8j9kalbmcndpfqgr-system https://cache.example.org file:///srv/cache
osbuild pull --gc-root ./system /osbuild/store/0a1b2c3d4f5g6h7i8j9kalbmcndpfqgr-system file:///srv/cache`,
		setup: func(fs *pflag.FlagSet) runFunc {
			var o pullOptions
			fs.StringSliceVar(&o.keys, "trusted-keys", nil, "public keys whose signatures count, for items without a content address")
			fs.StringVar(&o.gcRoot, "gc-root", "", "a link to make to the item, which protects it from `store gc`")
			fs.StringVar(&o.maxSize, "max-size", "", "the largest archive that is taken, for example 2G")
			return o.run
		},
	}
}

type pullOptions struct {
	keys            []string
	gcRoot, maxSize string
}

// pulled is the result of `pull --json`.
type pulled struct {
	Paths     []store.Path `json:"paths"`
	Items     int          `json:"items"`
	Bytes     int64        `json:"bytes"`
	FileBytes int64        `json:"fileBytes,omitempty"`
}

func (o *pullOptions) run(ctx context.Context, a *app, args []string) error {
	debug.SetGCPercent(100) // it may take long: what many items leave behind is not kept
	if args = words(args); len(args) < 2 {
		return usagef("pull: give an ITEM, and the cache that has it; see `osbuild help pull`")
	}
	// The last one is a SOURCE, and so are the URLs before it.
	first := len(args) - 1
	for first > 1 && strings.Contains(args[first-1], "://") {
		first--
	}
	targets, sources := args[:first], args[first:]
	if o.gcRoot != "" && len(targets) > 1 {
		return usagef("pull: --gc-root takes one ITEM")
	}
	paths := make([]store.Path, len(targets))
	for k, target := range targets {
		var err error
		if paths[k], err = parseItem(target); err != nil {
			return err
		}
	}
	m := newMeter(a, "pulling", "pulled", "item", 0)
	p := &cache.Puller{Observe: m.observe}
	var err error
	if o.maxSize != "" {
		if p.MaxSize, err = parseSize(o.maxSize); err != nil {
			return err
		}
	}
	if p.Policy, err = (sharing{keys: o.keys}).effective(); err != nil {
		return err
	}
	names := make([]string, len(sources))
	for k, source := range sources {
		c, err := a.openCache(ctx, source)
		if err != nil {
			return err
		}
		p.Caches, names[k] = append(p.Caches, c), c.String()
	}
	s, lease, err := a.openLease()
	if err != nil {
		return err
	}
	p.Store = s
	r, err := p.Pull(ctx, lease, paths...)
	m.end()
	if err != nil {
		return fmt.Errorf("cannot pull from %s: %w", strings.Join(names, " and "), err)
	}
	if r.Items == 0 {
		a.say("nothing to pull: all of it is in the store")
	}
	if o.gcRoot != "" {
		link, err := filepath.Abs(o.gcRoot)
		if err != nil {
			return err
		}
		if err := s.AddRoot(link, paths[0]); err != nil {
			return err
		}
	}
	if a.json {
		return a.printJSON(pulled{paths, r.Items, r.Bytes, r.FileBytes})
	}
	return a.printPaths(paths)
}
