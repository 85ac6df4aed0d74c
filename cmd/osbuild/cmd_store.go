// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"osbuild/store"
)

// storeVerbs are the commands on the store itself. All print logical paths,
// and take logical paths, item names and physical paths.
func storeVerbs() []verb {
	return []verb{
		storeAddVerb(), storeAddTextVerb(),
		storePathInfoVerb(), storeReferencesVerb(), storeReferrersVerb(), storeRequisitesVerb(),
		storeWhyVerb(), storeRootsVerb(), storeDuVerb(), storeDumpDBVerb(),
		storeVerifyVerb(), storeRepairVerb(), storeFsckVerb(), storeOptimiseVerb(), storeGCVerb(), storeDeleteVerb(),
		storeDumpVerb(), storeRestoreVerb(), storeCatVerb(), storeLsVerb(),
	}
}

// plain is the setup of a verb without flags of its own.
func plain(run runFunc) func(*pflag.FlagSet) runFunc {
	return func(*pflag.FlagSet) runFunc { return run }
}

// words drops the mark of a `--`: store verbs take no command.
func words(args []string) []string {
	before, after := splitCommand(args)
	return append(before[:len(before):len(before)], after...)
}

// oneOrMore returns the arguments, of which there must be some.
func oneOrMore(verb, what string, args []string) ([]string, error) {
	args = words(args)
	if len(args) == 0 {
		return nil, usagef("store %s: no %s given; see `osbuild help store %[1]s`", verb, what)
	}
	return args, nil
}

// resolveItems finds the valid items that args mean.
func resolveItems(s *store.Store, args []string) ([]store.Path, error) {
	paths := make([]store.Path, 0, len(args))
	for _, arg := range args {
		p, rest, err := s.Resolve(arg)
		if err != nil {
			return nil, err
		}
		if rest != "" {
			return nil, usagef("%s lies inside an item; give the item %s", arg, p.Base())
		}
		if _, err := s.Info(p); err != nil {
			return nil, err
		}
		paths = append(paths, p)
	}
	return paths, nil
}

// storeItems is items for a verb that needs at least one.
func (a *app) storeItems(verb string, args []string) (*store.Store, []store.Path, error) {
	args, err := oneOrMore(verb, "item", args)
	if err != nil {
		return nil, nil, err
	}
	s, err := a.openStore()
	if err != nil {
		return nil, nil, err
	}
	paths, err := resolveItems(s, args)
	return s, paths, err
}

// printPaths prints logical paths, one a line.
func (a *app) printPaths(paths []store.Path) error {
	if a.json {
		if paths == nil {
			paths = []store.Path{}
		}
		return a.printJSON(paths)
	}
	out := bufio.NewWriter(a.stdout) // there may be very many
	for _, p := range paths {
		_, _ = out.WriteString(string(p) + "\n") // an error stays until Flush
	}
	return out.Flush()
}

// place finds the physical place of an item or of a file inside one. What
// is no item may be any path of the file system where others is set.
func place(s *store.Store, arg string, others bool) (string, error) {
	p, rest, err := s.Resolve(arg)
	if err != nil {
		if others {
			if _, serr := os.Lstat(arg); serr == nil || !errors.Is(serr, fs.ErrNotExist) {
				return filepath.Clean(arg), nil
			}
			return "", fmt.Errorf("cannot find %s: it is neither an item nor a file", arg)
		}
		return "", err
	}
	return s.Follow(p, rest)
}

// parseSize reads a number of bytes with an optional K, M, G or T (of 1024).
func parseSize(text string) (int64, error) {
	digits := strings.TrimRight(strings.ToUpper(text), "KMGT")
	n, err := strconv.ParseInt(digits, 10, 64)
	shift := 0
	if unit := strings.ToUpper(text)[len(digits):]; unit != "" {
		shift = 10 * (strings.Index("KMGT", unit) + 1)
	}
	if err != nil || n <= 0 || shift < 0 || len(text)-len(digits) > 1 || n > (1<<62)>>shift {
		return 0, usagef("%q is no size; write for example 500M or 2G", text)
	}
	return n << shift, nil
}

// parseAge reads a duration, with d for days.
func parseAge(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil {
			return time.Duration(n) * 24 * time.Hour, nil
		}
	}
	d, err := time.ParseDuration(text)
	if text == "0" {
		d, err = 0, nil
	}
	if err != nil || d < 0 {
		return 0, usagef("%q is no age; write for example 90m, 12h or 7d", text)
	}
	return d, nil
}

// showSize writes a number of bytes for people.
func showSize(n int64) string {
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	f := float64(n)
	for _, unit := range []string{"KiB", "MiB", "GiB"} {
		f /= 1024
		if f < 1024 || unit == "GiB" {
			return fmt.Sprintf("%.1f %s", f, unit)
		}
	}
	return ""
}
