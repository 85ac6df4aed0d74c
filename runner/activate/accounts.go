// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package activate

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"osbuild/runner/account"
	"osbuild/runner/activate/tree"
	"osbuild/runner/spec"
)

// lockPatience is how long to wait for a program that holds the password
// lock, as lckpwdf(3) does. Tests are less patient.
var lockPatience = 15 * time.Second

// accounts brings the account files to the declaration.
func (r *run) accounts(decl spec.Accounts) []error {
	if err := r.MkdirAll("/etc"); err != nil && !Unable(err) {
		return []error{err}
	}
	unlock, err := r.lock("/etc/.pwd.lock")
	if err != nil {
		return []error{err}
	}
	defer unlock()
	var problems []error
	note := func(errs ...error) {
		for _, err := range errs {
			if err != nil {
				problems = append(problems, err)
			}
		}
	}

	prev, errs := r.previous()
	note(errs...)
	// Ids and homes of regular users end where subordinate ids begin, where
	// that is lower than usual.
	limits := r.subidBounds(decl.Subids)
	db, err := account.Build(decl, prev, limits.Min-1, r.Today)
	if err != nil {
		return append(problems, err)
	}
	for _, w := range db.Warnings {
		r.Message("accounts: " + w)
	}
	// The ids first: once they are on disk no later activation, not even one
	// after a crash right here, gives them to someone else.
	note(r.saveJSON(stateIDs, db.IDs))
	note(r.writeOnce("/etc/group", account.FormatGroup(db.Groups), 0o644, tree.Owner{}))
	note(r.writeOnce("/etc/passwd", account.FormatPasswd(db.Users), 0o644, tree.Owner{}))
	mode, owner := shadowOwner(db.Groups)
	note(r.writeOnce("/etc/shadow", account.FormatShadow(db.Shadow), mode, owner))
	if decl.Subids != nil {
		limits.Accounts = map[int]string{}
		for _, u := range db.Users {
			limits.Accounts[u.UID] = u.Name
		}
		note(r.subids("/etc/subuid", decl.Subids.UIDs, limits))
		limits.Accounts = map[int]string{}
		for _, g := range db.Groups {
			limits.Accounts[g.GID] = g.Name
		}
		note(r.subids("/etc/subgid", decl.Subids.GIDs, limits))
	}
	note(Save(r.Root)...)
	note(r.systemHomes(decl.Users)...)
	return problems
}

// shadowOwner lets the programs of the group shadow, where there is one, read
// the password file, as Debian's do.
func shadowOwner(groups []account.Group) (uint32, tree.Owner) {
	if i := slices.IndexFunc(groups, func(g account.Group) bool { return g.Name == "shadow" }); i >= 0 {
		return 0o640, tree.Owner{GID: groups[i].GID}
	}
	return 0o600, tree.Owner{}
}

// previous reads what the last activation, and users since, left.
func (r *run) previous() (prev account.Previous, problems []error) {
	read := func(name string, parse func([]byte) []error) {
		data, err := r.ReadFile(name)
		if absent(err) {
			return
		}
		if err != nil {
			problems = append(problems, err)
			return
		}
		for _, err := range parse(data) {
			r.Message(fmt.Sprintf("accounts: %s: %v; the line is dropped", name, err))
		}
	}
	read("/etc/passwd", func(data []byte) (errs []error) {
		prev.Users, errs = account.ParsePasswd(data)
		return errs
	})
	read("/etc/group", func(data []byte) (errs []error) {
		prev.Groups, errs = account.ParseGroup(data)
		return errs
	})
	read("/etc/shadow", func(data []byte) (errs []error) {
		prev.Shadow, errs = account.ParseShadow(data)
		return errs
	})
	ids, err := r.loadIDs()
	if err != nil {
		problems = append(problems, err)
	}
	prev.IDs = ids
	return prev, problems
}

// subidBounds fits the declared bounds of subordinate ids into the ids that
// this user namespace really has.
func (r *run) subidBounds(s *spec.Subids) account.SubidOptions {
	o := account.SubidOptions{Min: 100000, Max: 600100000}
	if s != nil {
		o = account.SubidOptions{AddRoot: s.AddRoot, Min: s.Min, Max: s.Max}
	}
	if r.Ids <= 0 {
		o.Shrink = o.Max <= spec.Ids
		return o
	}
	// The two highest ids are nobody and the overflow id.
	top := r.Ids - 2
	switch {
	case o.Max > top:
		// More than there is: the bounds of a container.
		o.Max = top
		if o.Min >= spec.Ids {
			o.Min = account.ContainerSubidMin
		}
		o.Shrink = true
	case o.Max == account.ContainerSubidMax:
		// A container that was given more ids than the usual number.
		o.Max, o.Shrink = top, true
	default:
		o.Shrink = o.Max <= spec.Ids
	}
	return o
}

// subids writes one of the two files of subordinate ids.
func (r *run) subids(name string, declared []spec.SubidRange, o account.SubidOptions) error {
	unlock, err := r.lockFile(name + ".lock")
	if err != nil {
		return err
	}
	defer unlock()
	var onDisk []spec.SubidRange
	data, err := r.ReadFile(name)
	if err == nil {
		var errs []error
		onDisk, errs = account.ParseSubids(data)
		for _, err := range errs {
			r.Message(fmt.Sprintf("accounts: %s: %v; the line is dropped", name, err))
		}
	} else if !absent(err) {
		return err
	}
	if o.Min >= o.Max {
		return fmt.Errorf("cannot place subordinate ids for %s: this container has %d ids and needs more than %d: %w",
			name, r.Ids, account.ContainerSubidMin, tree.ErrOwner)
	}
	placed, warnings, err := account.PlaceSubids(onDisk, declared, o)
	for _, w := range warnings {
		r.Message("accounts: " + w)
	}
	if err != nil {
		return err
	}
	return r.writeOnce(name, account.FormatSubids(placed), 0o644, tree.Owner{})
}

// lock takes the lock of the password files, which is a lock of fcntl(2), and
// returns what releases it.
func (r *run) lock(name string) (func(), error) {
	if r.Kind(name) == 0 {
		if err := r.WriteFile(name, bytes.NewReader(nil), 0o600, tree.Owner{}); err != nil && !errors.Is(err, tree.ErrOwner) {
			return nil, err
		}
	}
	f, err := r.OpenWritable(name)
	if err != nil {
		return nil, fmt.Errorf("cannot lock the account files: %w", err)
	}
	give := time.Now().Add(lockPatience)
	for {
		err := unix.FcntlFlock(f.Fd(), unix.F_SETLK, &unix.Flock_t{Type: unix.F_WRLCK})
		if err == nil {
			return func() { f.Close() }, nil
		}
		if time.Now().After(give) {
			f.Close()
			return nil, fmt.Errorf("cannot lock the account files, another program holds %s: %w", name, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// lockFile takes a lock that is a file, as usermod(8) does for subordinate
// ids. One that is older than any program's patience is a dead one's.
func (r *run) lockFile(name string) (func(), error) {
	give := time.Now().Add(lockPatience)
	for {
		err := r.CreateExclusive(name, 0o600)
		if err == nil {
			return func() { _ = r.Remove(name) }, nil
		}
		if !errors.Is(err, unix.EEXIST) {
			return nil, fmt.Errorf("cannot make the lock %s: %w", name, err)
		}
		if time.Now().After(give) {
			r.Message(fmt.Sprintf("accounts: the lock %s is stale; it is taken over", name))
			if err := r.Remove(name); err != nil {
				return nil, err
			}
			give = time.Now().Add(lockPatience)
			continue
		}
		time.Sleep(50 * time.Millisecond)
	}
}
