// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package services

import (
	"fmt"
	"strconv"
	"strings"

	"osbuild/builder/derivation"
	"osbuild/builder/service"
	"osbuild/runner/spec"
)

// Accounts is the value of the account service.
type Accounts struct {
	Users  []*UserAccount
	Groups []*UserGroup
	// Container says that the system has only the ids of a container.
	Container bool

	subids *SubidsConfiguration
}

// Account collects users and groups. Root is added unless a user with the id
// 0 is declared; its password is then locked.
var Account = &service.Type{
	Name:            "account",
	Description:     "Users and groups.",
	Elements:        elements(&UserAccount{}, &UserGroup{}, &SubidsConfiguration{}),
	Check:           checkAccounts,
	Extend:          extendAccounts,
	Default:         &Accounts{Groups: BaseGroups()},
	HasDefault:      true,
	ValueDoc:        "list of user_account and user_group",
	ContributionDoc: "user_account and user_group",
	ProducesDoc:     "an activation step of the phase accounts; the homes of regular users; /etc/shells",
	Extensions: []service.Extension{
		{Target: Activation, Compute: typed(accountsStep)},
		{Target: Etc, Compute: typed(shellsEntry)},
		{Target: UserHomes, Compute: func(*service.Env, any) ([]any, error) { return nil, nil }},
	},
}

const (
	noLogin   = "/usr/sbin/nologin"
	plainSh   = "/bin/sh"
	emptyHome = "/var/empty"
)

func checkAccounts(v any) (any, error) {
	if a, ok := v.(*Accounts); ok {
		return a, nil
	}
	list, err := listOf[any](v)
	if err != nil {
		return nil, err
	}
	return (&Accounts{Groups: BaseGroups()}).with(list)
}

func extendAccounts(_ *service.Env, value, contributions any) (any, error) {
	own, ok := value.(*Accounts)
	if !ok {
		return nil, fmt.Errorf("the value is %s, not users and groups", service.Describe(value))
	}
	list, err := listOf[any](contributions)
	if err != nil {
		return nil, err
	}
	all, err := own.with(list)
	if err != nil {
		return nil, err
	}
	all.addRoot()
	return all, all.check()
}

// with is a copy that has more users and groups. One and the same record may
// come from several services.
func (a *Accounts) with(list []any) (*Accounts, error) {
	all := &Accounts{Container: a.Container, subids: a.subids}
	seen := map[any]bool{}
	add := func(v any) error {
		if seen[v] {
			return nil
		}
		seen[v] = true
		switch v := v.(type) {
		case *UserAccount:
			all.Users = append(all.Users, v)
		case *UserGroup:
			all.Groups = append(all.Groups, v)
		case *SubidsConfiguration:
			all.subids = v
		default:
			return fmt.Errorf("%s is not a user_account or user_group", service.Describe(v))
		}
		return nil
	}
	for _, u := range a.Users {
		_ = add(u)
	}
	for _, g := range a.Groups {
		_ = add(g)
	}
	for _, v := range list {
		switch v.(type) {
		case *UserAccount, *UserGroup, *SubidsConfiguration:
		default:
			return nil, fmt.Errorf("%s is not a user_account or user_group", service.Describe(v))
		}
		if err := add(v); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func (a *Accounts) addRoot() {
	for _, u := range a.Users {
		if u.UID != nil && *u.UID == 0 {
			return
		}
	}
	zero := 0
	root := &UserAccount{Name: "root", UID: &zero, Group: "root", Comment: "System administrator", Home: "/root", CreateHome: true, Shell: plainSh}
	a.Users = append([]*UserAccount{root}, a.Users...)
}

// check finds contradictions between accounts.
func (a *Accounts) check() error {
	names, ids := map[string]*UserGroup{}, map[int]*UserGroup{}
	var known []string
	for _, g := range a.Groups {
		if first, twice := names[g.Name]; twice {
			return service.At(g.Pos, fmt.Errorf("cannot declare group %q twice%s", g.Name, madeAt(first.Pos)))
		}
		names[g.Name] = g
		known = append(known, g.Name)
		if g.ID == nil {
			continue
		}
		if first, twice := ids[*g.ID]; twice {
			return service.At(g.Pos, fmt.Errorf("cannot give group %q the id %d: group %q has it%s", g.Name, *g.ID, first.Name, madeAt(first.Pos)))
		}
		ids[*g.ID] = g
	}
	users, uids := map[string]*UserAccount{}, map[int]*UserAccount{}
	for _, u := range a.Users {
		if first, twice := users[u.Name]; twice {
			return service.At(u.Pos, fmt.Errorf("cannot declare user %q twice%s", u.Name, madeAt(first.Pos)))
		}
		users[u.Name] = u
		if u.UID != nil {
			if first, twice := uids[*u.UID]; twice {
				return service.At(u.Pos, fmt.Errorf("cannot give user %q the id %d: user %q has it%s", u.Name, *u.UID, first.Name, madeAt(first.Pos)))
			}
			uids[*u.UID] = u
		}
		if _, err := strconv.Atoi(u.Group); err != nil && names[u.Group] == nil {
			return service.At(u.Pos, fmt.Errorf("cannot declare user %q: its primary group %q is not declared%s", u.Name, u.Group, service.Meant(u.Group, known)))
		}
		for _, g := range u.SupplementaryGroups {
			if _, err := strconv.Atoi(g); err != nil && names[g] == nil {
				return service.At(u.Pos, fmt.Errorf("cannot declare user %q: its supplementary group %q is not declared%s", u.Name, g, service.Meant(g, known)))
			}
		}
	}
	return a.checkSubids(users)
}

// lower makes the activation plan's form of the accounts.
func (a *Accounts) lower() *spec.Accounts {
	out := &spec.Accounts{Users: []spec.User{}, Groups: []spec.Group{}}
	for _, u := range a.Users {
		out.Users = append(out.Users, u.lower())
	}
	for _, g := range a.Groups {
		out.Groups = append(out.Groups, spec.Group{Name: g.Name, GID: g.ID, System: g.System, Password: g.Password})
	}
	if a.subids != nil {
		out.Subids = a.subids.lower(a.Container)
	}
	return out
}

func (u *UserAccount) lower() spec.User {
	out := spec.User{
		Name: u.Name, UID: u.UID, Group: u.Group, SupplementaryGroups: u.SupplementaryGroups, Comment: u.Comment,
		Home: u.Home, CreateHome: u.CreateHome, Shell: u.Shell, System: u.System, Password: u.Password,
	}
	if out.Home == "" {
		out.Home = "/home/" + u.Name
		if u.System {
			out.Home, out.CreateHome = emptyHome, false
		}
	}
	if out.Shell == "" {
		out.Shell = plainSh
		if u.System {
			out.Shell = noLogin
		}
	}
	return out
}

func accountsStep(_ *service.Env, a *Accounts) ([]any, error) {
	return many([]any{
		&ActivationStep{Step: &spec.Step{Phase: spec.PhaseAccounts, Name: "accounts", Accounts: a.lower()}},
		&Directory{Path: emptyHome, Mode: 0o555},
	})
}

// shellsEntry lists the shells that users may have in /etc/shells: the usual
// ones by both their names, whether or not they are there, and those of users.
func shellsEntry(env *service.Env, a *Accounts) ([]any, error) {
	var b strings.Builder
	seen := map[string]bool{noLogin: true}
	add := func(shell string) {
		if !seen[shell] {
			seen[shell] = true
			b.WriteString(shell + "\n")
		}
	}
	for _, shell := range []string{plainSh, "/usr/bin/sh", "/bin/bash", "/usr/bin/bash"} {
		add(shell)
	}
	for _, u := range a.Users {
		add(u.lower().Shell)
	}
	file, err := env.Graph.Text("shells", b.String(), false, derivation.Position{})
	if err != nil {
		return nil, err
	}
	return one(&EtcEntry{Name: "shells", File: file})
}
