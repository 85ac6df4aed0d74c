// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/pflag"

	"osbuild/closure"
	"osbuild/store"
)

// pathInfo is one item in the output of store path-info --json.
type pathInfo struct {
	Path        store.Path   `json:"path"`
	RealPath    string       `json:"realPath"`
	NarHash     string       `json:"narHash"`
	NarSize     int64        `json:"narSize"`
	ClosureSize int64        `json:"closureSize"`
	References  []store.Path `json:"references"`
	CA          string       `json:"ca,omitempty"`
	Deriver     string       `json:"deriver,omitempty"`
	Registered  time.Time    `json:"registered"`
}

func storePathInfoVerb() verb {
	return verb{
		name: "store path-info", args: "ITEM…",
		summary: "show what the store knows about items",
		setup: plain(func(_ context.Context, a *app, args []string) error {
			s, paths, err := a.storeItems("path-info", args)
			if err != nil {
				return err
			}
			list := make([]pathInfo, 0, len(paths))
			for k, p := range paths {
				i, err := s.Info(p)
				if err != nil {
					return err
				}
				if !a.json {
					if k > 0 {
						fmt.Fprintln(a.stdout)
					}
					fmt.Fprintf(a.stdout, "%s", i.Encode())
					continue
				}
				all, err := closure.Compute(s, p)
				if err != nil {
					return err
				}
				list = append(list, pathInfo{
					Path: p, RealPath: s.Physical(p), NarHash: i.NarHash.SRI(), NarSize: i.NarSize, ClosureSize: closure.Size(all),
					References: append([]store.Path{}, i.References...), CA: i.CA, Deriver: i.Deriver, Registered: i.Registered,
				})
			}
			if a.json {
				return a.printJSON(list)
			}
			return nil
		}),
	}
}

// pathsVerb is a verb that prints the items that some items lead to.
func pathsVerb(name, summary, help string, find func(s *store.Store, paths []store.Path) ([]store.Path, error)) verb {
	return verb{
		name: "store " + name, args: "ITEM…", summary: summary, help: help,
		setup: plain(func(_ context.Context, a *app, args []string) error {
			s, paths, err := a.storeItems(name, args)
			if err != nil {
				return err
			}
			found, err := find(s, paths)
			if err != nil {
				return err
			}
			slices.Sort(found)
			return a.printPaths(slices.Compact(found))
		}),
	}
}

func storeReferencesVerb() verb {
	return pathsVerb("references", "list what items refer to", "", func(s *store.Store, paths []store.Path) (found []store.Path, err error) {
		for _, p := range paths {
			i, err := s.Info(p)
			if err != nil {
				return nil, err
			}
			found = append(found, i.References...)
		}
		return found, nil
	})
}

func storeReferrersVerb() verb {
	return pathsVerb("referrers", "list the items that refer to items", "", func(s *store.Store, paths []store.Path) (found []store.Path, err error) {
		for _, p := range paths {
			more, err := s.Referrers(p)
			if err != nil {
				return nil, err
			}
			found = append(found, more...)
		}
		return found, nil
	})
}

func storeRequisitesVerb() verb {
	return pathsVerb("requisites", "list items and all they need", "  osbuild store requisites $(osbuild build system.star)",
		func(s *store.Store, paths []store.Path) (found []store.Path, err error) {
			infos, err := closure.Compute(s, paths...)
			for _, i := range infos {
				found = append(found, i.Path)
			}
			return found, err
		})
}

func storeWhyVerb() verb {
	return verb{
		name: "store why", args: "A B",
		summary: "show a chain of references from item A to item B",
		setup: plain(func(_ context.Context, a *app, args []string) error {
			if len(words(args)) != 2 {
				return usagef("store why: give two items; see `osbuild help store why`")
			}
			s, paths, err := a.storeItems("why", args)
			if err != nil {
				return err
			}
			chain, err := closure.Why(s, paths[0], paths[1])
			if err != nil {
				return err
			}
			if len(chain) == 0 {
				return fmt.Errorf("%s does not need %s", paths[0], paths[1])
			}
			return a.printPaths(chain)
		}),
	}
}

func storeRootsVerb() verb {
	return verb{
		name: "store roots", summary: "list the links that keep items alive",
		setup: plain(func(_ context.Context, a *app, args []string) error {
			if len(args) > 0 {
				return usagef("store roots takes no arguments")
			}
			s, err := a.openStore()
			if err != nil {
				return err
			}
			roots, err := s.Roots()
			if err != nil {
				return err
			}
			type root struct {
				Link string     `json:"link"`
				Path store.Path `json:"path"`
			}
			list := make([]root, 0, len(roots))
			for _, r := range roots {
				list = append(list, root(r))
			}
			if a.json {
				return a.printJSON(list)
			}
			for _, r := range list {
				fmt.Fprintf(a.stdout, "%s -> %s\n", r.Link, r.Path)
			}
			return nil
		}),
	}
}

func storeDuVerb() verb {
	return verb{
		name: "store du", args: "[ITEM…]",
		summary: "show the sizes of all that items need, largest first",
		setup: func(fs *pflag.FlagSet) runFunc {
			exact := fs.Bool("bytes", false, "print bytes, not rounded")
			return func(_ context.Context, a *app, args []string) error { return storeDu(a, *exact, words(args)) }
		},
	}
}

func storeDu(a *app, exact bool, args []string) error {
	s, err := a.openStore()
	if err != nil {
		return err
	}
	var infos []store.Info
	if len(args) == 0 {
		infos, err = s.Infos()
	} else {
		var paths []store.Path
		if paths, err = resolveItems(s, args); err == nil {
			infos, err = closure.Compute(s, paths...)
		}
	}
	if err != nil {
		return err
	}
	slices.SortStableFunc(infos, func(a, b store.Info) int { return int(max(-1, min(1, b.NarSize-a.NarSize))) })
	if a.json {
		sizes := make(map[store.Path]int64, len(infos))
		for _, i := range infos {
			sizes[i.Path] = i.NarSize
		}
		return a.printJSON(map[string]any{"items": sizes, "total": closure.Size(infos)})
	}
	show := showSize
	if exact {
		show = func(n int64) string { return fmt.Sprint(n) }
	}
	for _, i := range infos {
		fmt.Fprintf(a.stdout, "%10s  %s\n", show(i.NarSize), i.Path)
	}
	fmt.Fprintf(a.stdout, "%10s  total, %d items\n", show(closure.Size(infos)), len(infos))
	return nil
}

func storeDumpDBVerb() verb {
	return verb{
		name: "store dump-db", args: "[ITEM…]",
		summary: "print what nix-store --load-db reads",
		help:    "  osbuild store dump-db | nix-store --store local?root=DIR --load-db",
		setup: plain(func(_ context.Context, a *app, args []string) error {
			s, err := a.openStore()
			if err != nil {
				return err
			}
			infos, err := s.Infos()
			if args = words(args); len(args) > 0 && err == nil {
				var paths []store.Path
				if paths, err = resolveItems(s, args); err == nil {
					infos, err = closure.Compute(s, paths...)
				}
			}
			if err != nil {
				return err
			}
			for _, i := range infos {
				// The empty line is the deriver: ours are no store paths.
				fmt.Fprintf(a.stdout, "%s\n%s\n%d\n\n%d\n", i.Path, i.NarHash.Hex(), i.NarSize, len(i.References))
				for _, r := range i.References {
					fmt.Fprintln(a.stdout, r)
				}
			}
			return nil
		}),
	}
}
