// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"cmp"
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

// identity is who a container's ids are on the host. It lasts as long as the
// container.
type identity struct {
	ids
	// lock and userNS are nil without root.
	lock   *idmap.Range
	userNS *os.File
}

func (i *identity) close() {
	if i.userNS != nil {
		i.userNS.Close()
	}
	if i.lock != nil {
		i.lock.Release()
	}
}

// onHost is the container's map as the host sees it.
func (i *identity) onHost() spec.IDMap {
	if i.asRoot {
		return i.inner
	}
	return i.outer // the inner map repeats it within the outer one
}

// base is the first id of root's range, 0 without one.
func (i *identity) base() int {
	if i.lock == nil {
		return 0
	}
	return i.lock.Base
}

// containerIdentity gives a container count ids. base is the range that an
// earlier run recorded, or 0, and seed what a new one follows from; single maps
// root alone.
func containerIdentity(count, base int, seed string, single bool) (*identity, error) {
	if count == 0 {
		count = spec.Ids
	}
	if single {
		count = 1
	}
	if runsAsRoot() {
		return rootIdentity(count, base, seed, 0)
	}
	if single {
		return &identity{ids: singleIDs(0)}, nil
	}
	outer, err := rootlessIDs(count)
	if err != nil {
		return nil, err
	}
	return &identity{ids: ids{outer: outer, inner: idmap.Identity(outer), helpers: true}}, nil
}

// rootlessIDs is the map of an ordinary user's container.
func rootlessIDs(count int) (spec.IDMap, error) {
	u, err := user.Current()
	if err != nil {
		return spec.IDMap{}, fmt.Errorf("cannot tell who is running this: %w", err)
	}
	outer, err := idmap.SystemFiles.Rootless(u, count)
	if err == nil {
		_, _, err = idmap.Helpers()
	}
	if err != nil {
		return outer, fmt.Errorf("%w\n(--single-id maps root alone, without this; programs that change to another user fail then)", err)
	}
	return outer, nil
}

// CheckIDs says whether the caller can give a container its ids, so that a
// start that cannot succeed is refused before a long build.
func CheckIDs(o Options) error {
	if runsAsRoot() || o.SingleID {
		return nil
	}
	_, err := rootlessIDs(cmp.Or(o.IDs, spec.Ids))
	return err
}

// rootIdentity reserves count ids of the host, of which the first is inside.
func rootIdentity(count, base int, seed string, inside int) (*identity, error) {
	var lock *idmap.Range
	var err error
	if base != 0 {
		lock, err = idmap.Reserve(rangesDir, base, count)
	} else {
		lock, err = idmap.Allocate(rangesDir, count, seed)
	}
	if err != nil {
		return nil, err
	}
	e := []spec.Extent{{Inside: inside, Outside: lock.Base, Count: count}}
	m := spec.IDMap{UIDs: e, GIDs: e}
	userNS, err := userNamespace(m)
	if err != nil {
		lock.Release()
		return nil, err
	}
	return &identity{ids: ids{asRoot: true, inner: m}, lock: lock, userNS: userNS}, nil
}

// singleIDs maps the caller alone, as id inside. It needs no help of anybody.
func singleIDs(inside int) ids {
	e := []spec.Extent{{Inside: inside, Outside: 0, Count: 1}}
	return ids{
		outer: idmap.Single(os.Geteuid(), os.Getegid()), inner: spec.IDMap{UIDs: e, GIDs: e}, denyGroups: true,
	}
}

// buildIdentity gives a build program its one id, which is never host root's.
func buildIdentity() (*identity, error) {
	if runsAsRoot() {
		return rootIdentity(1, 0, "", mount.BuildID)
	}
	return &identity{ids: singleIDs(mount.BuildID)}, nil
}

// DefaultStateRoot is the registry of the calling user's containers.
func DefaultStateRoot() string {
	if os.Geteuid() == 0 {
		return "/run/osbuild"
	}
	// A relative one would mean another registry in each folder.
	if dir := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "osbuild")
	}
	return filepath.Join("/tmp", fmt.Sprintf("osbuild-%d", os.Geteuid()))
}
