// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package activate

import (
	"path"
	"slices"
	"strconv"

	"osbuild/runner/spec"
)

// Join makes one plan of what the packages of a system want done and of the
// system's own plan. What is declared wins: an account over a package's of the
// same name or id, a privileged program over one that is called the same. The
// files of packages follow the steps that make the system's /etc, so that they come where no declared
// name stands, a vanished one included; all else of packages precedes the
// system's steps of the same phase.
func Join(packages, system spec.ActivationPlan) spec.ActivationPlan {
	var first, trees, rest []spec.Step
	var accounts, privileged *spec.Step
	// The steps of which there is one are the system's where it has them.
	for _, s := range slices.Concat(system.Steps, packages.Steps) {
		switch {
		case s.Accounts != nil && accounts == nil:
			accounts = &s
		case s.Accounts != nil:
			joined := *accounts
			joined.Accounts = joinAccounts(*s.Accounts, *accounts.Accounts)
			accounts = &joined
		case s.Privileged != nil && privileged == nil:
			privileged = &s
		case s.Privileged != nil:
			joined := *privileged
			joined.Privileged = joinPrivileged(s.Privileged, privileged.Privileged)
			privileged = &joined
		}
	}
	single := func(s spec.Step) bool { return s.Accounts != nil || s.Privileged != nil }
	for _, s := range packages.Steps {
		switch {
		case single(s):
		case s.Tree != nil:
			trees = append(trees, s)
		default:
			first = append(first, s)
		}
	}
	afterEtc := -1
	for _, s := range system.Steps {
		if single(s) {
			continue
		}
		rest = append(rest, s)
		if s.Etc != nil || s.Limits != nil {
			afterEtc = len(rest)
		}
	}
	if afterEtc < 0 {
		afterEtc = 0
	}
	rest = slices.Insert(rest, afterEtc, trees...)
	if accounts != nil {
		first = append(first, *accounts)
	}
	if privileged != nil {
		first = append(first, *privileged)
	}
	return spec.ActivationPlan{Version: system.Version, Steps: append(first, rest...)}
}

// joinAccounts adds the accounts of packages to those that are declared. An id
// that clashes is dropped; its account gets another at activation.
func joinAccounts(packages, declared spec.Accounts) *spec.Accounts {
	out := spec.Accounts{Users: slices.Clone(declared.Users), Groups: slices.Clone(declared.Groups), Subids: declared.Subids}
	if out.Subids == nil {
		out.Subids = packages.Subids
	}
	lost := map[string]string{} // the name of the group that lost an id
	for _, g := range packages.Groups {
		if slices.ContainsFunc(out.Groups, func(o spec.Group) bool { return o.Name == g.Name }) {
			continue
		}
		if taken(g.GID, out.Groups, func(o spec.Group) *int { return o.GID }) {
			lost[strconv.Itoa(*g.GID)] = g.Name
			g.GID = nil
		}
		out.Groups = append(out.Groups, g)
	}
	for _, u := range packages.Users {
		if slices.ContainsFunc(out.Users, func(o spec.User) bool { return o.Name == u.Name }) {
			continue
		}
		if taken(u.UID, out.Users, func(o spec.User) *int { return o.UID }) {
			u.UID = nil
		}
		if name, ok := lost[u.Group]; ok {
			u.Group = name
		}
		out.Users = append(out.Users, u)
	}
	return &out
}

// taken says whether one of the accounts has the id.
func taken[T any](id *int, accounts []T, of func(T) *int) bool {
	return id != nil && slices.ContainsFunc(accounts, func(a T) bool {
		other := of(a)
		return other != nil && *other == *id
	})
}

// joinPrivileged adds the programs of packages whose names are free.
func joinPrivileged(packages, declared []spec.Privileged) []spec.Privileged {
	out := slices.Clone(declared)
	for _, p := range packages {
		called := func(o spec.Privileged) bool { return path.Base(o.Program) == path.Base(p.Program) }
		if !slices.ContainsFunc(out, called) {
			out = append(out, p)
		}
	}
	return out
}
