// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"

	"osbuild/runner/idmap"
	"osbuild/runner/mount"
	"osbuild/runner/spec"
)

// rangesDir is where root's containers lock their id ranges, all of the machine
// in one place.
const rangesDir = "/run/osbuild/ids"

// runsAsRoot says whether the outer stage can have the host's own ids. Root of
// a container cannot; it is treated like any user.
func runsAsRoot() bool { return os.Geteuid() == 0 && idmap.Initial() }

// caller is the user that runs osbuild.
func caller() (*user.User, error) {
	u, err := user.Current()
	if err != nil {
		return nil, fmt.Errorf("cannot tell who is running this: %w", err)
	}
	return u, nil
}

// containerIDs gives a container count ids. The range is nil without root; base
// is one that an earlier run recorded, or 0.
func containerIDs(count, base int, single bool) (ids, *idmap.Range, error) {
	if count == 0 {
		count = spec.Ids
	}
	if runsAsRoot() {
		if single {
			count = 1
		}
		r, err := reserve(count, base)
		if err != nil {
			return ids{}, nil, err
		}
		return ids{asRoot: true, inner: r.Map()}, r, nil
	}
	if single {
		return singleIDs(0), nil, nil
	}
	u, err := caller()
	if err != nil {
		return ids{}, nil, err
	}
	if _, _, err := idmap.Helpers(); err != nil {
		return ids{}, nil, fmt.Errorf("%w\n(or map root alone with --single-id: programs that change to another user will fail)", err)
	}
	outer, err := idmap.SystemFiles.Rootless(u, count)
	if err != nil {
		return ids{}, nil, fmt.Errorf("%w\n(or map root alone with --single-id: programs that change to another user will fail)", err)
	}
	return ids{outer: outer, inner: idmap.Identity(outer), helpers: true}, nil, nil
}

func reserve(count, base int) (*idmap.Range, error) {
	if base != 0 {
		return idmap.Reserve(rangesDir, base, count)
	}
	return idmap.Allocate(rangesDir, count)
}

// singleIDs maps the caller alone, as id inside. It needs no help of anybody.
func singleIDs(inside int) ids {
	inner := spec.IDMap{
		UIDs: []spec.Extent{{Inside: inside, Outside: 0, Count: 1}},
		GIDs: []spec.Extent{{Inside: inside, Outside: 0, Count: 1}},
	}
	return ids{outer: idmap.Single(os.Geteuid(), os.Getegid()), inner: inner, denyGroups: true}
}

// buildIDs gives a build program its one id, which is never host root's.
func buildIDs() (ids, *idmap.Range, error) {
	if !runsAsRoot() {
		return singleIDs(mount.BuildID), nil, nil
	}
	r, err := idmap.Allocate(rangesDir, 1)
	if err != nil {
		return ids{}, nil, err
	}
	e := []spec.Extent{{Inside: mount.BuildID, Outside: r.Base, Count: 1}}
	return ids{asRoot: true, inner: spec.IDMap{UIDs: e, GIDs: e}}, r, nil
}

// DefaultStateRoot is the registry of the calling user's containers.
func DefaultStateRoot() string {
	if os.Geteuid() == 0 {
		return "/run/osbuild"
	}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" {
		return filepath.Join(dir, "osbuild")
	}
	return filepath.Join(os.TempDir(), fmt.Sprintf("osbuild-%d", os.Geteuid()))
}
