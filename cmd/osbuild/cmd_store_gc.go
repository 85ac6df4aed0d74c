// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/spf13/pflag"

	"osbuild/closure/view"
	"osbuild/store"
)

// defaultMinAge spares what a build has just made and nothing refers to yet.
const defaultMinAge = "1h"

func storeGCVerb() verb {
	return verb{
		name: "store gc", args: "[--dry-run] [--min-age D] [--keep-last-used N] [--max-freed N] [--scan-proc] | --why ITEM",
		summary: "delete what nothing needs, and print it",
		help: `  osbuild store gc                      all that was not used for an hour
  osbuild store gc --min-age 0          all that nothing needs
  osbuild store gc --max-freed 2G       the least recently used 2 GiB
  osbuild store gc --keep-last-used 5   all but the five things used last, and what they need
  osbuild store gc --scan-proc          and that no program has open or mapped
  osbuild store gc --why ITEM           what keeps an item`,
		setup: func(fs *pflag.FlagSet) runFunc {
			dry := fs.Bool("dry-run", false, "only print what would be deleted")
			age := fs.String("min-age", defaultMinAge, "spare what was used within this time (90m, 12h, 7d)")
			last := fs.Uint("keep-last-used", 0, "spare this many of the items that no other refers to: those used last")
			freed := fs.String("max-freed", "", "stop when this much is deleted (500M, 2G)")
			procs := fs.Bool("scan-proc", false, "keep what running processes have mapped or open, and where they work, as far as /proc tells")
			why := fs.String("why", "", "print what keeps this item, and delete nothing")
			return func(ctx context.Context, a *app, args []string) error {
				if len(args) > 0 {
					return usagef("store gc takes no items; see `osbuild help store delete`")
				}
				o := store.GCOptions{DryRun: *dry, KeepLast: int(min(*last, math.MaxInt32))}
				if *procs {
					o.ScanProc = "/proc"
				}
				if *why != "" {
					return storeWhyAlive(a, *why, o)
				}
				var err error
				if o.MinAge, err = parseAge(*age); err != nil {
					return err
				}
				if *freed != "" {
					if o.MaxFreed, err = parseSize(*freed); err != nil {
						return err
					}
				}
				return storeGC(ctx, a, o)
			}
		},
	}
}

func storeGC(ctx context.Context, a *app, o store.GCOptions) error {
	s, err := a.openStore()
	if err != nil {
		return err
	}
	started := time.Now()
	r, err := a.collect(ctx, s, o)
	views, verr := view.Collect(ctx, s, o, r.Freed)
	err = errors.Join(err, verr)
	// What is gone is said also when the rest failed.
	if perr := a.printPaths(r.Freed); err == nil {
		err = perr
	}
	verb := "deleted"
	if o.DryRun {
		verb = "would delete"
	}
	if err == nil && views > 0 {
		a.say("%s %d views", verb, views)
	}
	if err == nil {
		a.say("%s %d items of %s in %v; %d remain", verb, len(r.Freed), showSize(r.Bytes), time.Since(started).Round(time.Millisecond), r.Kept)
	}
	return err
}

// collect collects and shows how far it is.
func (a *app) collect(ctx context.Context, s *store.Store, o store.GCOptions) (store.GCResult, error) {
	o.Progress = newDeletion(a).tell
	r, err := s.GC(ctx, o)
	a.status.print(a.stderr, "") // the results may go to the same terminal
	return r, err
}

// deletion shows how far the deletion of the trash is, which may take hours: on
// a terminal in one line, elsewhere in a line now and then.
type deletion struct {
	a *app
	// now is the clock, and width that of the terminal, 0 where there is none.
	now         func() time.Time
	width       func() int
	begun, said time.Time
}

// deletionReport is how often a line is printed where there is no terminal.
const deletionReport = 10 * time.Second

func newDeletion(a *app) *deletion {
	return &deletion{a: a, now: time.Now, width: func() int { return terminalWidth(a.stderr) }}
}

func (d *deletion) tell(p store.GCProgress) {
	now := d.now()
	if d.begun.IsZero() {
		d.begun, d.said = now, now
	}
	if d.a.quiet || p.Done == p.All {
		return // the end is told by who began it
	}
	line := fmt.Sprintf("deleting %d/%d trees, %s", p.Done, p.All, count(int(p.Files), "file"))
	// Trees differ in size, so that what is left can only be guessed.
	if passed := now.Sub(d.begun); p.Done > 0 && passed > deletionReport {
		left := passed * time.Duration(p.All-p.Done) / time.Duration(p.Done)
		line += fmt.Sprintf(", about %v left", max(time.Second, left.Round(time.Second)))
	}
	if width := d.width(); width > 0 {
		d.a.status.show(d.a.stderr, line[:min(len(line), width-1)])
	} else if now.Sub(d.said) >= deletionReport {
		d.said = now
		d.a.say("%s", line)
	}
}

func storeWhyAlive(a *app, arg string, o store.GCOptions) error {
	s, err := a.openStore()
	if err != nil {
		return err
	}
	paths, err := resolveItems(s, []string{arg})
	if err != nil {
		return err
	}
	chain, err := s.WhyAlive(paths[0], o)
	if err != nil {
		return err
	}
	if len(chain) == 0 {
		return fmt.Errorf("nothing keeps %s: the next collection deletes it, unless it was used recently", paths[0])
	}
	if a.json {
		return a.printJSON(chain)
	}
	for _, link := range chain {
		fmt.Fprintln(a.stdout, link)
	}
	return nil
}

func storeDeleteVerb() verb {
	return verb{
		name: "store delete", args: "ITEM…",
		summary: "delete items, unless something needs them",
		setup: plain(func(ctx context.Context, a *app, args []string) error {
			s, paths, err := a.storeItems("delete", args)
			if err != nil {
				return err
			}
			o := store.GCOptions{Delete: paths}
			r, err := a.collect(ctx, s, o)
			if errors.Is(err, store.ErrAlive) {
				return err
			}
			_, verr := view.Collect(ctx, s, o, r.Freed)
			err = errors.Join(err, verr)
			if perr := a.printPaths(r.Freed); err == nil {
				err = perr
			}
			return err
		}),
	}
}
