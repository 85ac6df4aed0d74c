// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

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
	paths := o.Paths
	if paths == nil {
		infos, damaged, err := s.load()
		if err != nil {
			return r, err
		}
		for p := range infos {
			paths = append(paths, p)
		}
		for _, name := range damaged {
			r.Problems = append(r.Problems, Problem{
				Path: Path(s.at(infoFolder, name)), Kind: ProblemInfo,
				Detail: "the info file is damaged, so its item does not count (osbuild store gc removes both)",
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
	for _, p := range paths {
		if err := ctx.Err(); err != nil {
			return r, err
		}
		problems, checked, err := s.verifyItem(ctx, p, o.Paths != nil, o.Contents, l != nil)
		if err := errors.Join(err, ctx.Err()); err != nil {
			return r, err
		}
		if checked {
			r.Checked++
		}
		r.Problems = append(r.Problems, problems...)
	}
	if o.Contents && o.Paths == nil {
		problems, err := s.verifyLinks(ctx)
		r.Problems = append(r.Problems, problems...)
		return r, err
	}
	return r, nil
}

// verifyItem checks one item: one that the user named, or one that was listed
// and may be collected since, unless it is leased. The info file is read here
// and not taken from the index, because it is the truth.
func (s *Store) verifyItem(ctx context.Context, p Path, named, contents, leased bool) (problems []Problem, checked bool, err error) {
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
		if r != p && !s.Valid(r) {
			problems = append(problems, Problem{p, ProblemReference, "it refers to " + string(r) + ", which is not valid"})
		}
	}
	problems = append(problems, s.checkTree(ctx, i, contents)...)
	if len(problems) > 0 && !leased {
		// Without a lease the item may have been collected meanwhile.
		if _, err := s.Info(p); errors.Is(err, ErrNotFound) {
			return nil, false, nil
		}
	}
	return problems, true, nil
}

// checkTree checks an item's tree against its info.
func (s *Store) checkTree(ctx context.Context, i Info, contents bool) []Problem {
	one := func(kind, format string, args ...any) []Problem {
		return []Problem{{i.Path, kind, fmt.Sprintf(format, args...)}}
	}
	t, err := nar.List(ctx, s.Physical(i.Path), nil)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return one(ProblemMissing, "its tree is not there")
	case errors.As(err, new(*nar.SpecialFileError)):
		return one(ProblemContent, "%v", err)
	case err != nil:
		return one(ProblemUnread, "%v", err)
	}
	problems := checkModes(i.Path, t)
	if !contents {
		return problems
	}
	modulo, err := refscan.NewModulo(i.Path.Digest())
	if err != nil {
		return one(ProblemInfo, "%v", err)
	}
	sum := sha256.New()
	e := nar.NewEncoder(io.MultiWriter(sum, modulo))
	if err := t.Encode(ctx, e, t.FileContents(ctx), nil); err != nil {
		return append(problems, one(ProblemUnread, "%v", err)...)
	}
	if h := Hash(sum.Sum(nil)); h != i.NarHash || e.Offset() != i.NarSize {
		return append(problems, one(ProblemContent, "its tree has the hash %s and the size %d, but %s and %d are registered", h, e.Offset(), i.NarHash, i.NarSize)...)
	}
	if err := s.checkAddress(i, modulo); err != nil {
		problems = append(problems, one(ProblemAddress, "%v", err)...)
	}
	return problems
}

// checkModes compares with the canonical modes and times.
func checkModes(p Path, t *nar.Tree) []Problem {
	var problems []Problem
	for k := range t.Nodes {
		n := &t.Nodes[k]
		name := strings.TrimSuffix(string(p)+"/"+n.Path, "/")
		mode, want := n.Stat.Mode&0o7777, uint32(fileMode(n.Executable))
		if n.Type == nar.Directory {
			want = uint32(modeDir)
		}
		if n.Type != nar.Symlink && mode != want {
			problems = append(problems, Problem{p, ProblemMode, fmt.Sprintf("%s has the mode %04o, not %04o", name, mode, want)})
		}
		if n.Stat.Mtim.Sec != epoch.Unix() || n.Stat.Mtim.Nsec != 0 {
			problems = append(problems, Problem{p, ProblemMode, fmt.Sprintf("%s was changed at %d, not at %d", name, n.Stat.Mtim.Sec, epoch.Unix())})
		}
	}
	return problems
}

// checkAddress derives the item's path from its content and references.
func (s *Store) checkAddress(i Info, modulo *refscan.Modulo) error {
	if i.CA == "" {
		return nil // addressed by its inputs: imported, with a signature
	}
	p, err := pathOfCA(i.Path, i.CA, i.References)
	if err != nil {
		return err
	}
	if p != i.Path {
		return fmt.Errorf("its content address %s gives the path %s", i.CA, p)
	}
	h, _ := modulo.Finish()
	ca, err := deriveCA(i.CA, s.Physical(i.Path), h)
	if err != nil {
		return err
	}
	if ca != i.CA {
		return fmt.Errorf("its content has the address %s, but %s is registered", ca, i.CA)
	}
	return nil
}

// deriveCA computes the content address, of the kind that ca is, of the tree
// at place, whose archive has the given hash modulo its own digest.
func deriveCA(ca, place string, modulo Hash) (string, error) {
	if strings.HasPrefix(ca, "fixed:r:sha256:") {
		return sourceCA(modulo), nil
	}
	if strings.HasPrefix(ca, "text:") {
		digest, err := hashFixed(context.Background(), place, "sha256", false)
		if err != nil {
			return "", err
		}
		return textCA(Hash(digest)), nil
	}
	rest, recursive := strings.CutPrefix(strings.TrimPrefix(ca, "fixed:"), "r:")
	algo, _, _ := strings.Cut(rest, ":")
	digest, err := hashFixed(context.Background(), place, algo, recursive)
	if err != nil {
		return "", err
	}
	return fixedCA(algo, digest, recursive), nil
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
