// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"osbuild/store/fsys"
)

// Canonical modes and time of every item, so that only content counts.
const (
	modeFile fs.FileMode = 0o444
	modeExec fs.FileMode = 0o555
	modeDir  fs.FileMode = 0o555
)

func fileMode(executable bool) fs.FileMode {
	if executable {
		return modeExec
	}
	return modeFile
}

var epoch = time.Unix(1, 0)

// known returns the info of an item that is valid already. The lease must
// hold it before, so that it stays.
func (s *Store) known(l *Lease, p Path, refs []Path) (Info, bool, error) {
	if err := l.Add(append(slices.Clone(refs), p)...); err != nil {
		return Info{}, false, err
	}
	i, err := s.valid(p)
	if err == nil {
		return i, true, nil
	}
	if !errors.Is(err, ErrNotFound) {
		return Info{}, false, err
	}
	return Info{}, false, nil
}

// register moves the finished, canonical tree at temp into the store and
// writes its info, unless the item is valid already: then the tree is
// removed. The tree's top, if it is a folder, must still be writable, because
// moving a folder writes to it.
func (s *Store) register(ctx context.Context, l *Lease, i Info, temp string) (Info, error) {
	if s.catch != nil && s.suspect[i.Path] {
		s.catchMu.Lock()
		defer s.catchMu.Unlock()
		return s.catch(i, temp)
	}
	have, ok, err := s.known(l, i.Path, i.References)
	if err != nil {
		return Info{}, err
	}
	if ok {
		return have, fsys.RemoveTree(s.fs, temp)
	}
	for _, r := range i.References {
		if r != i.Path && !s.Valid(r) {
			return Info{}, fmt.Errorf("cannot register %s: it refers to %s, which is not valid: %w", i.Path, r, ErrNotFound)
		}
	}
	// One of 32 locks, so that no lock file is left for every item.
	lock, _, err := s.Lock(ctx, "item-"+i.Path.Digest()[:1])
	if err != nil {
		return Info{}, err
	}
	have, err = s.registerLocked(i, temp)
	return have, errors.Join(err, lock.Unlock())
}

func (s *Store) registerLocked(i Info, temp string) (Info, error) {
	if have, err := s.valid(i.Path); err == nil {
		return have, fsys.RemoveTree(s.fs, temp) // another process was faster
	} else if !errors.Is(err, ErrNotFound) {
		return Info{}, err
	}
	place := s.Physical(i.Path)
	if _, err := os.Lstat(place); err == nil {
		// Left by a process that died before it wrote the info.
		if err := s.move(place, s.at(trashFolder, randomName())); err != nil {
			return Info{}, err
		}
	}
	s.registering.RLock()
	defer s.registering.RUnlock()
	session, err := s.pend("item " + i.Path.Base())
	if err != nil {
		return Info{}, err
	}
	i.session = session
	i.Registered = time.Now().UTC().Truncate(time.Second)
	st, err := os.Lstat(temp)
	if err != nil {
		return Info{}, err
	}
	if err := s.fs.Rename(temp, place); err != nil {
		return Info{}, err
	}
	if st.IsDir() {
		err = s.fs.Chmod(place, modeDir)
	}
	if err == nil {
		err = s.writeFile(s.at(tempFolder), s.infoPath(i.Path), i.Encode())
	}
	if err != nil {
		// Without its info the tree would only wait for a collection.
		return Info{}, errors.Join(err, fsys.RemoveTree(s.fs, place))
	}
	s.appendIndex(i)
	return i, nil
}

// move renames a tree. A folder that gets another parent must be writable, see
// rename(2).
func (s *Store) move(from, to string) error {
	err := s.fs.Rename(from, to)
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	if st, serr := os.Lstat(from); serr != nil || !st.IsDir() || st.Mode().Perm()&0o200 != 0 {
		return err
	}
	if err := s.fs.Chmod(from, 0o700); err != nil {
		return err
	}
	return s.fs.Rename(from, to)
}

// discard makes an item invalid and moves its tree to the trash. The
// collector's lock must be held exclusively.
func (s *Store) discard(i Info) error {
	if err := s.removeInfo(i.Path); err != nil {
		return err
	}
	return s.takeAway(i.Path, i.NarSize)
}
