// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/pflag"

	"osbuild/builder/debian"
	"osbuild/builder/debian/lock"
	"osbuild/builder/system"
)

func lockVerb() verb {
	return verb{
		name:    "lock",
		args:    "FILE [PACKAGE…]",
		summary: "choose the packages of a declaration and keep the choice in its lock file",
		help: `osbuild lock system.star                     # add what is missing, drop what is not used
osbuild lock --update system.star            # choose everything anew
osbuild lock --update system.star curl       # let curl move, and what it needs
osbuild lock --diff system.star              # what --update would change
osbuild lock --check system.star             # fail unless the lock fits the declaration`,
		setup: func(fs *pflag.FlagSet) runFunc {
			var o lockOptions
			fs.BoolVar(&o.update, "update", false, "take the newest versions of all packages, or of those named")
			fs.BoolVar(&o.check, "check", false, "change nothing, and fail unless the lock is what the declaration needs")
			fs.BoolVar(&o.diff, "diff", false, "change nothing, and print what --update would change")
			return o.run
		},
	}
}

type lockOptions struct {
	update, check, diff bool
}

// lockResult is the result of `lock --json`.
type lockResult struct {
	Lock    string        `json:"lock"`
	Changes []lock.Change `json:"changes"`
}

func (o *lockOptions) run(ctx context.Context, a *app, args []string) error {
	var file string
	var names []string
	for _, arg := range args {
		if strings.HasSuffix(arg, ".star") && file == "" {
			file = arg
		} else {
			names = append(names, arg)
		}
	}
	switch {
	case file == "":
		return usagef("lock: give one FILE.star")
	case len(names) > 0 && !o.update && !o.diff:
		return usagef("lock: %s: name packages behind --update or --diff only", names[0])
	case o.check && (o.update || o.diff):
		return usagef("lock: --check goes with neither --update nor --diff")
	}
	old, err := readLock(file)
	if err != nil && !o.update {
		return err
	}
	e, err := a.evaluateAll(ctx, file, old)
	if err != nil {
		return err
	}
	if o.check {
		return checkLock(file, e, old)
	}
	u := debian.Update{Prune: true}
	if o.update || o.diff {
		u.All, u.Names = len(names) == 0, names
	}
	for _, name := range names {
		if _, ok := old.Package(name); !ok {
			return fmt.Errorf("cannot update package %q: %s has none of that name", name, debian.LockFile(file))
		}
	}
	next, err := a.newLock(ctx, file, e, u)
	if err != nil {
		return err
	}
	return o.finish(a, file, old, next)
}

// newLock chooses packages until the choice serves the declaration: which
// names a system uses may hang on what is locked.
func (a *app) newLock(ctx context.Context, file string, e *evaluation, u debian.Update) (*lock.Lock, error) {
	const most = 5
	for range most {
		next, err := a.relock(ctx, e, u)
		if err != nil {
			return nil, err
		}
		if e, err = a.evaluateAll(ctx, file, next); err != nil || !e.packages.Stale() {
			return next, err
		}
		u = debian.Update{}
	}
	return nil, fmt.Errorf("cannot lock the packages of %s: each choice of packages makes it ask for others", file)
}

// evaluateAll lowers all systems that a file defines, so that every package
// that one of them uses is known.
func (a *app) evaluateAll(ctx context.Context, file string, l *lock.Lock) (*evaluation, error) {
	e, err := a.evaluateWith(ctx, file, l)
	if err != nil {
		return nil, err
	}
	for _, name := range e.program.Names() {
		value, err := e.program.Value(name)
		if err != nil {
			continue // a function or the like: no system
		}
		os, ok := value.(*system.OperatingSystem)
		if !ok {
			continue
		}
		if _, err := system.Lower(e.env, os); err != nil {
			return nil, err
		}
		if _, err := e.containerSystem(os, system.ContainerOptions{}); err != nil {
			return nil, err
		}
	}
	return e, nil
}

// errLockStale ends `lock --check` where the lock does not fit.
var errLockStale = errors.New("the lock is not what the declaration needs")

func checkLock(file string, e *evaluation, old *lock.Lock) error {
	if old == nil {
		old = &lock.Lock{}
	}
	var wrong []string
	if missing := e.packages.Missing(); len(missing) > 0 {
		wrong = append(wrong, "it lacks "+strings.Join(missing, ", "))
	}
	if extra := old.Extra(e.packages.Names()); len(extra) > 0 {
		wrong = append(wrong, "nothing uses "+strings.Join(extra, ", "))
	}
	if len(e.packages.Names()) > 0 && !old.Fits(e.packages.Policy()) {
		wrong = append(wrong, "it was made for another package_source")
	}
	if len(wrong) == 0 {
		return nil
	}
	return fmt.Errorf("cannot use %s as it is: %w: %s; run `osbuild lock %s`", debian.LockFile(file), errLockStale, strings.Join(wrong, "; "), file)
}

// finish writes a lock, unless it is only to be looked at, and prints how it
// differs from the one before.
func (o *lockOptions) finish(a *app, file string, old, next *lock.Lock) error {
	if !o.diff {
		if err := next.Write(debian.LockFile(file)); err != nil {
			return err
		}
		a.saidChanges(file, old, next)
	}
	if old == nil {
		old = &lock.Lock{}
	}
	changes := lock.Diff(old, next)
	if a.json {
		return a.printJSON(lockResult{Lock: debian.LockFile(file), Changes: changes})
	}
	for _, c := range changes {
		fmt.Fprintln(a.stdout, c)
	}
	return nil
}
