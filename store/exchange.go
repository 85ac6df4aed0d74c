// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"osbuild/store/fsys"
	"osbuild/store/nar"
)

// twin is a tree that shall take the place of an item's: the same one in other
// files, finished in the lease's folder, its top still writable.
type twin struct {
	path Path
	temp string
}

// exchangeAll puts finished trees in the place of their items', each in one
// step, and deletes the old ones. They are durable before that, so that a crash
// leaves the old tree or the new one. An item that another process uses keeps
// its tree, because that process may have it open; such items are returned,
// each with its user.
func (s *Store) exchangeAll(ctx context.Context, l *Lease, twins []twin) (used map[Path]string, err error) {
	if len(twins) == 0 {
		return nil, nil
	}
	if err := s.flush(); err != nil {
		return nil, err
	}
	used = make(map[Path]string)
	var old []string
	err = s.collector.with(s, unix.LOCK_EX, func() error {
		c, err := s.inUse(l)
		if err != nil {
			return err
		}
		for _, t := range twins {
			if err := ctx.Err(); err != nil {
				return err
			}
			if chain := c.why(t.path); chain != nil {
				used[t.path] = chain[0]
				continue
			}
			trash, err := s.exchange(t)
			if err != nil {
				return err
			}
			old = append(old, trash...)
		}
		return nil
	})
	for _, t := range twins {
		old = append(old, t.temp) // what was not used
	}
	return used, errors.Join(err, fsys.RemoveTrees(s.fs, old))
}

// exchange puts one tree in place. The collector's lock must be held
// exclusively, so that nobody takes what lies in the store folder in between
// for garbage.
func (s *Store) exchange(t twin) (trash []string, err error) {
	// A folder that gets another parent must be writable, see rename(2), and
	// one of an item must never be. So both become neighbours first.
	beside, place := s.at(storeFolder, "."+randomName()), s.Physical(t.path)
	st, err := os.Lstat(t.temp)
	if err != nil {
		return nil, err
	}
	if err := s.fs.Rename(t.temp, beside); err != nil {
		return nil, err
	}
	if st.IsDir() {
		err = s.fs.Chmod(beside, modeDir)
	}
	if err == nil {
		err = s.fs.Exchange(beside, place)
		if errors.Is(err, fs.ErrNotExist) {
			// Other hands removed the tree.
			return nil, s.fs.Rename(beside, place)
		}
	}
	if err != nil {
		return nil, errors.Join(err, fsys.RemoveTree(s.fs, beside))
	}
	gone := s.at(trashFolder, randomName())
	return []string{gone}, s.move(beside, gone)
}

// inUse finds out what living leases other than l protect. The collector's
// lock must be held exclusively.
func (s *Store) inUse(l *Lease) (*collection, error) {
	c := &collection{parent: make(map[Path]string)}
	var err error
	if c.roots, err = s.leaseRoots(l); err != nil {
		return nil, err
	}
	if c.infos, _, err = s.load(); err != nil {
		return nil, err
	}
	c.mark()
	return c, nil
}

// linkTree makes the twin of the tree t at dst from hard links: of the files
// in instead those, of the others its own.
func (s *Store) linkTree(t *nar.Tree, dst string, instead map[*nar.Node]string) (err error) {
	for k := range t.Nodes {
		n := &t.Nodes[k]
		place := target(dst, n)
		switch n.Type {
		case nar.Directory:
			err = s.fs.Mkdir(place, 0o755)
		case nar.Symlink:
			if err = s.fs.Symlink(n.Target, place); err == nil {
				err = s.fs.SetTime(place, epoch)
			}
		case nar.Regular:
			err = s.linkFile(t.Physical(n), instead[n], place, n.Executable)
		}
		if err != nil {
			return errors.Join(err, fsys.RemoveTree(s.fs, dst))
		}
	}
	if err := seal(s.fs, t, dst, false); err != nil {
		return errors.Join(err, fsys.RemoveTree(s.fs, dst))
	}
	return nil
}

// linkFile makes place another name of the file instead, or where it can have
// no more names a clone that shares its blocks; if neither can be, or there is
// no such file, another name of own.
func (s *Store) linkFile(own, instead, place string, executable bool) error {
	if instead != "" {
		err := s.fs.Link(instead, place)
		if cannotLink(err) {
			err = s.fs.Clone(instead, place, fileMode(executable), epoch)
		}
		if err == nil {
			return nil
		}
		if err := s.fs.Remove(place); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return s.fs.Link(own, place)
}
