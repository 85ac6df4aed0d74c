// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package services

import (
	"errors"
	"fmt"
	"strconv"

	"osbuild/builder/derivation"
	"osbuild/builder/service"
	"osbuild/runner/spec"
)

// ErrUndeclaredOwner is the error for a user or group that a service names
// and that no account declares.
var ErrUndeclaredOwner = errors.New("the account is not declared")

// declared knows the declared accounts.
type declared struct {
	users, groups map[string]bool
	// userNames and groupNames are the same in declaration order.
	userNames, groupNames []string
}

// CheckOwners finds users and groups that services, folders, programs and
// steps name, and that are not declared: at run time they would only fail.
func CheckOwners(accounts *Accounts, list []*ShepherdService, activation any) error {
	o := declared{users: map[string]bool{}, groups: map[string]bool{}}
	for _, u := range accounts.Users {
		o.users[u.Name] = true
		o.userNames = append(o.userNames, u.Name)
	}
	for _, g := range accounts.Groups {
		o.groups[g.Name] = true
		o.groupNames = append(o.groupNames, g.Name)
	}
	for _, s := range list {
		what := fmt.Sprintf("cannot start service %q", s.name())
		lowered := s.lower()
		processes := append([]spec.Process(nil), lowered.Start.Run...)
		for _, p := range []*spec.Process{lowered.Start.Exec, lowered.Stop.Process} {
			if p != nil {
				processes = append(processes, *p)
			}
		}
		for _, p := range processes {
			if err := o.process(s.Pos, what, p); err != nil {
				return err
			}
		}
	}
	steps, err := listOf[any](activation)
	if err != nil {
		return err
	}
	for _, v := range steps {
		if err := o.step(v); err != nil {
			return err
		}
	}
	return nil
}

func (o *declared) step(v any) error {
	switch v := v.(type) {
	case *Directory:
		return o.pair(v.Pos, "cannot make "+v.Path, v.User, v.Group)
	case *ActivationStep:
		step := v.lower()
		for _, p := range step.Privileged {
			if err := o.pair(v.Pos, "cannot give privileges to "+p.Program, p.User, p.Group); err != nil {
				return err
			}
		}
		if step.Cleanup != nil {
			for _, d := range step.Cleanup.Empty {
				if err := o.pair(v.Pos, "cannot make "+d.Path, d.User, d.Group); err != nil {
					return err
				}
			}
		}
		if step.Run != nil {
			return o.process(v.Pos, fmt.Sprintf("cannot run activation step %q", v.Name), *step.Run)
		}
	}
	return nil
}

func (o *declared) process(pos derivation.Position, what string, p spec.Process) error {
	if err := o.pair(pos, what, p.User, p.Group); err != nil {
		return err
	}
	for _, g := range p.SupplementaryGroups {
		if err := o.pair(pos, what, "", g); err != nil {
			return err
		}
	}
	return nil
}

// pair checks a user and a group, each a name, an id, or empty.
func (o *declared) pair(pos derivation.Position, what, user, group string) error {
	if user != "" && !o.users[user] && !isID(user) {
		return service.Errorf(ErrUndeclaredOwner, pos, "%s: the user %q is not declared%s", what, user, o.hint("user_account", user, o.userNames))
	}
	if group != "" && !o.groups[group] && !isID(group) {
		return service.Errorf(ErrUndeclaredOwner, pos, "%s: the group %q is not declared%s", what, group, o.hint("user_group", group, o.groupNames))
	}
	return nil
}

// hint says what to do about a name that is not declared. An account that a
// package's scripts would make is known when its system is built, not before.
func (o *declared) hint(constructor, name string, names []string) string {
	if near := service.Meant(name, names); near != "" {
		return near
	}
	return fmt.Sprintf("; extend account by %s(%q, ...), also where a package would make it", constructor, name)
}

func isID(s string) bool {
	n, err := strconv.Atoi(s)
	return err == nil && n >= 0
}
