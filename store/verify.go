// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"osbuild/store/nar"
	"osbuild/store/refscan"
)

// VerifyOptions say what is checked.
type VerifyOptions struct {
	// Contents also reads and hashes every item, and derives its path from
	// its content again.
	Contents bool
	// Paths are the items to check; nil means all.
	Paths []Path
}

// Kinds of problems.
const (
	ProblemMissing   = "missing"   // an item has an info file but no tree
	ProblemInfo      = "info"      // an info file is damaged
	ProblemReference = "reference" // an item refers to one that is not valid
	ProblemMode      = "mode"      // modes or times are not canonical
	ProblemContent   = "content"   // the tree has another hash than registered
	ProblemAddress   = "address"   // the path does not follow from the content
	ProblemUnread    = "unreadable"
	ProblemLink      = "link" // a name in the folder links lies; Path is its place
)

// Problem is one thing that is wrong.
type Problem struct {
	Path   Path
	Kind   string
	Detail string
}

func (p Problem) String() string { return fmt.Sprintf("%s: %s: %s", p.Path, p.Kind, p.Detail) }

// Report is what a verification found.
type Report struct {
	Checked  int
	Problems []Problem // sorted by path
	// Stray are entries of the store folder that are no items: what processes
	// that died have left. They do not count, and a collection takes them.
	Stray []string
}

// Verify checks items and changes none. A check of all contents also drops the
// links that lie (see Optimise). An item that is deleted while it
// runs is no problem.
func (s *Store) Verify(ctx context.Context, o VerifyOptions) (Report, error) {
	r, err := s.verify(ctx, o)
	if err != nil {
		return r, fmt.Errorf("cannot verify the store: %w", s.explain(err))
	}
	slices.SortStableFunc(r.Problems, func(a, b Problem) int { return strings.Compare(string(a.Path), string(b.Path)) })
	return r, nil
}

func (s *Store) verify(ctx context.Context, o VerifyOptions) (Report, error) {
	var r Report
	infos, damaged, err := s.load()
	if err != nil {
		return r, err
	}
	paths := o.Paths
	if paths == nil {
		for p := range infos {
			paths = append(paths, p)
		}
		for _, name := range damaged {
			r.Problems = append(r.Problems, Problem{
				Path: Path(s.at(infoFolder, name)), Kind: ProblemInfo,
				Detail: "the info file is damaged, so its item does not count (osbuild store repair mends it; osbuild store gc removes both)",
			})
		}
	}
	paths = sortPaths(paths)
	// So that no collection takes what is being checked.
	l, err := s.NewLease("store verify")
	switch {
	case errors.Is(err, ErrReadOnly), errors.Is(err, fs.ErrPermission):
		l = nil // another user's root
	case err != nil:
		return r, err
	default:
		defer l.Close()
		// Checking is no use of an item.
		if err := l.add(false, paths); err != nil {
			return r, err
		}
	}
	var refs *refscan.Scanner
	if o.Contents {
		if refs, err = scannerOf(infos); err != nil {
			return r, err
		}
	}
	valid := make(map[Path]bool) // what was found to be
	for _, p := range paths {
		if err := ctx.Err(); err != nil {
			return r, err
		}
		problems, checked, err := s.verifyItem(ctx, p, o.Paths != nil, o.Contents, l != nil, refs, valid)
		if err := errors.Join(err, ctx.Err()); err != nil {
			return r, err
		}
		if checked {
			r.Checked++
		}
		r.Problems = append(r.Problems, problems...)
	}
	if o.Paths != nil {
		return r, nil
	}
	if l != nil {
		if r.Stray, err = s.strayTrees(); err != nil {
			return r, err
		}
	}
	if o.Contents {
		problems, err := s.verifyLinks(ctx)
		r.Problems = append(r.Problems, problems...)
		return r, err
	}
	return r, nil
}

// scannerOf looks for references to these items.
func scannerOf(infos map[Path]Info) (*refscan.Scanner, error) {
	digests := make([]string, 0, len(infos))
	for p := range infos {
		digests = append(digests, p.Digest())
	}
	return refscan.NewScanner(digests)
}

// strayTrees lists what lies in the store folder and is no item, nor on its way
// to be one, nor what a root or an item needs: what a collection takes.
func (s *Store) strayTrees() (stray []string, err error) {
	err = s.collector.with(s, unix.LOCK_EX, func() error {
		c, err := s.inUse(nil)
		if err != nil {
			return err
		}
		roots, _, err := s.roots()
		if err != nil {
			return err
		}
		c.roots = append(c.roots, roots...)
		c.mark()
		err = s.findStray(c)
		stray = c.stray
		return err
	})
	slices.Sort(stray)
	return stray, err
}

// verifyItem checks one item: one that the user named, or one that was listed
// and may be collected since, unless it is leased. The info file is read here
// and not taken from the index, because it is the truth.
func (s *Store) verifyItem(ctx context.Context, p Path, named, contents, leased bool, refs *refscan.Scanner, valid map[Path]bool) (problems []Problem, checked bool, err error) {
	i, err := s.Info(p)
	var damaged *InfoError
	switch {
	case errors.As(err, &damaged):
		return []Problem{{p, ProblemInfo, damaged.Err.Error()}}, true, nil
	case errors.Is(err, ErrNotFound) && !named:
		return nil, false, nil // collected since the list was made
	case err != nil:
		return nil, false, err
	}
	for _, r := range i.References {
		// Most items are referred to more than once.
		if r != p && !valid[r] {
			valid[r] = s.Valid(r)
		}
		if r != p && !valid[r] {
			problems = append(problems, Problem{p, ProblemReference, "it refers to " + string(r) + ", which is not valid"})
		}
	}
	problems = append(problems, s.checkTree(ctx, i, contents, refs)...)
	if len(problems) > 0 && !leased {
		// Without a lease the item may have been collected meanwhile.
		if _, err := s.Info(p); errors.Is(err, ErrNotFound) {
			return nil, false, nil
		}
	}
	return problems, true, nil
}

// DumpNAR writes the archive of an item.
func (s *Store) DumpNAR(ctx context.Context, p Path, w io.Writer) error {
	if _, err := s.valid(p); err != nil {
		return err
	}
	if _, err := nar.Write(ctx, w, s.Physical(p), nil); err != nil {
		return fmt.Errorf("cannot dump %s: %w", p, err)
	}
	return nil
}
