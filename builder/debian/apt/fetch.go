// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package apt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"osbuild/builder/debian/control"
)

// Fetch writes a file of an archive to w: of its suite's mirrors first, then
// of the others, since the hash says what is right. When wrong bytes came
// already, another mirror is asked only if w can begin anew as an [os.File]
// can; w has the right bytes, all of them, only if the error is nil.
func (h *Host) Fetch(ctx context.Context, f File, w io.Writer) error {
	if f.Size <= 0 || len(f.SHA256) != 64 {
		return fmt.Errorf("cannot fetch %s: its size or its SHA256 is not known", f.Path)
	}
	name := path.Clean(f.Path)
	if name == "." || path.IsAbs(name) || name == ".." || strings.HasPrefix(name, "../") {
		return fmt.Errorf("cannot fetch %q: the path leads out of the archive", f.Path)
	}
	var first, rest []place
	for _, a := range h.archives {
		for _, m := range a.mirrors {
			if a.suite == suiteName(f.Suite) {
				first = append(first, place{m, name})
			} else {
				rest = append(rest, place{m, name})
			}
		}
	}
	places := compactPlaces(append(first, rest...))
	if len(places) == 0 {
		return fmt.Errorf("cannot fetch %s: no source of the host can be used", f.Path)
	}
	t := &transfer{host: h, what: path.Base(name), want: sum{sha256: f.SHA256, size: f.Size}, to: w}
	err := t.run(ctx, places)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, ErrOffline):
		return fmt.Errorf("cannot fetch %s of the suite %s: %w (run it once with the network)", f.Path, f.Suite, ErrOffline)
	case errors.Is(err, ErrNetwork):
		return fmt.Errorf("cannot fetch %s of the suite %s: %w (is there a network? what is in the store already needs none)", f.Path, f.Suite, err)
	case errors.Is(err, errNotFound):
		return fmt.Errorf("cannot fetch %s of the suite %s: %w: %w", f.Path, f.Suite, ErrGone, err)
	}
	return fmt.Errorf("cannot fetch %s of the suite %s: %w", f.Path, f.Suite, err)
}

// compactPlaces leaves out what stands there already: several suites share a
// mirror.
func compactPlaces(all []place) []place {
	var out []place
	seen := map[string]bool{}
	for _, p := range all {
		if !seen[p.String()] {
			seen[p.String()] = true
			out = append(out, p)
		}
	}
	return out
}

// Newer says which version of a package the archives have now, and in which
// suite. An empty version means none.
func (h *Host) Newer(ctx context.Context, name string) (version, suite string, err error) {
	h.newerOnce.Do(func() {
		s, err := h.Indexes(ctx, IndexOptions{})
		if err != nil {
			h.newerErr = err
			return
		}
		h.newer = map[string]*control.Package{}
		for _, p := range s.Packages {
			if old := h.newer[p.Name]; old == nil || p.Before(old) {
				h.newer[p.Name] = p
			}
		}
	})
	if h.newerErr != nil {
		return "", "", h.newerErr
	}
	if p := h.newer[name]; p != nil {
		return string(p.Version), p.Suite, nil
	}
	return "", "", nil
}
