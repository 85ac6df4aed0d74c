// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package activate

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"osbuild/runner/account"
	"osbuild/runner/activate/tree"
	"osbuild/runner/spec"
)

// treeCopy is one pass over one tree.
type treeCopy struct {
	*run
	owners      map[string]spec.Owner
	names       account.Names
	before, now copied
	problems    []error
	made        bool // something came into being
}

// errStop ends a pass in which every further step would fail alike.
var errStop = errors.New("the rest fails for the same reason")

// tree copies a tree of the packages, each file where nothing stands yet. A
// copy that nobody has changed follows the packages from then on.
func (r *run) tree(t spec.Tree) []error {
	to := path.Clean(t.To)
	c := &treeCopy{
		run: r, owners: map[string]spec.Owner{}, names: names(r.Root),
		before: r.trees.before[to], now: copied{From: t.From, owned: newOwned()},
	}
	for _, o := range t.Owners {
		c.owners[path.Clean(o.Path)] = o
	}
	from, err := r.OpenDir(t.From)
	if err != nil {
		return []error{fmt.Errorf("cannot copy the packages' files to %s: %w", to, err)}
	}
	defer from.Close()
	if !r.IsDir(to) {
		c.made = true
		if err := r.MkdirAll(to); err != nil {
			return []error{err}
		}
	}
	dir, err := r.OpenDir(to)
	if err != nil {
		return []error{fmt.Errorf("cannot copy the packages' files: %w", err)}
	}
	defer dir.Close()
	if at, err := dir.Lstat("."); err == nil {
		c.folderOwner(dir, ".", to, at)
	}
	if err := c.folder(from, dir, false); err != nil && !errors.Is(err, errStop) {
		c.problem(err)
	}
	if c.made {
		if err := dir.Flush(); err != nil {
			c.problem(err)
		}
	}
	r.trees.now[to] = c.now
	return c.problems
}

func (c *treeCopy) problem(err error) { c.problems = append(c.problems, err) }

// note records a problem and says whether the pass is over.
func (c *treeCopy) note(err error) error {
	if err == nil {
		return nil
	}
	c.problem(err)
	if errors.Is(err, unix.EROFS) || errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return errStop
	}
	return nil
}

// folder copies the content of a folder. One that was made just now is empty.
func (c *treeCopy) folder(from, to *tree.Dir, fresh bool) error {
	entries, err := from.Entries()
	if err != nil {
		return fmt.Errorf("cannot read the packages' files: %w", err)
	}
	for _, e := range entries {
		var at tree.Info
		absent := fresh
		if !fresh {
			at, err = to.Lstat(e.Name())
			absent = errors.Is(err, fs.ErrNotExist)
			if err != nil && !absent {
				c.problem(err)
				continue
			}
		}
		if at.Mounted {
			continue // an engine's or the user's
		}
		switch {
		case e.IsDir():
			err = c.subfolder(e.Name(), from, to, at, absent)
		case e.Type()&fs.ModeSymlink != 0:
			err = c.note(c.link(e.Name(), from, to, at, absent))
		case e.Type().IsRegular():
			err = c.note(c.file(e, from, to, at, absent))
		}
		if errors.Is(err, errStop) {
			return err
		}
		if err != nil {
			c.problem(err)
		}
	}
	return nil
}

// subfolder makes a folder and copies its content. A link to a folder that
// stands there is not followed.
func (c *treeCopy) subfolder(base string, from, to *tree.Dir, at tree.Info, absent bool) error {
	target := to.Path(base)
	switch {
	case absent:
		mode, owner := c.owner(target, 0o755, tree.Owner{})
		if err := to.Mkdir(base, mode, owner); err != nil {
			if stop := c.note(err); stop != nil || !errors.Is(err, tree.ErrOwner) {
				return stop
			}
		}
		c.made = true
		c.now.Dirs = append(c.now.Dirs, target)
	case at.Kind() == unix.S_IFDIR:
		c.folderOwner(to, base, target, at)
		if slices.Contains(c.before.Dirs, target) {
			c.now.Dirs = append(c.now.Dirs, target)
		}
	default:
		return nil
	}
	below, err := from.Sub(base)
	if err != nil {
		return fmt.Errorf("cannot read the packages' files: %w", err)
	}
	defer below.Close()
	into, err := to.Sub(base)
	if err != nil {
		return fmt.Errorf("cannot copy the packages' files: %w", err)
	}
	defer into.Close()
	return c.folder(below, into, absent)
}

// folderOwner gives a folder that stands there, and that nobody has given to
// anyone, its owner.
func (c *treeCopy) folderOwner(dir *tree.Dir, base, name string, at tree.Info) {
	if _, ok := c.owners[name]; !ok || at.Mode&0o7777 != 0o755 || at.UID != os.Geteuid() || at.GID != os.Getegid() {
		return
	}
	mode, owner := c.owner(name, 0o755, tree.Owner{})
	if err := dir.SetDir(base, mode, owner); err != nil {
		c.problem(err)
	}
}

// owner is who a path belongs to, and its mode.
func (c *treeCopy) owner(name string, mode uint32, own tree.Owner) (uint32, tree.Owner) {
	o, ok := c.owners[name]
	if !ok {
		return mode, own
	}
	uid, _, err := c.names.User(o.User)
	var gid int
	if err == nil {
		gid, err = c.names.Group(o.Group)
	}
	if err != nil {
		c.problem(fmt.Errorf("cannot give %s to its owner: %w", name, err))
		// Nobody may get the rights that were meant for somebody else.
		return o.Mode &^ (unix.S_ISUID | unix.S_ISGID), tree.Owner{}
	}
	return o.Mode, tree.Owner{UID: uid, GID: gid}
}

// removedHere says that somebody removed a copy in a system that runs: it
// stays away until the next boot.
func (c *treeCopy) removedHere(target string) bool { return !c.Boot && c.before.has(target) }

// file copies a regular file.
func (c *treeCopy) file(e fs.DirEntry, from, to *tree.Dir, at tree.Info, absent bool) error {
	base := e.Name()
	target := to.Path(base)
	old, known := c.before.Files[target]
	if !absent && (!known || c.trees.declared.has(target) || at.Kind() != unix.S_IFREG) {
		return nil
	}
	if known && (c.before.From == c.now.From && !absent || absent && c.removedHere(target)) {
		c.now.Files[target] = old
		return nil
	}
	plain, own := uint32(0o644), tree.Owner{}
	if !absent {
		switch same, err := c.unchanged(from, to, base, old); {
		case err != nil:
			return err
		case !same:
			c.now.Files[target] = old
			return nil
		}
		// As with other tools, the owner and mode that the old copy has got stay.
		plain, own = at.Mode&0o7777, tree.Owner{UID: at.UID, GID: at.GID}
	}
	source, err := from.Source(base)
	if err != nil {
		return err
	}
	defer source.Close()
	if absent && source.Executable {
		plain = 0o755
	}
	mode, owner := c.owner(target, plain, own)
	digest, err := to.Copy(base, source, mode, owner, !absent, c.buffer())
	if errors.Is(err, unix.EEXIST) {
		return nil // it came into being just now
	}
	if err == nil || errors.Is(err, tree.ErrOwner) {
		c.made = true
		c.now.Files[target] = digest
	}
	return err
}

// unchanged says whether a copy is still what was copied once, while the
// packages bring another file now.
func (c *treeCopy) unchanged(from, to *tree.Dir, base, old string) (bool, error) {
	latest, err := from.Digest(base, c.buffer())
	if err != nil || latest == old {
		return false, err
	}
	here, err := to.Digest(base, c.buffer())
	if err == nil && here != old && strings.HasPrefix(to.Path(base), "/etc/") {
		c.Message(fmt.Sprintf("trees: %s was changed here and stays; the packages' is %s", to.Path(base), from.Path(base)))
	}
	return here == old, err
}

// link copies a symbolic link.
func (c *treeCopy) link(base string, from, to *tree.Dir, at tree.Info, absent bool) error {
	target := to.Path(base)
	text, err := from.Readlink(base)
	if err != nil {
		return err
	}
	old, known := c.before.Links[target]
	switch {
	case absent && c.removedHere(target):
		c.now.Links[target] = old
		return nil
	case absent:
	case !known || c.trees.declared.has(target) || at.Kind() != unix.S_IFLNK:
		return nil
	default:
		here, err := to.Readlink(base)
		if err != nil {
			return err
		}
		if here != old || text == old {
			c.now.Links[target] = old
			return nil
		}
	}
	if err := to.Symlink(base, text, !absent); err != nil {
		if errors.Is(err, unix.EEXIST) {
			return nil
		}
		return err
	}
	c.made = true
	c.now.Links[target] = text
	return nil
}
