// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package services

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"osbuild/builder/derivation"
)

// UserAccount declares a user.
type UserAccount struct {
	Pos                 derivation.Position `star:"-"`
	Name                string              `star:"name,required" doc:"The login name."`
	Group               string              `star:"group,required" doc:"The primary group: a declared group's name, or a group id in decimal."`
	SupplementaryGroups []string            `star:"supplementary_groups" doc:"Further groups, each of which must be declared."`
	UID                 *int                `star:"uid" doc:"The user id. Without one it is chosen at activation, kept, and never given to another name."`
	Comment             string              `star:"comment" doc:"The full name."`
	Home                string              `star:"home" doc:"The home folder; /home/NAME by default, /var/empty for a system account."`
	CreateHome          bool                `star:"create_home" doc:"Whether the home is made when it is missing."`
	Shell               string              `star:"shell" doc:"The login shell, a path or file; /bin/sh by default, /usr/sbin/nologin for a system account."`
	System              bool                `star:"system" doc:"Whether this is an account of a service, with an id below 1000."`
	Password            string              `star:"password" doc:"A crypt(3) hash that is used when the account is first made; empty locks the password. It stands in the store for everybody to read."`
}

// Validate checks each field by itself; [Account] checks them together.
func (u *UserAccount) Validate() error {
	if err := accountName("name", u.Name); err != nil {
		return err
	}
	if u.Group == "" {
		return errors.New("field group: a primary group is needed, e.g. \"users\"")
	}
	if err := groupReference("group", u.Group); err != nil {
		return err
	}
	for _, g := range u.SupplementaryGroups {
		if err := groupReference("supplementary_groups", g); err != nil {
			return err
		}
	}
	if err := idInRange("uid", u.UID); err != nil {
		return err
	}
	if u.Home != "" {
		if err := cleanAbsolute("home", u.Home); err != nil {
			return err
		}
	}
	if u.Shell != "" && !strings.HasPrefix(u.Shell, "/") {
		return fmt.Errorf("field shell: %q is not an absolute path", u.Shell)
	}
	for _, f := range []struct{ field, value string }{
		{"comment", u.Comment},
		{"home", u.Home},
		{"shell", u.Shell},
	} {
		if err := passwdText(f.field, f.value); err != nil {
			return err
		}
	}
	return hash("password", u.Password)
}

// UserGroup declares a group.
type UserGroup struct {
	Pos      derivation.Position `star:"-"`
	Name     string              `star:"name,required" doc:"The name of the group."`
	ID       *int                `star:"id" doc:"The group id. Without one it is chosen at activation, kept, and never given to another name."`
	System   bool                `star:"system" doc:"Whether this is a group of a service, with an id below 1000."`
	Password string              `star:"password" doc:"A crypt(3) hash for newgrp; empty: none."`
}

// Validate checks each field by itself.
func (g *UserGroup) Validate() error {
	if err := accountName("name", g.Name); err != nil {
		return err
	}
	if err := idInRange("id", g.ID); err != nil {
		return err
	}
	return hash("password", g.Password)
}

// SkeletonFile is a file that every new home of a regular user gets.
type SkeletonFile struct {
	Pos  derivation.Position `star:"-"`
	Name string              `star:"name,required" doc:"The path in the home, e.g. \".profile\"."`
	File string              `star:"file,required" doc:"The file to copy."`
}

// Validate checks each field by itself.
func (s *SkeletonFile) Validate() error {
	if err := relativeName("name", s.Name); err != nil {
		return err
	}
	return fileLike("file", s.File)
}

// maxID is the highest id a 16-bit view of a container has.
const maxID = 65535

func idInRange(field string, id *int) error {
	if id != nil && (*id < 0 || *id > maxID) {
		return fmt.Errorf("field %s: %d is not between 0 and %d, the ids of a container", field, *id, maxID)
	}
	return nil
}

// accountName refuses what would break /etc/passwd, a shell or a tool: it
// admits letters, digits, "_", "-", "." and a "$" at the end.
func accountName(field, name string) error {
	if name == "" {
		return fmt.Errorf("field %s: a name is needed", field)
	}
	if len(name) > 32 {
		return fmt.Errorf("field %s: %q is longer than 32 bytes", field, name)
	}
	for i, r := range name {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '_'
		digit := r >= '0' && r <= '9'
		switch {
		case letter, digit:
		case (r == '-' || r == '.') && i > 0:
		case r == '$' && i == len(name)-1 && i > 0:
		default:
			return fmt.Errorf("field %s: %q is not a name: %q is not allowed there (letters, digits, \"_\", \"-\" and \".\" are)", field, name, r)
		}
	}
	if _, err := strconv.Atoi(name); err == nil {
		return fmt.Errorf("field %s: %q is a number, which would be taken for an id", field, name)
	}
	return nil
}

// groupReference is a group's name or its id.
func groupReference(field, name string) error {
	if id, err := strconv.Atoi(name); err == nil {
		if id < 0 || id > maxID {
			return fmt.Errorf("field %s: %d is not between 0 and %d, the ids of a container", field, id, maxID)
		}
		return nil
	}
	return accountName(field, name)
}

// hash refuses what is no hash of crypt(5): a password itself, say, with which
// nobody could log in and that everybody could read. "!" and "*" lock one.
func hash(field, s string) error {
	const des = 13 // the length of the oldest kind, which has no sign in front
	if s == "" || strings.ContainsRune("$!*_", rune(s[0])) || len(s) == des {
		return passwdText(field, s)
	}
	return fmt.Errorf("field %s: want a crypt(3) hash, such as `openssl passwd -6` prints, got a text that is none", field)
}

// passwdText refuses what would end a field or a line of /etc/passwd.
func passwdText(field, s string) error {
	if i := strings.IndexAny(s, ":\n\r\x00"); i >= 0 {
		return fmt.Errorf("field %s: %q holds %q, which separates fields of the account files", field, s, s[i])
	}
	return nil
}

func accountRecords() []Record {
	return []Record{
		{Name: "user_account", Proto: &UserAccount{CreateHome: true}, Doc: "A user of the system."},
		{Name: "user_group", Proto: &UserGroup{}, Doc: "A group of users."},
		{Name: "skeleton_file", Proto: &SkeletonFile{}, Doc: "A file that new homes of regular users get."},
		{Name: "subid_range", Proto: &SubidRange{Count: defaultSubids}, Doc: "A range of subordinate user or group ids for one user."},
		{Name: "subids_configuration", Proto: &SubidsConfiguration{AddRoot: true}, Doc: "The subordinate ids of a system."},
		{Name: "subids_extension", Proto: &SubidsExtension{}, Doc: "Further subordinate ids, contributed to subids."},
	}
}
