// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"osbuild/store/fsys"
	"osbuild/store/nar"
)

// The folder links holds one more name for files of items, which says what is
// in them: the base 32 SHA-256 of the file's archive, so that the executable
// bit counts too. Optimise makes and uses these names. They are a cache: who
// uses one compares all bytes first, so a bad one spreads to no item.

const linksFolder = "links"

const (
	// leastLinked is the size from which a file is worth a name of its own.
	leastLinked = 1 << 10
	// fullLink is how many names a file may get. File systems end at 32,000
	// and more, and views need some too.
	fullLink = 16_000
)

// inode names a file, whatever its paths.
type inode struct{ dev, ino uint64 }

func inodeOf(st *unix.Stat_t) inode { return inode{dev: st.Dev, ino: st.Ino} }

// linkPath is the place of the file with this archive hash.
func (s *Store) linkPath(h Hash) string {
	name := h.Base32()
	return s.at(linksFolder, name[:2], name)
}

// eachLink calls do with every place in the folder links.
func (s *Store) eachLink(ctx context.Context, do func(path string, st *unix.Stat_t) error) error {
	folders, err := os.ReadDir(s.at(linksFolder))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, f := range folders {
		if err := ctx.Err(); err != nil {
			return err
		}
		entries, err := os.ReadDir(s.at(linksFolder, f.Name()))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for _, e := range entries {
			path := s.at(linksFolder, f.Name(), e.Name())
			var st unix.Stat_t
			if unix.Lstat(path, &st) != nil {
				continue // gone just now
			}
			if err := do(path, &st); err != nil {
				return err
			}
		}
	}
	return nil
}

// linkedFiles returns the files that have a name in the folder links.
func (s *Store) linkedFiles(ctx context.Context) (map[inode]bool, error) {
	known := make(map[inode]bool)
	err := s.eachLink(ctx, func(_ string, st *unix.Stat_t) error {
		known[inodeOf(st)] = true
		return nil
	})
	return known, err
}

// publish gives the file at path the name for its hash, unless another file
// has it. One without names left keeps none.
func (s *Store) publish(path, link string) error {
	err := s.fs.Link(path, link)
	if errors.Is(err, fs.ErrNotExist) {
		if err := fsys.MkdirAll(s.fs, s.at(linksFolder, link[len(link)-len(Hash{}.Base32()):][:2]), 0o755); err != nil {
			return err
		}
		err = s.fs.Link(path, link)
	}
	if errors.Is(err, fs.ErrExist) || cannotLink(err) {
		return nil
	}
	return err
}

// cannotLink says that a link failed for what the file system cannot do, see
// link(2).
func cannotLink(err error) bool {
	for _, unable := range []error{unix.EMLINK, unix.EPERM, unix.EXDEV, unix.EOPNOTSUPP, unix.ENOSYS} {
		if errors.Is(err, unable) {
			return true
		}
	}
	return false
}

// unpublish removes a name; somebody may be faster.
func (s *Store) unpublish(link string) error {
	if err := s.fs.Remove(link); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// sweepLinks removes the names of files that no item has any more. It needs no
// lock: a link that somebody makes meanwhile keeps the file by itself, or does
// not find it.
func (s *Store) sweepLinks(ctx context.Context) error {
	return s.eachLink(ctx, func(path string, st *unix.Stat_t) error {
		if st.Nlink > 1 && st.Mode&unix.S_IFMT == unix.S_IFREG {
			return nil
		}
		return fsys.RemoveTree(s.fs, path)
	})
}

// verifyLinks drops the names whose file has other bytes, or is not canonical,
// and reports them.
func (s *Store) verifyLinks(ctx context.Context) ([]Problem, error) {
	var problems []Problem
	err := s.eachLink(ctx, func(path string, st *unix.Stat_t) error {
		detail := ""
		if st.Mode&unix.S_IFMT != unix.S_IFREG {
			detail = "it is no file"
		} else if h, _, err := nar.Hash(ctx, path, nil); err != nil {
			if errors.Is(err, fs.ErrNotExist) || ctx.Err() != nil {
				return ctx.Err()
			}
			detail = err.Error()
		} else if s.linkPath(h) != path {
			detail = fmt.Sprintf("its file has the hash %s", Hash(h))
		} else if !canonicalFile(st) {
			detail = "its file has not the canonical mode and time"
		} else {
			return nil
		}
		if s.readOnly {
			detail += " (osbuild store verify of its owner drops it)"
		} else if err := fsys.RemoveTree(s.fs, path); err == nil {
			detail += "; it was dropped, so that it spreads no further"
		} else if !errors.Is(err, fs.ErrPermission) {
			return err
		}
		problems = append(problems, Problem{Path: Path(path), Kind: ProblemLink, Detail: detail})
		return nil
	})
	return problems, err
}

// canonicalFile says whether mode and time are those of a file of an item.
func canonicalFile(st *unix.Stat_t) bool {
	return st.Mode&0o7777 == uint32(fileMode(st.Mode&0o100 != 0)) && st.Mtim.Sec == epoch.Unix() && st.Mtim.Nsec == 0
}

// sameBytes compares two files.
func sameBytes(a, b string) (bool, error) {
	x, err := os.Open(a)
	if err != nil {
		return false, err
	}
	defer x.Close() // only read
	y, err := os.Open(b)
	if err != nil {
		return false, err
	}
	defer y.Close() // only read
	p, q := make([]byte, copyBuffer), make([]byte, copyBuffer)
	for {
		n, err1 := io.ReadFull(x, p)
		m, err2 := io.ReadFull(y, q)
		for _, err := range []error{err1, err2} {
			if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				return false, err
			}
		}
		if !bytes.Equal(p[:n], q[:m]) {
			return false, nil
		}
		if err1 != nil || err2 != nil {
			return true, nil // both ended, since both gave as much
		}
	}
}
