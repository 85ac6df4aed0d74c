// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"time"

	"osbuild/store/refscan"
)

// Rebuilt is what [Store.Rebuild] found.
type Rebuilt struct {
	Checked int       // trees
	Made    []Path    // items whose info was made again, references first
	Left    []Problem // what stays as it is, and why
}

// Rebuild makes the info files and the index again from the trees of the items
// alone: each tree that no sound info file describes is hashed and searched for
// the names of all others, and from that its path is derived again. What gives
// its path is an item again; what does not is left out, and a collection takes
// it. Info files that are sound and describe their tree stay, because they also
// hold what no tree tells. With dry nothing is written.
func (s *Store) Rebuild(ctx context.Context, dry bool) (Rebuilt, error) {
	var r Rebuilt
	err := s.writable()
	if err == nil {
		err = s.rebuild(ctx, dry, &r)
	}
	if err != nil {
		return r, fmt.Errorf("cannot make the info files again: %w", s.explain(err))
	}
	return r, nil
}

func (s *Store) rebuild(ctx context.Context, dry bool, r *Rebuilt) (err error) {
	paths, odd, err := s.trees()
	if err != nil {
		return err
	}
	for _, name := range odd {
		r.Left = append(r.Left, Problem{Path: Path(s.at(storeFolder, name)), Kind: ProblemAddress, Detail: "it has no name of an item"})
	}
	l, err := s.NewLease("store fsck")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	// Also those that are no items yet: so that no collection takes them.
	if err := l.add(false, paths); err != nil {
		return err
	}
	d, err := s.newDeriver(paths)
	if err != nil {
		return err
	}
	sound := make(map[Path]Info) // described by their info files
	fresh := make(map[Path]Info)
	for _, p := range paths {
		i, problem, err := d.look(ctx, p)
		if err := errors.Join(err, ctx.Err()); err != nil {
			return err
		}
		r.Checked++
		switch {
		case problem != nil:
			r.Left = append(r.Left, *problem)
		case i.Registered.IsZero():
			fresh[p] = i
		default:
			sound[p] = i
		}
	}
	order, broken := adoptable(sound, fresh)
	r.Made, r.Left = order, append(r.Left, broken...)
	if dry {
		return nil
	}
	for _, p := range order {
		if err := s.adopt(ctx, fresh[p]); err != nil {
			return err
		}
	}
	infos, _, seen, err := s.loadWith(false)
	if err != nil {
		return err
	}
	if _, done := s.rewriteIndex(seen, infos); !done {
		return s.dropIndex()
	}
	return nil
}

// trees lists the entries of the store folder that are named as items, sorted,
// and the others.
func (s *Store) trees() (paths []Path, odd []string, err error) {
	entries, err := os.ReadDir(s.at(storeFolder))
	if err != nil {
		return nil, nil, err
	}
	for _, e := range entries {
		if p, err := parseBase(e.Name()); err == nil {
			paths = append(paths, p)
		} else {
			odd = append(odd, e.Name())
		}
	}
	return paths, odd, nil
}

// adoptable sorts the fresh infos, references first. One that needs what
// neither is sound nor can be adopted is a problem.
func adoptable(sound, fresh map[Path]Info) (order []Path, broken []Problem) {
	const (
		open = iota + 1
		good
		bad
	)
	state := make(map[Path]int, len(fresh))
	// Not recursive: chains of references may be long.
	for _, first := range slices.Sorted(maps.Keys(fresh)) {
		stack := []Path{first}
		for len(stack) > 0 {
			p := stack[len(stack)-1]
			if state[p] == good || state[p] == bad {
				stack = stack[:len(stack)-1]
				continue
			}
			state[p] = open
			var lacks Path
			waits := false
			for _, q := range fresh[p].References {
				_, isSound := sound[q]
				_, isFresh := fresh[q]
				switch {
				case q == p || isSound || state[q] == good:
				case isFresh && state[q] == 0:
					stack, waits = append(stack, q), true
				default:
					// Hashes refer to each other in no circle, so an open one
					// is as bad as one that is missing.
					lacks = q
				}
			}
			switch {
			case waits:
			case lacks != "":
				state[p] = bad
				broken = append(broken, Problem{p, ProblemReference, "it refers to " + string(lacks) + ", which is not valid"})
			default:
				state[p] = good
				order = append(order, p)
			}
		}
	}
	return order, broken
}

// adopt writes the info of a tree that lies in its place already, durable or
// not.
func (s *Store) adopt(ctx context.Context, i Info) error {
	lock, _, err := s.Lock(ctx, "item-"+i.Path.Digest()[:1])
	if err != nil {
		return err
	}
	return errors.Join(s.adoptLocked(i), lock.Unlock())
}

func (s *Store) adoptLocked(i Info) error {
	place := s.Physical(i.Path)
	st, err := os.Lstat(place)
	if err != nil {
		return err
	}
	s.registering.RLock()
	defer s.registering.RUnlock()
	session, err := s.pend("item " + i.Path.Base())
	if err != nil {
		return err
	}
	i.session = session
	i.Registered = time.Now().UTC().Truncate(time.Second)
	if st.IsDir() && st.Mode().Perm() != modeDir {
		// Who registered it died between the renaming, which needs a folder
		// that is writable, and this.
		if err := s.fs.Chmod(place, modeDir); err != nil {
			return err
		}
	}
	if err := s.writeFile(s.at(tempFolder), s.infoPath(i.Path), i.Encode()); err != nil {
		return err
	}
	s.appendIndex(i)
	return nil
}

// deriver makes infos from trees.
type deriver struct {
	store    *Store
	refs     *refscan.Scanner
	byDigest map[string]Path
}

// newDeriver looks for references to these items.
func (s *Store) newDeriver(paths []Path) (*deriver, error) {
	d := &deriver{store: s, byDigest: make(map[string]Path, len(paths))}
	digests := make([]string, 0, len(paths))
	for _, p := range paths {
		d.byDigest[p.Digest()] = p
		digests = append(digests, p.Digest())
	}
	var err error
	d.refs, err = refscan.NewScanner(digests)
	return d, err
}

// look returns the info of a tree: the one that is there if it describes it,
// or else one that was not registered yet.
func (d *deriver) look(ctx context.Context, p Path) (Info, *Problem, error) {
	left := func(kind, format string, args ...any) (Info, *Problem, error) {
		return Info{}, &Problem{p, kind, fmt.Sprintf(format, args...)}, nil
	}
	have, err := d.store.Info(p)
	switch {
	case err == nil:
		problems := d.store.checkTree(ctx, have, true, nil)
		bad := slices.IndexFunc(problems, func(p Problem) bool { return p.Kind != ProblemMode })
		if bad < 0 {
			return have, nil, nil
		}
		if have.CA == "" || problems[bad].Kind == ProblemUnread {
			return Info{}, &problems[bad], nil
		}
	case !errors.Is(err, ErrNotFound):
		return Info{}, nil, err
	}
	i, err := d.derive(ctx, p)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return left(ProblemMissing, "its tree is not there")
	case err != nil:
		return left(ProblemUnread, "%v", err)
	case i.Path == "" && have.Path != "":
		return left(ProblemContent, "its tree is not the one registered (osbuild store repair)")
	case i.Path == "":
		return left(ProblemAddress, "its path does not follow from its content: it is damaged, or it was addressed by its inputs (osbuild store gc takes it, osbuild store repair may get it again)")
	}
	return i, nil, nil
}
