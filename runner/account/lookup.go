// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package account

import (
	"fmt"
	"slices"
	"strconv"
)

// Names resolves the names of users and groups as the files passwd and group
// give them.
type Names struct {
	Users  []User
	Groups []Group
}

// ParseNames reads the two files; lines that it cannot read are passed over.
func ParseNames(passwd, group []byte) Names {
	users, _ := ParsePasswd(passwd)
	groups, _ := ParseGroup(group)
	return Names{Users: users, Groups: groups}
}

// User returns the uid of a name or decimal id and its primary group. Empty
// means root, whom no file need name.
func (n Names) User(user string) (uid, gid int, err error) {
	if user == "" {
		user = "root"
	}
	if i := slices.IndexFunc(n.Users, func(u User) bool { return u.Name == user }); i >= 0 {
		return n.Users[i].UID, n.Users[i].GID, nil
	}
	if user == "root" {
		return 0, 0, nil
	}
	id, err := strconv.Atoi(user)
	if err != nil || id < 0 || id > maxID {
		return 0, 0, fmt.Errorf("there is no user %q", user)
	}
	if i := slices.IndexFunc(n.Users, func(u User) bool { return u.UID == id }); i >= 0 {
		return id, n.Users[i].GID, nil
	}
	return id, id, nil
}

// Group returns the gid of a name or decimal id. Empty means root.
func (n Names) Group(group string) (int, error) {
	if group == "" {
		group = "root"
	}
	if i := slices.IndexFunc(n.Groups, func(g Group) bool { return g.Name == group }); i >= 0 {
		return n.Groups[i].GID, nil
	}
	if group == "root" {
		return 0, nil
	}
	id, err := strconv.Atoi(group)
	if err != nil || id < 0 || id > maxID {
		return 0, fmt.Errorf("there is no group %q", group)
	}
	return id, nil
}
