// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package activate

import (
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"osbuild/runner/account"
	"osbuild/runner/activate/tree"
	"osbuild/runner/spec"
)

// Homes makes the homes of regular users that have none. skeleton is a folder
// whose content each new home starts with, "" for none; it need not exist.
//
// A home grows under another name, as root's, and gets its owner last: nobody
// can put a link into it while it is being filled, and a half filled one is
// never taken for a home.
func Homes(root *tree.Root, users []spec.User, skeleton string) []error {
	var problems []error
	accounts := names(root)
	for _, u := range users {
		if u.System || !u.CreateHome || root.Kind(u.Home) != 0 {
			continue
		}
		if err := home(root, u, skeleton, accounts); err != nil {
			problems = append(problems, fmt.Errorf("cannot make the home of %s: %w", u.Name, err))
		}
	}
	return problems
}

func home(root *tree.Root, u spec.User, skeleton string, accounts account.Names) error {
	uid, gid, err := accounts.User(u.Name)
	if err != nil {
		return err
	}
	owner := tree.Owner{UID: uid, GID: gid}
	if err := root.MkdirAll(path.Dir(u.Home)); err != nil && !errors.Is(err, tree.ErrOwner) {
		return err
	}
	growing := path.Join(path.Dir(u.Home), ".osbuild-new-"+path.Base(u.Home))
	if problems := root.RemoveAll(growing); problems != nil {
		return errors.Join(problems...)
	}
	if err := root.Mkdir(growing, 0o700, tree.Owner{}); err != nil && !errors.Is(err, tree.ErrOwner) {
		return err
	}
	var ownerErr error
	if skeleton != "" && root.IsDir(skeleton) {
		if err := fill(root, skeleton, growing, owner); errors.Is(err, tree.ErrOwner) {
			ownerErr = err
		} else if err != nil {
			return err
		}
	}
	if err := root.SetDir(growing, 0o700, owner); errors.Is(err, tree.ErrOwner) {
		ownerErr = err
	} else if err != nil {
		return err
	}
	if err := root.Rename(growing, u.Home); err != nil {
		return err
	}
	return ownerErr
}

// fill copies the content of the folder from into the folder to. The copies
// belong to owner and can be written. Links into the store become what they
// point to, for the store's content is not the user's to edit.
func fill(root *tree.Root, from, to string, owner tree.Owner) error {
	names, err := root.ReadDir(from)
	if err != nil {
		return err
	}
	var ownerErr error
	for _, base := range names {
		err := copyEntry(root, path.Join(from, base), path.Join(to, base), owner)
		if errors.Is(err, tree.ErrOwner) {
			ownerErr = err
		} else if err != nil {
			return err
		}
	}
	return ownerErr
}

func copyEntry(root *tree.Root, from, to string, owner tree.Owner) error {
	st, err := root.Lstat(from)
	if err != nil {
		return fmt.Errorf("cannot copy %s: %w", from, err)
	}
	if st.Mode&unix.S_IFMT == unix.S_IFLNK {
		target, err := root.Readlink(from)
		if err != nil {
			return err
		}
		if !strings.HasPrefix(target, spec.StoreDir+"/") {
			return root.Symlink(to, target)
		}
		if root.IsDir(from) {
			st.Mode = unix.S_IFDIR
		}
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		if err := root.Mkdir(to, 0o755, tree.Owner{}); err != nil && !errors.Is(err, tree.ErrOwner) {
			return err
		}
		filled := fill(root, from, to, owner)
		if filled != nil && !errors.Is(filled, tree.ErrOwner) {
			return filled
		}
		return errors.Join(filled, root.SetDir(to, 0o755, owner))
	}
	f, err := root.OpenFile(from)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return nil
	}
	return root.WriteFile(to, io.Reader(f), uint32(info.Mode().Perm())|0o600, owner)
}

// sharedHome is what a home is that several system accounts have, such as
// /var/empty: nobody may put anything there.
const sharedHome = 0o555

// systemHomes makes the homes of system accounts, at every activation.
func (r *run) systemHomes(users []spec.User) []error {
	count := map[string]int{}
	for _, u := range users {
		if u.System && u.CreateHome {
			count[path.Clean(u.Home)]++
		}
	}
	accounts := names(r.Root)
	var problems []error
	for _, u := range users {
		if !u.System || !u.CreateHome {
			continue
		}
		uid, gid, err := accounts.User(u.Name)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		mode, owner := uint32(0o700), tree.Owner{UID: uid, GID: gid}
		if count[path.Clean(u.Home)] > 1 {
			mode, owner = sharedHome, tree.Owner{}
		}
		if err := r.MkdirAll(u.Home); err != nil && !Unable(err) {
			problems = append(problems, err)
			continue
		}
		if err := r.SetDir(u.Home, mode, owner); err != nil {
			problems = append(problems, err)
		}
	}
	return problems
}
