// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"cmp"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"sync"

	"osbuild/runner/idmap"
	"osbuild/runner/mount"
	"osbuild/runner/spec"
)

// rangesDir is where root's containers lock their id ranges, all of the machine
// in one place.
const rangesDir = "/run/osbuild/ids"

// runsAsRoot says whether the outer stage can have the host's own ids. Root of
// a container cannot; it is treated like any user.
var runsAsRoot = sync.OnceValue(func() bool { return os.Geteuid() == 0 && idmap.Initial() })

// identity is who a container's ids are on the host. It lasts as long as the
// container.
type identity struct {
	ids
	// lock and userNS are nil without root.
	lock   *idmap.Range
	userNS *os.File
	// again says that another build may have the range next.
	again bool
}

func (i *identity) close() {
	if i.userNS != nil {
		i.userNS.Close()
	}
	switch {
	case i.lock == nil:
	case i.again:
		idle.put(i.lock)
	default:
		i.lock.Release()
	}
}

// idle are ranges that no build program has at the moment, and the next one
// takes: to look for a free one means to read who has which ids. There are as
// many as programs ran at once, and they end with this process.
var idle ranges

type ranges struct {
	sync.Mutex
	list []*idmap.Range
}

func (r *ranges) put(one *idmap.Range) {
	r.Lock()
	defer r.Unlock()
	r.list = append(r.list, one)
}

// take gives nil where there is none.
func (r *ranges) take() *idmap.Range {
	r.Lock()
	defer r.Unlock()
	last := len(r.list) - 1
	if last < 0 {
		return nil
	}
	one := r.list[last]
	r.list = r.list[:last]
	return one
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
		return rootIdentity(count, base, seed)
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

// rootIdentity reserves count ids of the host.
func rootIdentity(count, base int, seed string) (*identity, error) {
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
	return identityOf(lock, 0)
}

// identityOf makes a user namespace in which the ids of a range begin with
// inside. Each container has one of its own: what the kernel keeps for it, such
// as keys, is nobody else's.
func identityOf(lock *idmap.Range, inside int) (*identity, error) {
	e := []spec.Extent{{Inside: inside, Outside: lock.Base, Count: lock.Count}}
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
	if !runsAsRoot() {
		return &identity{ids: singleIDs(mount.BuildID)}, nil
	}
	lock := idle.take()
	if lock == nil {
		var err error
		if lock, err = idmap.Allocate(rangesDir, 1, ""); err != nil {
			return nil, err
		}
	}
	who, err := identityOf(lock, mount.BuildID)
	if err == nil {
		who.again = true
	}
	return who, err
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
