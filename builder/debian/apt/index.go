// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package apt

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"

	"osbuild/builder/debian/control"
	"osbuild/builder/debian/lock"
)

// Indexes reads what the archives of the configuration hold. Every index is
// one that a signed release file vouches for; nothing is kept of an archive
// that fails.
func (h *Host) Indexes(ctx context.Context, o IndexOptions) (*Snapshot, error) {
	if o.Arch == "" {
		o.Arch = h.Arch()
	}
	chosen, err := h.choose(o.Suites)
	if err != nil {
		return nil, err
	}
	releases := make([]*verified, len(chosen))
	g, run := errgroup.WithContext(ctx)
	for i, a := range chosen {
		g.Go(func() (err error) {
			releases[i], err = h.verified(run, a)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	releases = distinct(releases)
	names := suiteNames(releases)
	for i, v := range releases {
		if err := v.checkRollback(names[i], o.Known); err != nil {
			return nil, err
		}
	}
	h.tellNotes(releases)

	found := make([][]*control.Package, len(releases))
	snapshot := &Snapshot{Suites: make([]lock.Suite, len(releases))}
	g, run = errgroup.WithContext(ctx)
	for i, v := range releases {
		g.Go(func() error {
			packages, sha, err := h.packages(run, v, names[i], o.Arch)
			if err != nil {
				return err
			}
			found[i] = packages
			snapshot.Suites[i] = v.locked(names[i])
			if v.bare {
				snapshot.Suites[i].InReleaseSHA256 = sha
			} else {
				cache{h.cfg.Cache}.writeRelease(v.archive, v.kept)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	snapshot.Packages = slices.Concat(byRank(releases, found)...)
	return snapshot, nil
}

// byRank leaves out the packages that a suite of a higher rank has too, in any
// version, as apt does by default.
func byRank(releases []*verified, found [][]*control.Package) [][]*control.Package {
	for i, v := range releases {
		if v.rank == rankUsual {
			continue
		}
		better := map[string]bool{}
		for k, o := range releases {
			if o.rank > v.rank {
				for _, p := range found[k] {
					better[p.Name] = true
				}
			}
		}
		found[i] = slices.DeleteFunc(found[i], func(p *control.Package) bool { return better[p.Name] })
	}
	return found
}

// choose returns the archives of the suites that are wanted.
func (h *Host) choose(suites []string) ([]*archive, error) {
	if suites == nil {
		return h.archives, nil
	}
	var chosen []*archive
	for _, s := range suites {
		if !slices.ContainsFunc(h.archives, func(a *archive) bool { return a.suite == s }) {
			return nil, fmt.Errorf("cannot find the suite %q: the apt sources of the host have %s (add it to one of %s)", s, strings.Join(h.Suites(), ", "), h.path("sources.list.d"))
		}
	}
	for _, a := range h.archives {
		if slices.Contains(suites, a.suite) {
			chosen = append(chosen, a)
		}
	}
	return chosen, nil
}

// distinct leaves out the archives that another one before them is a copy of:
// they have the same release file.
func distinct(releases []*verified) []*verified {
	var out []*verified
	for _, v := range releases {
		if v.bare || !slices.ContainsFunc(out, v.isCopyOf) {
			out = append(out, v)
		}
	}
	return out
}

func (v *verified) isCopyOf(o *verified) bool {
	return v.sha256 == o.sha256 && v.archive.suite == o.archive.suite &&
		slices.EqualFunc(v.archive.targets, o.archive.targets, func(a, b target) bool { return a.component == b.component })
}

// suiteNames gives each release its name in a lock: the suite's, and where
// another archive before it calls one the same, the archive's origin with it,
// or a number. A lock holds no host names, so they cannot tell them apart.
func suiteNames(releases []*verified) []string {
	names := make([]string, len(releases))
	taken := map[string]bool{}
	for i, v := range releases {
		name := v.archive.suite
		if taken[name] && v.release.origin != "" {
			name += "@" + originWord(v.release.origin)
		}
		for n, first := 2, name; taken[name]; n++ {
			name = suiteName(first) + "@" + strconv.Itoa(n)
		}
		taken[name] = true
		names[i] = name
	}
	return names
}

// originWord writes an origin in letters that a name may have.
func originWord(s string) string {
	return strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '.' || r == '-' {
			return r
		}
		return '-'
	}, s)
}

// tellNotes says once which release files are good only because the host's
// configuration switches a check off.
func (h *Host) tellNotes(releases []*verified) {
	var notes []string
	for _, v := range releases {
		if v.note != "" {
			notes = append(notes, v.note)
		}
	}
	if len(notes) > 0 {
		h.warn("using indexes that have expired, as the host's apt configuration says Check-Valid-Until false: %s", strings.Join(notes, ", "))
	}
}

// packages reads the indexes of one release. sha is the hash of the last one,
// which is all that is known of an archive without a release file.
func (h *Host) packages(ctx context.Context, v *verified, suite, arch string) (all []*control.Package, sha string, err error) {
	for _, name := range h.indexNames(v, arch) {
		packages, data, err := h.readIndex(ctx, v, name, suite, arch)
		if err != nil {
			return nil, "", fmt.Errorf("cannot read the index %s of %s: %w", name, v.archive, err)
		}
		if v.bare {
			digest := sha256.Sum256(data)
			sha = hex.EncodeToString(digest[:])
		}
		all = append(all, packages...)
	}
	return all, sha, nil
}

// readIndex gets and reads one index. One from the cache that turns out to be
// spoiled is fetched anew.
func (h *Host) readIndex(ctx context.Context, v *verified, name, suite, arch string) ([]*control.Package, []byte, error) {
	f, err := h.index(ctx, v, name, true)
	if err != nil {
		return nil, nil, err
	}
	packages, err := parsePackages(f.data, suite, arch)
	if f.check != nil && f.check() != nil {
		if f, err = h.index(ctx, v, name, false); err != nil {
			return nil, nil, err
		}
		packages, err = parsePackages(f.data, suite, arch)
	}
	if err == nil && f.keep != nil {
		f.keep()
	}
	return packages, f.data, err
}

// indexNames lists the indexes that the configuration wants of an archive,
// relative to its release file.
func (h *Host) indexNames(v *verified, arch string) []string {
	var names []string
	add := func(name string) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for _, t := range v.archive.targets {
		if !t.options.has(arch, h.Arch()) {
			continue
		}
		if v.archive.flat() {
			add("Packages")
			continue
		}
		if v.bare || len(v.architectures) == 0 || slices.Contains(v.architectures, arch) {
			add(path.Join(t.component, "binary-"+arch, "Packages"))
		} else if !v.allApart {
			h.warn("%s has no packages for %s (the source at %s may say so with its architectures)", v.archive, arch, v.archive.where)
		}
		if v.allApart {
			add(path.Join(t.component, "binary-all", "Packages"))
		}
	}
	return names
}

// parsePackages reads an index, in several pieces at once: stanzas end at
// empty lines.
func parsePackages(data []byte, suite, arch string) ([]*control.Package, error) {
	pieces := split(data, 2*runtime.GOMAXPROCS(0), 1<<20)
	found := make([][]*control.Package, len(pieces))
	read := func(piece []byte, to *[]*control.Package) error {
		*to = make([]*control.Package, 0, len(piece)/700)
		return control.ReadPackages(bytes.NewReader(piece), suite, func(p *control.Package) error {
			if p.Arch == arch || p.Arch == "all" {
				*to = append(*to, p)
			}
			return nil
		})
	}
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, piece := range pieces {
		g.Go(func() error { return read(piece, &found[i]) })
	}
	if err := g.Wait(); err != nil {
		// The error counts lines from the begin of its piece.
		var all []*control.Package
		if whole := read(data, &all); whole != nil {
			err = whole
		}
		return nil, err
	}
	return slices.Concat(found...), nil
}

// split cuts data at empty lines into at most n pieces, none of them much
// smaller than least.
func split(data []byte, n, least int) [][]byte {
	size := max(len(data)/n, least)
	var pieces [][]byte
	for len(data) > size {
		end := bytes.Index(data[size:], []byte("\n\n"))
		if end < 0 {
			break
		}
		pieces = append(pieces, data[:size+end+1])
		data = data[size+end+2:]
	}
	return append(pieces, data)
}
