// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package idmap

import (
	"bufio"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"osbuild/runner/spec"
)

// Ranges are handed out between these ids, which no distribution gives to
// accounts, in units of spec.Ids.
const (
	firstID = 524288
	lastID  = 1879048191
)

// Range is a range of ids that belongs to one container. It is free again when
// Release is called or the process ends.
type Range struct {
	Base  int
	Count int
	locks []*os.File
}

// Allocate reserves count ids that no other container, no account and no user's
// subordinate range has. Root's containers share the folder dir, which holds a
// locked file for each range in use. Ranges that are meant to last are looked
// for from a place that follows from seed, so that they are seldom in use by a
// container of the moment when they are needed again.
func Allocate(dir string, count int, seed string) (*Range, error) {
	return SystemFiles.Allocate(dir, count, seed)
}

// Allocate is the function of that name for other databases.
func (f Files) Allocate(dir string, count int, seed string) (*Range, error) {
	taken, err := f.taken()
	if err != nil {
		return nil, fmt.Errorf("cannot allocate %d ids: %w", count, err)
	}
	size := (count + spec.Ids - 1) / spec.Ids * spec.Ids
	const slots = (lastID + 1 - firstID) / spec.Ids
	start := 0
	if seed != "" {
		h := fnv.New32a()
		h.Write([]byte(seed))
		start = int(h.Sum32() % slots)
	}
	for n := range slots {
		base := firstID + (start+n)%slots*spec.Ids
		if base+size-1 > lastID || overlaps(taken, base, size) {
			continue
		}
		r, err := Reserve(dir, base, count)
		if errors.Is(err, ErrRangeInUse) {
			continue
		}
		return r, err
	}
	return nil, fmt.Errorf("cannot allocate %d ids: every range up to %d is in use", count, lastID)
}

// Reserve reserves the count ids from base, as recorded by an earlier run.
func Reserve(dir string, base, count int) (*Range, error) {
	if base < firstID || count < 1 || base+count-1 > lastID || base%spec.Ids != 0 {
		return nil, fmt.Errorf("cannot reserve the ids from %d: ranges start at a multiple of %d from %d", base, spec.Ids, firstID)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot reserve the ids from %d: %w", base, err)
	}
	r := &Range{Base: base, Count: count}
	for at := base; at < base+count; at += spec.Ids {
		// The files stay: removing one that another process has just opened
		// would let two containers hold the same range.
		f, err := os.OpenFile(filepath.Join(dir, strconv.Itoa(at)), os.O_RDWR|os.O_CREATE, 0o600)
		if err == nil {
			r.locks = append(r.locks, f)
			err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		}
		if err != nil {
			r.Release()
			if errors.Is(err, unix.EWOULDBLOCK) {
				err = ErrRangeInUse
			}
			return nil, fmt.Errorf("cannot reserve the ids from %d: %w", at, err)
		}
	}
	return r, nil
}

// Release gives the range back.
func (r *Range) Release() {
	for _, f := range r.locks {
		f.Close()
	}
	r.locks = nil
}

// Map is the range as a map from 0.
func (r *Range) Map() spec.IDMap {
	e := []spec.Extent{{Inside: 0, Outside: r.Base, Count: r.Count}}
	return spec.IDMap{UIDs: e, GIDs: e}
}

// taken are the ids that accounts and subordinate ranges have.
func (f Files) taken() ([]Subid, error) {
	var out []Subid
	for _, file := range []string{f.Subuid, f.Subgid} {
		list, err := readSubids(file)
		if err != nil {
			return nil, err
		}
		out = append(out, list...)
	}
	passwd, err := os.Open(f.Passwd)
	if errors.Is(err, os.ErrNotExist) {
		return out, nil
	}
	if err != nil {
		return nil, err
	}
	defer passwd.Close()
	sc := bufio.NewScanner(passwd)
	for sc.Scan() {
		fields := strings.Split(sc.Text(), ":")
		if len(fields) < 4 {
			continue
		}
		for _, s := range fields[2:4] {
			if id, err := strconv.Atoi(s); err == nil {
				out = append(out, Subid{Start: id, Count: 1})
			}
		}
	}
	return out, sc.Err()
}

func overlaps(taken []Subid, base, size int) bool {
	for _, t := range taken {
		if t.Start < base+size && base < t.Start+t.Count {
			return true
		}
	}
	return false
}
