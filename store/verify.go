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
	"time"

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
	// Since leaves out, of all items, those that were registered before this
	// time, if it is not zero, and with them what does not belong to one.
	Since time.Time
	// Jobs is how many items are checked at once; 0 is one a processor.
	Jobs int
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
		for p, i := range infos {
			// Times of registration are whole seconds, and may be unknown.
			if i.Registered.IsZero() || !i.Registered.Before(o.Since.Truncate(time.Second)) {
				paths = append(paths, p)
			}
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
	v := verification{store: s, contents: o.Contents, named: o.Paths != nil, leased: l != nil, valid: make(map[Path]bool)}
	if o.Contents {
		if v.refs, err = scannerOf(infos); err != nil {
			return r, err
		}
	}
	problems, checked, err := v.run(ctx, paths, o.Jobs)
	r.Checked, r.Problems = checked, append(r.Problems, problems...)
	if err != nil || o.Paths != nil || !o.Since.IsZero() {
		return r, err
	}
	if l != nil {
		if r.Stray, err = s.strayTrees(infos); err != nil {
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
// to be one, nor what a root or an item needs: what a collection takes. infos
// are those of a moment ago; where they describe all that is there, nobody is
// made to wait.
func (s *Store) strayTrees(infos map[Path]Info) (stray []string, err error) {
	c := &collection{infos: infos}
	if err := s.findStray(c); err != nil || len(c.stray) == 0 {
		return nil, err
	}
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
