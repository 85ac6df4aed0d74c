// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Root is what keeps an item and all it needs alive: a link in the store's
// folder roots, or a file there that is named as the item, or a link anywhere
// else that the store knows of.
type Root struct {
	Link string // the link, or what holds the lease
	Path Path
}

// AddRoot makes a link to the item's tree at link and remembers it as a root
// for as long as it is there. It replaces a link that leads into a store, and
// nothing else.
func (s *Store) AddRoot(link string, p Path) error {
	if err := s.addRoot(link, p); err != nil {
		return fmt.Errorf("cannot make %s a root of the store: %w", link, s.explain(err))
	}
	return nil
}

func (s *Store) addRoot(link string, p Path) error {
	if err := s.writable(); err != nil {
		return err
	}
	abs, err := filepath.Abs(link)
	if err != nil {
		return err
	}
	if st, err := os.Lstat(abs); err == nil {
		if st.Mode()&os.ModeSymlink == 0 {
			return fmt.Errorf("something else than a link is there (choose another name, or remove it)")
		}
		target, err := os.Readlink(abs)
		if err != nil {
			return err
		}
		if _, err := parseBase(filepath.Base(target)); err != nil {
			return fmt.Errorf("the link there leads to %s, which is no store item (choose another name, or remove it)", target)
		}
	}
	// The entry is named by the link, so that each link has one.
	sum := sha256.Sum256([]byte(abs))
	entry := s.at(autoFolder, encodeBase32(sum[:20]))
	return s.collector.with(s, unix.LOCK_SH, func() error {
		if !s.Valid(p) {
			return fmt.Errorf("%s is not valid: %w", p, ErrNotFound)
		}
		name := randomName()
		// The entry first: there must never be a link of which the store does not
		// know. An entry without its link goes with the next collection.
		if err := s.replaceLink(abs, entry, s.at(tempFolder, name)); err != nil {
			return err
		}
		return s.replaceLink(s.Physical(p), abs, abs+"."+name)
	})
}

// replaceLink makes a link in one step, in place of what is there. Only where
// something is, it needs the temporary name.
func (s *Store) replaceLink(target, link, temp string) error {
	if err := s.fs.Symlink(target, link); !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := s.fs.Symlink(target, temp); err != nil {
		return err
	}
	if err := s.fs.Rename(temp, link); err != nil {
		return errors.Join(err, s.fs.Remove(temp))
	}
	return nil
}

// Roots returns all roots that lead to an item, whether it is valid or not,
// sorted by link.
func (s *Store) Roots() ([]Root, error) {
	roots, _, err := s.roots()
	if err != nil {
		return nil, fmt.Errorf("cannot list the roots: %w", err)
	}
	return roots, nil
}

// roots also returns the entries of indirect roots whose link is gone.
func (s *Store) roots() (roots []Root, stale []string, err error) {
	err = filepath.WalkDir(s.at(rootsFolder), func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if d.Type().IsRegular() && !strings.HasPrefix(path, s.at(autoFolder)+"/") {
			// As in Nix, a file that is named as the item keeps it.
			if p, err := parseBase(d.Name()); err == nil {
				roots = append(roots, Root{Link: path, Path: p})
			}
			return nil
		}
		if d.Type()&fs.ModeSymlink == 0 {
			return nil
		}
		target, err := os.Readlink(path)
		if err != nil {
			return nil // it went away just now
		}
		if !strings.HasPrefix(path, s.at(autoFolder)+"/") {
			if p, ok := s.itemOf(target, path); ok {
				roots = append(roots, Root{Link: path, Path: p})
			}
			return nil
		}
		link := target
		target, err = os.Readlink(link)
		switch {
		case err == nil:
			if p, ok := s.itemOf(target, link); ok {
				roots = append(roots, Root{Link: link, Path: p})
				return nil
			}
			stale = append(stale, path)
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.EINVAL):
			stale = append(stale, path)
		default:
			// Not readable for us now: whoever made it wants it to hold.
			return fmt.Errorf("cannot read the root %s: %w", link, err)
		}
		return nil
	})
	return roots, stale, err
}

// itemOf returns the item that a link's target lies in.
func (s *Store) itemOf(target, link string) (Path, bool) {
	if !filepath.IsAbs(target) {
		target = filepath.Join(filepath.Dir(link), target)
	}
	p, _, err := s.Resolve(filepath.Clean(target))
	return p, err == nil
}
