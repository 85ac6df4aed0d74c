// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package activate

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"osbuild/runner/activate/tree"
)

// copied records what activations copied from one tree of the packages.
type copied struct {
	// From is the tree. Its content never changes.
	From string `json:"from"`
	owned
}

// trees is what one activation knows of the trees of packages.
type trees struct {
	// declared is what this activation's etc step put into /etc.
	declared owned
	// before and now map the folder to which a tree is copied to the copies.
	before, now map[string]copied
}

// newOwned is an empty record.
func newOwned() owned { return owned{Links: map[string]string{}, Files: map[string]string{}} }

// has says whether name is a file or link of the record.
func (o owned) has(name string) bool {
	_, file := o.Files[name]
	_, link := o.Links[name]
	return file || link
}

// loadTrees reads what earlier activations copied.
func (r *run) loadTrees() {
	r.trees = trees{before: map[string]copied{}, now: map[string]copied{}}
	if data, err := r.ReadFile(stateTrees); err == nil {
		// A damaged record means that no copy is known to be one.
		if err := json.Unmarshal(data, &r.trees.before); err != nil {
			r.Message(fmt.Sprintf("trees: %s is damaged; copies from earlier packages stay as they are: %v", stateTrees, err))
		}
	}
}

// saveTrees removes what packages do not bring any more, and remembers what
// has been copied.
func (r *run) saveTrees() (problems []error) {
	t := &r.trees
	if len(t.before) == 0 && len(t.now) == 0 {
		return nil
	}
	for _, to := range slices.Sorted(maps.Keys(t.before)) {
		now := t.now[to]
		problems = append(problems, r.dropCopies(to, t.before[to].owned, func(name string) bool {
			return !now.has(name) && !slices.Contains(now.Dirs, name) && !t.declared.has(name)
		})...)
	}
	if err := r.saveJSON(stateTrees, t.now); err != nil {
		problems = append(problems, err)
	}
	return problems
}

// dropCopies removes the copies below to for which gone says so, but for those
// that somebody has changed.
func (r *run) dropCopies(to string, record owned, gone func(name string) bool) (problems []error) {
	names := slices.Concat(slices.Collect(maps.Keys(record.Files)), slices.Collect(maps.Keys(record.Links)), record.Dirs)
	slices.Sort(names)
	slices.Reverse(names) // children before their folders
	for _, name := range names {
		if !gone(name) {
			continue
		}
		if err := r.dropCopy(to, name, record); err != nil {
			problems = append(problems, err)
		}
	}
	return problems
}

// dropCopy removes name if it is what the record says that it was. The folders
// below to may be a user's, so no link is followed there.
func (r *run) dropCopy(to, name string, record owned) error {
	dir, err := r.OpenDir(to)
	if err != nil {
		return nil
	}
	defer func() { dir.Close() }()
	parent, base := path.Split(strings.TrimPrefix(name, strings.TrimSuffix(to, "/")+"/"))
	for part := range strings.SplitSeq(strings.TrimSuffix(parent, "/"), "/") {
		if part == "" {
			continue
		}
		below, err := dir.Sub(part)
		if err != nil {
			return nil // its folder has gone, or something else stands there
		}
		dir.Close()
		dir = below
	}
	if !r.pristine(dir, base, record) {
		return nil
	}
	if err := dir.Remove(base); err != nil && !errors.Is(err, unix.ENOTEMPTY) {
		return err
	}
	return nil
}

// pristine says whether a name is what the record says that it was.
func (r *run) pristine(dir *tree.Dir, base string, record owned) bool {
	name := dir.Path(base)
	at, err := dir.Lstat(base)
	if err != nil || at.Mounted {
		return false
	}
	switch at.Kind() {
	case unix.S_IFREG:
		digest, err := dir.Digest(base, r.buffer())
		return err == nil && digest == record.Files[name]
	case unix.S_IFLNK:
		target, err := dir.Readlink(base)
		return err == nil && target == record.Links[name]
	case unix.S_IFDIR:
		return slices.Contains(record.Dirs, name)
	}
	return false
}

// dropBrought removes from a folder what is there because packages brought it,
// as an image has it from the start.
func (r *run) dropBrought(target string) {
	for _, t := range r.brought {
		below, ok := strings.CutPrefix(target, path.Clean(t.To)+"/")
		if !ok {
			continue
		}
		from, err := r.OpenDir(path.Join(t.From, below))
		if err != nil {
			continue // not a folder of this tree
		}
		if at, err := r.OpenDir(target); err == nil {
			r.dropSame(from, at)
			at.Close()
		}
		from.Close()
	}
}

// dropSame removes what is in both of two folders from the second.
func (r *run) dropSame(from, at *tree.Dir) {
	entries, err := from.Entries()
	if err != nil {
		return
	}
	for _, e := range entries {
		base := e.Name()
		theirs, err := from.Lstat(base)
		if err != nil {
			continue
		}
		here, err := at.Lstat(base)
		if err != nil || here.Mounted || here.Kind() != theirs.Kind() {
			continue
		}
		same := false
		switch here.Kind() {
		case unix.S_IFDIR:
			same = true // unless something else is left in it
			below, err := from.Sub(base)
			if err != nil {
				continue
			}
			if into, err := at.Sub(base); err == nil {
				r.dropSame(below, into)
				into.Close()
			}
			below.Close()
		case unix.S_IFREG:
			a, err := from.Digest(base, r.buffer())
			b, err2 := at.Digest(base, r.buffer())
			same = err == nil && err2 == nil && a == b
		case unix.S_IFLNK:
			a, err := from.Readlink(base)
			b, err2 := at.Readlink(base)
			same = err == nil && err2 == nil && a == b
		}
		if same {
			_ = at.Remove(base) // the folder that is to go tells what stays
		}
	}
}

// buffer is for the content of files; most of them are smaller.
func (r *run) buffer() []byte {
	if r.buf == nil {
		r.buf = make([]byte, 64*1024)
	}
	return r.buf
}
