// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"

	"osbuild/store"
)

func storeOptimiseVerb() verb {
	return verb{
		name: "store optimise", args: "[ITEM…]",
		summary: "store equal files of items once, and say what that saved",
		setup: plain(func(ctx context.Context, a *app, args []string) error {
			return storeOptimise(ctx, a, words(args))
		}),
	}
}

func storeOptimise(ctx context.Context, a *app, args []string) error {
	s, err := a.openStore()
	if err != nil {
		return err
	}
	var paths []store.Path // nil: all
	if len(args) > 0 {
		if paths, err = resolveItems(s, args); err != nil {
			return err
		}
	}
	r, err := s.Optimise(ctx, paths)
	if err != nil {
		return err
	}
	for _, p := range r.InUse {
		a.say("left %s alone: a process uses it", p)
	}
	if a.json {
		return a.printJSON(map[string]any{"checked": r.Checked, "files": r.Files, "bytes": r.Bytes, "inUse": append([]store.Path{}, r.InUse...)})
	}
	a.say("checked %d items; %d files are now one with another, which saves %s", r.Checked, r.Files, showSize(r.Bytes))
	return nil
}
