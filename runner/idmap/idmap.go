// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

// Package idmap decides which ids of the host a container gets.
//
// It owns the reading of /etc/subuid and /etc/subgid, the allocation of id
// ranges to the containers of root, and the checks of `osbuild doctor`. It
// never makes a namespace and never writes a map: the runner does. A range is
// never the identity, so container root is nobody on the host. Start with
// [Rootless] and [Allocate].
package idmap

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"strings"

	"osbuild/runner/spec"
)

// Errors that callers tell apart with errors.Is.
var (
	// ErrNoSubids says that the user lacks subordinate ids.
	ErrNoSubids = errors.New("not enough subordinate ids")
	// ErrNoHelper says that newuidmap or newgidmap is missing.
	ErrNoHelper = errors.New("newuidmap and newgidmap are missing")
	// ErrRangeInUse says that a container runs with these ids.
	ErrRangeInUse = errors.New("the id range is in use by a running container")
)

// Files are the databases that name ids; tests have their own.
type Files struct{ Subuid, Subgid, Passwd string }

// SystemFiles are the databases of this machine.
var SystemFiles = Files{Subuid: "/etc/subuid", Subgid: "/etc/subgid", Passwd: "/etc/passwd"}

// Rootless is the map of a container that u starts: u is root in it, and the
// other ids up to 65535 are subordinate ids of u.
func Rootless(u *user.User) (spec.IDMap, error) { return SystemFiles.Rootless(u, spec.Ids) }

// Rootless is the map of count ids of a container that u starts.
func (f Files) Rootless(u *user.User, count int) (spec.IDMap, error) {
	uids, uerr := f.subordinate(f.Subuid, u, u.Uid, count)
	gids, gerr := f.subordinate(f.Subgid, u, u.Gid, count)
	if err := errors.Join(uerr, gerr); err != nil {
		return spec.IDMap{}, fmt.Errorf("cannot map %d ids for user %s: %w\nas root, run: %s",
			count, u.Username, err, f.Usermod(u.Username, count))
	}
	return spec.IDMap{UIDs: uids, GIDs: gids}, nil
}

// Single is the map of root alone to one id.
func Single(uid, gid int) spec.IDMap {
	return spec.IDMap{
		UIDs: []spec.Extent{{Inside: 0, Outside: uid, Count: 1}},
		GIDs: []spec.Extent{{Inside: 0, Outside: gid, Count: 1}},
	}
}

// Identity maps the ids that outer has inside to themselves: it is the map of a
// namespace within outer's. Its extents follow outer's, because the kernel
// refuses an extent that spans two of its parent's.
func Identity(outer spec.IDMap) spec.IDMap {
	same := func(in []spec.Extent) []spec.Extent {
		var out []spec.Extent
		for _, e := range in {
			out = append(out, spec.Extent{Inside: e.Inside, Outside: e.Inside, Count: e.Count})
		}
		return out
	}
	return spec.IDMap{UIDs: same(outer.UIDs), GIDs: same(outer.GIDs)}
}

// Format is the text of a uid_map or gid_map.
func Format(extents []spec.Extent) string {
	var b strings.Builder
	for _, e := range extents {
		fmt.Fprintf(&b, "%d %d %d\n", e.Inside, e.Outside, e.Count)
	}
	return b.String()
}

// Parse reads the text of a uid_map or gid_map.
func Parse(text string) ([]spec.Extent, error) {
	var out []spec.Extent
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		var n [3]int
		if len(f) != 3 {
			return nil, fmt.Errorf("cannot read id map line %q: three numbers are needed", line)
		}
		for i, s := range f {
			v, err := strconv.ParseUint(s, 10, 32)
			if err != nil {
				return nil, fmt.Errorf("cannot read id map line %q: %w", line, err)
			}
			n[i] = int(v)
		}
		out = append(out, spec.Extent{Inside: n[0], Outside: n[1], Count: n[2]})
	}
	return out, nil
}

// Initial says whether this process has all ids of the machine, which it lacks
// in a container.
func Initial() bool {
	data, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		return false
	}
	extents, err := Parse(string(data))
	return err == nil && len(extents) == 1 && extents[0] == spec.Extent{Count: 1<<32 - 1}
}
