// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package account

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"osbuild/runner/spec"
)

// Build computes the account files that follow from what is declared and from
// what earlier activations left. top is the highest id for regular users and
// groups, 0 for the usual one; today counts days since 1970 and goes into the
// password age of new accounts.
//
// A known account keeps its id, its password line and, unless it is a system
// account, its real name; group, home, shell and memberships always follow the
// declaration. An account that is no longer declared leaves the files, but its
// id stays its own.
func Build(decl spec.Accounts, prev Previous, top, today int) (Database, error) {
	if top <= 0 || top > regularMax {
		top = regularMax
	}
	if err := validate(decl); err != nil {
		return Database{}, err
	}
	var db Database

	var wants []want
	for _, g := range decl.Groups {
		wants = append(wants, want{name: g.Name, explicit: g.GID, system: g.System})
	}
	present := map[string]int{}
	for _, g := range prev.Groups {
		if _, ok := present[g.Name]; !ok {
			present[g.Name] = g.GID
		}
	}
	groups, err := allocate("gid", wants, known{present, prev.IDs.Groups, prev.IDs.FormerGroups}, top)
	if err != nil {
		return Database{}, err
	}
	db.Warnings = append(db.Warnings, groups.warnings...)

	wants = nil
	for _, u := range decl.Users {
		wants = append(wants, want{name: u.Name, explicit: u.UID, system: u.System})
	}
	present = map[string]int{}
	for _, u := range prev.Users {
		if _, ok := present[u.Name]; !ok {
			present[u.Name] = u.UID
		}
	}
	users, err := allocate("uid", wants, known{present, prev.IDs.Users, prev.IDs.FormerUsers}, top)
	if err != nil {
		return Database{}, err
	}
	db.Warnings = append(db.Warnings, users.warnings...)
	db.IDs = IDs{Users: users.kept, Groups: groups.kept, FormerUsers: users.former, FormerGroups: groups.former}

	for _, g := range decl.Groups {
		db.Groups = append(db.Groups, buildGroup(g, groups.ids[g.Name], decl.Users, prev.Groups))
	}
	for _, u := range decl.Users {
		gid, ok := groups.ids[u.Group]
		if !ok {
			if gid, err = strconv.Atoi(u.Group); err != nil {
				return Database{}, fmt.Errorf("cannot make user %q: its group %q is not declared", u.Name, u.Group)
			}
		}
		for _, name := range u.SupplementaryGroups {
			if _, ok := groups.ids[name]; !ok {
				db.Warnings = append(db.Warnings, fmt.Sprintf("user %q cannot be in group %q, which is not declared", u.Name, name))
			}
		}
		db.Users = append(db.Users, buildUser(u, users.ids[u.Name], gid, prev.Users))
		db.Shadow = append(db.Shadow, buildShadow(u, prev.Shadow, today))
	}
	return db, nil
}

func buildGroup(g spec.Group, gid int, users []spec.User, prev []Group) Group {
	out := Group{Name: g.Name, Password: g.Password, GID: gid}
	if i := slices.IndexFunc(prev, func(p Group) bool { return p.Name == g.Name }); i >= 0 {
		out.Password = prev[i].Password
	}
	if out.Password == "" {
		out.Password = "x"
	}
	for _, u := range users {
		if slices.Contains(u.SupplementaryGroups, g.Name) {
			out.Members = append(out.Members, u.Name)
		}
	}
	return out
}

func buildUser(u spec.User, uid, gid int, prev []User) User {
	out := User{Name: u.Name, UID: uid, GID: gid, Comment: u.Comment, Home: u.Home, Shell: u.Shell}
	if !u.System {
		// The user may have changed it with chfn.
		if i := slices.IndexFunc(prev, func(p User) bool { return p.Name == u.Name }); i >= 0 {
			out.Comment = prev[i].Comment
		}
	}
	return out
}

func buildShadow(u spec.User, prev []Shadow, today int) Shadow {
	if i := slices.IndexFunc(prev, func(p Shadow) bool { return p.Name == u.Name }); i >= 0 {
		return prev[i]
	}
	out := Shadow{Name: u.Name, Password: u.Password}
	if out.Password == "" {
		out.Password = "!"
	}
	// A last change of day 0 would mean that the password must be changed at
	// once.
	out.Rest[0] = strconv.Itoa(max(today, 1))
	return out
}

// validate refuses what would break the line format of the files.
func validate(decl spec.Accounts) error {
	check := func(what, name string, fields ...string) error {
		if name == "" {
			return fmt.Errorf("cannot make a %s without a name", what)
		}
		for _, f := range append(fields, name) {
			if strings.ContainsAny(f, ":\n\r\x00") {
				return fmt.Errorf("cannot make %s %q: %q holds a colon or a control character", what, name, f)
			}
		}
		if strings.ContainsAny(name, ",/# \t") || strings.HasPrefix(name, "-") || strings.HasPrefix(name, "+") {
			return fmt.Errorf("cannot make a %s named %q: choose letters, digits, '.', '_' and '-'", what, name)
		}
		return nil
	}
	for _, u := range decl.Users {
		if err := check("user", u.Name, u.Group, u.Comment, u.Home, u.Shell, u.Password); err != nil {
			return err
		}
	}
	for _, g := range decl.Groups {
		if err := check("group", g.Name, g.Password); err != nil {
			return err
		}
	}
	return nil
}

func sortedKeys(m map[string]int) []string {
	return slices.Sorted(maps.Keys(m))
}
