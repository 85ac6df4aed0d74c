// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"

	"osbuild/store/nar"
)

// mostGuessed is how many references are left out in all combinations: a
// source may mention items to which it does not refer.
const mostGuessed = 10

// derive finds the info that gives the tree in the place of p this path, or a
// zero Info where none does.
func (d *deriver) derive(ctx context.Context, p Path) (Info, error) {
	t, err := nar.List(ctx, d.store.Physical(p), nil)
	if err != nil {
		return Info{}, err
	}
	// Without a content address both hashes are computed.
	r, err := readTree(ctx, Info{Path: p}, t, d.refs)
	if err != nil {
		return Info{}, err
	}
	i := Info{Path: p, NarHash: r.hash, NarSize: r.size}
	var found []Path
	for _, digest := range d.refs.Found() {
		if q := d.byDigest[digest]; q != p {
			found = append(found, q)
		}
	}
	addresses := []string{sourceCA(r.modulo)}
	flat := t.Nodes[0].Type == nar.Regular && !t.Nodes[0].Executable
	if flat {
		ca, err := deriveCA("text:", t.Root, r.modulo)
		if err != nil {
			return Info{}, err
		}
		addresses = append(addresses, ca)
	}
	for _, ca := range addresses {
		for refs := range choices(sortPaths(found)) {
			if r.self {
				refs = sortPaths(append(refs, p))
			}
			if i.CA, i.References = ca, refs; CheckAddress(i) == nil {
				return i, nil
			}
		}
	}
	// What was fetched may be addressed by the hash of any algorithm, and
	// refers to nothing.
	i.References = nil
	for _, algo := range []string{"sha256", "sha512", "sha1", "md5"} {
		for _, method := range []string{"fixed:", "fixed:r:"} {
			if method == "fixed:" && !flat || method == "fixed:r:" && algo == "sha256" {
				continue
			}
			if i.CA, err = deriveCA(method+algo+":", t.Root, r.modulo); err != nil {
				return Info{}, err
			}
			if CheckAddress(i) == nil {
				return i, nil
			}
		}
	}
	return Info{}, nil
}

// choices gives the paths in all combinations, the whole first; only the whole
// and none of very many.
func choices(paths []Path) func(yield func([]Path) bool) {
	return func(yield func([]Path) bool) {
		if len(paths) > mostGuessed {
			_ = yield(paths) && yield(nil)
			return
		}
		for left := range 1 << len(paths) {
			var chosen []Path
			for k, p := range paths {
				if left&(1<<k) == 0 {
					chosen = append(chosen, p)
				}
			}
			if !yield(chosen) {
				return
			}
		}
	}
}
