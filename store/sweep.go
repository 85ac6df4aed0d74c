// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"osbuild/store/fsys"
)

// leaseState is one lease as a collection or a sweep sees it.
type leaseState struct {
	id    string
	dead  *os.File // not nil: the owner is gone, and this is its lock
	paths []Path
	label string
}

// leases reads all leases. Of dead ones the lock is taken; the caller closes
// these. The collector's lock must be held exclusively.
func (s *Store) leases() ([]leaseState, error) {
	entries, err := os.ReadDir(s.at(leasesFolder))
	if err != nil {
		return nil, err
	}
	var out []leaseState
	for _, e := range entries {
		st := leaseState{id: e.Name()}
		path := s.at(leasesFolder, st.id)
		f, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // it ended just now
		}
		if err != nil {
			return nil, err
		}
		switch err := flock(f, unix.LOCK_EX|unix.LOCK_NB); {
		case err == nil:
			st.dead = f
		case errors.Is(err, unix.EWOULDBLOCK):
			if err := st.read(f); err != nil {
				return nil, errors.Join(err, f.Close())
			}
			_ = f.Close() // only read
		default:
			return nil, errors.Join(err, f.Close())
		}
		out = append(out, st)
	}
	return out, nil
}

// read fills in what a living lease protects.
func (st *leaseState) read(f *os.File) error {
	data, err := os.ReadFile(f.Name())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	st.parse(string(data))
	return nil
}

// parse reads the text of a lease. Torn lines name nothing.
func (st *leaseState) parse(text string) {
	header, rest, _ := strings.Cut(text, "\n")
	var h leaseHeader
	if json.Unmarshal([]byte(header), &h) == nil {
		st.label = fmt.Sprintf("%s (process %d)", h.Purpose, h.PID)
	}
	for line := range strings.Lines(rest) {
		if p, err := parseBase(strings.TrimSuffix(line, "\n")); err == nil {
			st.paths = append(st.paths, p)
		}
	}
}

// sweepDead removes what processes left behind that died: their temporary
// folders and leases. It does nothing while a collection runs, which does the
// same, and its failures wait for the next sweep.
func (s *Store) sweepDead() {
	f, err := s.fs.OpenLock(s.at(collectorLock))
	if err != nil {
		return
	}
	defer f.Close()
	if flock(f, unix.LOCK_EX|unix.LOCK_NB) != nil {
		return
	}
	trash, _ := s.discardDead()
	_ = flock(f, unix.LOCK_UN) // deleting needs no lock
	_ = fsys.RemoveTrees(s.fs, trash)
}

// tempLife is how old a small temporary file must be to have lost its writer,
// who needs milliseconds.
const tempLife = 10 * time.Minute

// discardDead moves the temporary folders of dead processes to the trash and
// removes their leases. The collector's lock must be held exclusively.
func (s *Store) discardDead() (trash []string, err error) {
	states, err := s.leases()
	if err != nil {
		return nil, err
	}
	alive := make(map[string]bool)
	for _, st := range states {
		if st.dead == nil {
			alive[st.id] = true
			continue
		}
		// Its owner may be ending it just now, and be faster.
		if rerr := s.fs.Remove(s.at(leasesFolder, st.id)); !errors.Is(rerr, fs.ErrNotExist) {
			err = errors.Join(err, rerr)
		}
		_ = st.dead.Close() // only read
	}
	entries, rerr := os.ReadDir(s.at(tempFolder))
	if rerr != nil {
		return nil, errors.Join(err, rerr)
	}
	for _, e := range entries {
		// Files in the folder itself are small ones on their way to their
		// place; only old ones have lost their writer.
		if alive[e.Name()] || !e.IsDir() && !s.older(e, tempLife) {
			continue
		}
		place := s.at(trashFolder, randomName())
		switch rerr := s.fs.Rename(s.at(tempFolder, e.Name()), place); {
		case rerr == nil:
			trash = append(trash, place)
		case !errors.Is(rerr, fs.ErrNotExist):
			err = errors.Join(err, rerr)
		}
	}
	return trash, err
}

// older says whether an entry was last changed longer ago than age.
func (s *Store) older(e os.DirEntry, age time.Duration) bool {
	info, err := e.Info()
	return err == nil && time.Since(info.ModTime()) > age
}
