// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"osbuild/builder/realise"
	"osbuild/store"
	"osbuild/store/cache"
	"osbuild/store/cache/codec"
)

func storeVerifyVerb() verb {
	return verb{
		name: "store verify", args: "[--contents] [-j N] [--since D | ITEM…]",
		summary: "check that items are as they were registered",
		help: `  osbuild store verify --contents              reads and hashes everything
  osbuild store verify --contents --since 1d   only what was registered within a day
  osbuild store verify --contents -j 1         one item after the other`,
		setup: func(fs *pflag.FlagSet) runFunc {
			contents := fs.Bool("contents", false, "also read and hash all files")
			since := fs.String("since", "", "check only what was registered within this time (90m, 12h, 7d)")
			return func(ctx context.Context, a *app, args []string) error {
				o := store.VerifyOptions{Contents: *contents, Jobs: a.jobs}
				if *since != "" {
					age, err := parseAge(*since)
					if err != nil {
						return err
					}
					o.Since = time.Now().Add(-age)
				}
				return storeVerify(ctx, a, o, words(args))
			}
		},
	}
}

func storeVerify(ctx context.Context, a *app, o store.VerifyOptions, args []string) error {
	if !o.Since.IsZero() && len(args) > 0 {
		return usagef("store verify: give items or --since, which chooses them itself")
	}
	s, err := a.openStore()
	if err != nil {
		return err
	}
	if len(args) > 0 {
		if o.Paths, err = resolveItems(s, args); err != nil {
			return err
		}
	}
	r, err := s.Verify(ctx, o)
	if err != nil {
		return err
	}
	if a.json {
		err = a.printJSON(map[string]any{"checked": r.Checked, "problems": problems(r.Problems), "stray": append([]string{}, r.Stray...)})
	} else {
		for _, p := range r.Problems {
			fmt.Fprintln(a.stdout, p)
		}
		if len(r.Stray) > 0 {
			a.say("%d entries of %s are no items: osbuild store gc removes them, osbuild store fsck --rebuild takes up those that are whole", len(r.Stray), filepath.Join(s.Root(), "store"))
		}
		a.say("checked %d items", r.Checked)
	}
	if err == nil && len(r.Problems) > 0 {
		err = fmt.Errorf("%d problems found; `osbuild store repair` mends what it can", len(r.Problems))
	}
	return err
}

// problem is one in the output of --json.
type problem struct {
	Path   store.Path `json:"path"`
	Kind   string     `json:"kind"`
	Detail string     `json:"detail"`
}

func problems(list []store.Problem) []problem {
	out := make([]problem, 0, len(list))
	for _, p := range list {
		out = append(out, problem(p))
	}
	return out
}

func storeRepairVerb() verb {
	return verb{
		name: "store repair", args: "[--from ROOT|URL]… [ITEM…]",
		summary: "verify all contents, and make whole what is damaged",
		help: `  osbuild store repair                              from the items themselves, or by building them again
  osbuild store repair --from /var/lib/osbuild      also from another store
  osbuild store repair --from https://example.org   also from a cache`,
		setup: func(fs *pflag.FlagSet) runFunc {
			from := fs.StringArray("from", nil, "another root, or the URL of a cache, that has the items")
			return func(ctx context.Context, a *app, args []string) error {
				return storeRepair(ctx, a, *from, words(args))
			}
		},
	}
}

func storeRepair(ctx context.Context, a *app, from, args []string) error {
	s, err := a.openStore()
	if err != nil {
		return err
	}
	var o store.RepairOptions
	for _, place := range from {
		src, err := a.openSource(ctx, place)
		if err != nil {
			return err
		}
		o.Sources = append(o.Sources, src)
	}
	for _, arg := range args {
		// It may be so damaged that it is no item now.
		p, rest, err := s.Resolve(arg)
		if err != nil {
			return err
		}
		if rest != "" {
			return usagef("%s lies inside an item; give the item %s", arg, p.Base())
		}
		o.Paths = append(o.Paths, p)
	}
	o.Rebuild = a.buildAgain
	r, err := s.Repair(ctx, o)
	if err != nil {
		return err
	}
	type repaired struct {
		Path store.Path `json:"path"`
		How  string     `json:"how"`
	}
	type failure struct {
		Path  store.Path `json:"path"`
		Error string     `json:"error"`
	}
	done, failed := make([]repaired, 0, len(r.Repaired)), make([]failure, 0, len(r.Failed))
	for _, x := range r.Repaired {
		done = append(done, repaired(x))
	}
	for _, x := range r.Failed {
		failed = append(failed, failure{x.Path, x.Err.Error()})
	}
	if a.json {
		err = a.printJSON(map[string]any{"checked": r.Checked, "repaired": done, "failed": failed})
	} else {
		for _, x := range done {
			fmt.Fprintf(a.stdout, "%s: %s\n", x.Path, x.How)
		}
		for _, x := range failed {
			a.say("cannot repair %s: %s", x.Path, x.Error)
		}
		a.say("checked %d items, repaired %d", r.Checked, len(done))
	}
	if err == nil && len(failed) > 0 {
		err = fmt.Errorf("%s could not be repaired; one that nothing needs goes with `osbuild store delete`, and is made again by the next build", count(len(failed), "item"))
	}
	return err
}

// buildAgain builds what made an item, in a view of the store that lacks it.
func (a *app) buildAgain(ctx context.Context, view *store.Store, i store.Info) (err error) {
	g, target, err := realise.Again(view, i)
	if err != nil {
		return err
	}
	l, err := view.NewLease("build for store repair")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	_, err = a.newRealiser(ctx, view, l).Realise(ctx, g, target)
	return err
}

// openSource opens another root, or the cache at a URL, to take items from.
func (a *app) openSource(ctx context.Context, place string) (store.Source, error) {
	if strings.Contains(place, "://") {
		c, err := a.openCache(ctx, place)
		return cacheSource{c}, err
	}
	s, err := store.Open(place, store.Options{ReadOnly: true})
	if err != nil {
		return nil, err
	}
	return store.FromStore(s), nil
}

// cacheSource gives the items of a cache.
type cacheSource struct{ *cache.Cache }

func (c cacheSource) Describe(ctx context.Context, p store.Path) (store.Info, error) {
	n, err := c.Narinfo(ctx, p)
	return n.Info, err
}

func (c cacheSource) Archive(ctx context.Context, i store.Info) (io.ReadCloser, error) {
	n, err := c.Narinfo(ctx, i.Path)
	if err != nil {
		return nil, err
	}
	file, _, err := c.Location.Open(ctx, n.URL)
	if err != nil {
		return nil, err
	}
	r, err := codec.NewReader(n.Compression, file)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return unpacked{r, file}, nil
}

// unpacked is an archive that is read from a compressed file.
type unpacked struct {
	io.ReadCloser
	file io.Closer
}

func (u unpacked) Close() error { return errors.Join(u.ReadCloser.Close(), u.file.Close()) }

func storeFsckVerb() verb {
	return verb{
		name: "store fsck", args: "[--rebuild]",
		summary: "find trees that no info file describes, and make their info again",
		help: `  osbuild store fsck              only say what would be made
  osbuild store fsck --rebuild    after db/info was lost or damaged`,
		setup: func(fs *pflag.FlagSet) runFunc {
			rebuild := fs.Bool("rebuild", false, "make info files and index again from the items")
			return func(ctx context.Context, a *app, args []string) error {
				if len(args) > 0 {
					return usagef("store fsck takes no items: it looks at all of them")
				}
				return storeFsck(ctx, a, *rebuild)
			}
		},
	}
}

func storeFsck(ctx context.Context, a *app, rebuild bool) error {
	s, err := a.openStore()
	if err != nil {
		return err
	}
	r, err := s.Rebuild(ctx, !rebuild)
	if err != nil {
		return err
	}
	if a.json {
		err = a.printJSON(map[string]any{"checked": r.Checked, "made": append([]store.Path{}, r.Made...), "left": problems(r.Left)})
	} else {
		err = a.printPaths(r.Made)
		for _, p := range r.Left {
			a.say("left out: %s", p)
		}
		made := "would be made"
		if rebuild {
			made = "were made"
		}
		a.say("checked %d trees; the infos of %d %s again", r.Checked, len(r.Made), made)
	}
	if err == nil && len(r.Left) > 0 {
		err = fmt.Errorf("%s left out", count(len(r.Left), "tree"))
	}
	return err
}
