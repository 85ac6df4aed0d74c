// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"osbuild/store/nar"
)

// Optimised is what [Store.Optimise] did.
type Optimised struct {
	Checked int    // items
	Files   int    // that now are one with another file
	Bytes   int64  // that these had on the disk for themselves
	InUse   []Path // items left alone, because a process uses them
}

// Optimise makes files of items that have the same bytes and mode one file with
// several names. It changes no item: a tree of other names is made aside and
// takes the place of the item's in one step. Files that are one already are
// not read again. nil stands for all items.
func (s *Store) Optimise(ctx context.Context, paths []Path) (Optimised, error) {
	var r Optimised
	err := s.writable()
	if err == nil {
		err = s.optimise(ctx, paths, &r)
	}
	if err != nil {
		return r, fmt.Errorf("cannot make equal files one: %w", s.explain(err))
	}
	return r, nil
}

// optimiseBatch is how many items are exchanged at once: one syncfs each time.
const optimiseBatch = 256

func (s *Store) optimise(ctx context.Context, paths []Path, r *Optimised) (err error) {
	if paths == nil {
		if paths, err = s.All(); err != nil {
			return err
		}
	}
	l, err := s.NewLease("store optimise")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	if err := l.add(false, paths); err != nil {
		return err
	}
	known, err := s.linkedFiles(ctx)
	if err != nil {
		return err
	}
	o := optimiser{store: s, lease: l, known: known, result: r}
	for _, p := range sortPaths(paths) {
		if !s.Valid(p) {
			continue // collected just now
		}
		if err := o.item(ctx, p); err != nil {
			return err
		}
	}
	return o.flush(ctx)
}

type optimiser struct {
	store  *Store
	lease  *Lease
	known  map[inode]bool // have a name in the folder links
	result *Optimised
	twins  []twin
	saves  map[Path]saving
}

type saving struct {
	files int
	bytes int64
}

// item looks for files of one item that others have too, and prepares its twin.
func (o *optimiser) item(ctx context.Context, p Path) error {
	t, err := nar.List(ctx, o.store.Physical(p), nil)
	if errors.Is(err, fs.ErrNotExist) || errors.As(err, new(*nar.SpecialFileError)) {
		return nil // damaged, which verify tells
	}
	if err != nil {
		return err
	}
	o.result.Checked++
	instead := make(map[*nar.Node]string)
	var saves saving
	for k := range t.Nodes {
		n := &t.Nodes[k]
		if n.Type != nar.Regular || n.Size < leastLinked || o.known[inodeOf(&n.Stat)] || !o.mine(&n.Stat) {
			continue
		}
		link, err := o.file(ctx, t.Physical(n), &n.Stat)
		if err != nil {
			return err
		}
		if link == "" {
			continue
		}
		instead[n] = link
		saves.files++
		if n.Stat.Nlink == 1 {
			saves.bytes += n.Size
		}
	}
	if len(instead) == 0 {
		return nil
	}
	temp, err := o.lease.scratch()
	if err != nil {
		return err
	}
	if err := o.store.linkTree(t, temp, instead); cannotLink(err) {
		return nil // its other files have no more names to give
	} else if err != nil {
		return err
	}
	if o.saves == nil {
		o.saves = make(map[Path]saving)
	}
	o.twins, o.saves[p] = append(o.twins, twin{path: p, temp: temp}), saves
	if len(o.twins) >= optimiseBatch {
		return o.flush(ctx)
	}
	return nil
}

// mine says whether a file is as the store made it, so that another may stand
// for it.
func (o *optimiser) mine(st *unix.Stat_t) bool {
	return canonicalFile(st) && int(st.Uid) == os.Geteuid()
}

// file returns the link to the file that shall stand for the one at path, or
// nothing where it stands for itself from now on.
func (o *optimiser) file(ctx context.Context, path string, own *unix.Stat_t) (string, error) {
	h, _, err := nar.Hash(ctx, path, nil)
	if err != nil {
		return "", err
	}
	link := o.store.linkPath(h)
	var st unix.Stat_t
	switch err := unix.Lstat(link, &st); {
	case errors.Is(err, unix.ENOENT):
		o.known[inodeOf(own)] = true
		return "", o.store.publish(path, link)
	case err != nil:
		return "", &fs.PathError{Op: "lstat", Path: link, Err: err}
	}
	// The name alone proves nothing.
	good := st.Mode == own.Mode && st.Size == own.Size && o.mine(&st) && st.Nlink < fullLink
	if good && inodeOf(&st) != inodeOf(own) {
		good, err = sameBytes(link, path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		} // or else a collection has just removed the name
	}
	switch {
	case !good:
		if err := o.store.unpublish(link); err != nil {
			return "", err
		}
		o.known[inodeOf(own)] = true
		return "", o.store.publish(path, link)
	case inodeOf(&st) == inodeOf(own):
		o.known[inodeOf(own)] = true
		return "", nil
	}
	o.known[inodeOf(&st)] = true
	return link, nil
}

// flush puts the twins in place.
func (o *optimiser) flush(ctx context.Context) error {
	used, err := o.store.exchangeAll(ctx, o.lease, o.twins)
	if err != nil {
		return err
	}
	for _, t := range o.twins {
		if _, busy := used[t.path]; busy {
			o.result.InUse = append(o.result.InUse, t.path)
			continue
		}
		o.result.Files += o.saves[t.path].files
		o.result.Bytes += o.saves[t.path].bytes
	}
	o.twins, o.saves = nil, nil
	return nil
}
