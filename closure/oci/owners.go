// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"osbuild/closure/segment"
	"osbuild/runner/spec"
)

// Modes of what is not in the store: those that packages expect, instead of
// the store's read-only ones.
const (
	fileMode    = 0o644
	programMode = 0o755
	folderMode  = 0o755
	// grantBits let a program act with its owner's or group's rights.
	grantBits = 0o6000
	modeBits  = 0o7777
)

// ids turns names of accounts into numbers.
type ids struct{ users, groups map[string]int }

// owner is the owner of a path in numbers.
type owner struct {
	uid, gid int
	mode     uint32
}

// find returns the numbers of an owner; false where a name has no fixed one.
func (i ids) find(user, group string, mode uint32) (owner, bool) {
	uid, uok := number(i.users, user)
	gid, gok := number(i.groups, group)
	return owner{uid, gid, mode & modeBits}, uok && gok
}

func number(table map[string]int, name string) (int, bool) {
	if name == "" || name == "root" {
		return 0, true
	}
	if n, err := strconv.Atoi(name); err == nil {
		return n, 0 <= n && n < spec.Ids
	}
	n, ok := table[name]
	return n, ok
}

// whose is the owner as messages name it.
func whose(user, group string) string {
	if user == "" {
		user = "root"
	}
	if group == "" {
		group = "root"
	}
	return user + ":" + group
}

// byPath is a list of owners as a table by relative path.
func byPath(list []spec.Owner) (map[string]spec.Owner, error) {
	out := make(map[string]spec.Owner, len(list))
	for _, o := range list {
		rel, err := relative(o.Path)
		if err != nil {
			return nil, err
		}
		out[rel] = o
	}
	return out, nil
}

// relative checks an absolute path of container.json and cuts its first slash.
func relative(p string) (string, error) {
	if !path.IsAbs(p) || path.Clean(p) != p || p == "/" {
		return "", fmt.Errorf("container.json names the path %q, which is not absolute and clean", p)
	}
	return strings.TrimPrefix(p, "/"), nil
}

// owners gives the paths of packages their owners and modes. What has none
// that an image can hold stays root's, and grants nobody anything.
func (b *builder) owners(list []spec.Owner) error {
	table, err := byPath(list)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(table)) {
		n := b.nodes[name]
		if n == nil || n.Type == segment.Symlink || n.Type == segment.Regular && !n.fhs {
			// Not there, or hidden by what is no package's: that must not
			// get a package's privileges.
			continue
		}
		o := table[name]
		who, fixed := b.ids.find(o.User, o.Group, o.Mode)
		if !fixed {
			who = b.nobodys(name, o.User, o.Group, o.Mode)
		}
		n.UID, n.GID, n.Mode = who.uid, who.gid, who.mode
	}
	return nil
}

// nobodys is what a path gets whose owner has no fixed id.
func (b *builder) nobodys(name, user, group string, mode uint32) owner {
	o := owner{mode: mode & modeBits &^ grantBits}
	b.warn(fmt.Sprintf("/%s is root's in the image, mode %04o: the ids of %s are only chosen at boot", name, o.mode, whose(user, group)))
	return o
}
