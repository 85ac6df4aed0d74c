// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package items

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"osbuild/builder/debian/deb"
	"osbuild/builder/realise"
	"osbuild/store"
)

// SetEntry is one deb item of a list.
type SetEntry struct {
	Package, Version string
	Item             store.Path
}

// ErrBadSet is wrapped by the error for a file that is no list of deb items.
var ErrBadSet = errors.New("it is no list of packages")

// buildSet lists the deb items in the closure of the arguments, a line each:
// the package, its version and the item, sorted.
func buildSet(_ context.Context, r realise.Request) error {
	var entries []SetEntry
	for _, p := range r.Closure {
		meta, err := deb.ReadMeta(r.Physical(p))
		if errors.Is(err, deb.ErrNoItem) {
			continue
		}
		if err != nil {
			return err
		}
		entries = append(entries, SetEntry{meta.Package, meta.Version, p})
	}
	slices.SortFunc(entries, compareEntries)
	for i := 1; i < len(entries); i++ {
		a, b := entries[i-1], entries[i]
		if a.Package == b.Package {
			return twoVersions(a.Package, a.Version, string(a.Item), b.Version, string(b.Item))
		}
	}
	var text strings.Builder
	for _, e := range entries {
		fmt.Fprintf(&text, "%s %s %s\n", e.Package, e.Version, e.Item)
	}
	return os.WriteFile(r.Outs["out"], []byte(text.String()), 0o444)
}

func compareEntries(a, b SetEntry) int {
	if c := strings.Compare(a.Package, b.Package); c != 0 {
		return c
	}
	return strings.Compare(string(a.Item), string(b.Item))
}

// twoVersions is the error for a system in which a file could be that of
// either of two items.
func twoVersions(name, version1, item1, version2, item2 string) error {
	return fmt.Errorf("cannot put two versions of the package %s into one system: %s (%s) and %s (%s); let all parts of it use one lock", name, version1, item1, version2, item2)
}

// ReadSet reads a list of deb items.
func ReadSet(file string) ([]SetEntry, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("cannot read a list of packages: %w", err)
	}
	entries, err := parseSet(string(data))
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", file, err)
	}
	return entries, nil
}

func parseSet(text string) ([]SetEntry, error) {
	var entries []SetEntry
	for line := range strings.Lines(text) {
		fields := strings.Split(strings.TrimSuffix(line, "\n"), " ")
		if len(fields) != 3 || fields[0] == "" || fields[1] == "" || !strings.HasSuffix(line, "\n") {
			return nil, fmt.Errorf("%w: line %d is %q", ErrBadSet, len(entries)+1, line)
		}
		p, err := store.ParsePath(fields[2])
		if err != nil {
			return nil, fmt.Errorf("%w: line %d: %w", ErrBadSet, len(entries)+1, err)
		}
		e := SetEntry{fields[0], fields[1], p}
		if n := len(entries); n > 0 && entries[n-1].Package >= e.Package {
			return nil, fmt.Errorf("%w: line %d does not come behind the line before it", ErrBadSet, n+1)
		}
		entries = append(entries, e)
	}
	return entries, nil
}
