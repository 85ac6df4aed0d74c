// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package activate

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"osbuild/runner/activate/tree"
	"osbuild/runner/spec"
)

// owned records what an activation put into /etc, so that a later one removes
// what its system does not have any more, and nothing else.
type owned struct {
	// Links maps a path to what its link says.
	Links map[string]string `json:"links"`
	// Files maps a path to the SHA-256 of its content.
	Files map[string]string `json:"files"`
	// Dirs are the folders that were made.
	Dirs []string `json:"dirs"`
}

// etc is one pass over the etc tree.
type etc struct {
	*run
	plan     spec.Etc
	before   owned
	now      owned
	problems []error
}

// etc makes /etc from the tree of the system.
func (r *run) etc(plan spec.Etc) []error {
	e := &etc{run: r, plan: plan, now: newOwned()}
	if data, err := r.ReadFile(stateEtc); err == nil {
		// A damaged record means that nothing vanished is removed, no more.
		if err := json.Unmarshal(data, &e.before); err != nil {
			r.Message(fmt.Sprintf("etc: %s is damaged; entries of earlier systems stay: %v", stateEtc, err))
		}
	}
	if !r.IsDir(plan.Tree) {
		return []error{fmt.Errorf("cannot make /etc: %s is not a folder", plan.Tree)}
	}
	if err := r.MkdirAll("/etc"); err != nil && !Unable(err) {
		return []error{err}
	}
	e.folder("")
	for name := range plan.Copies {
		if !e.now.has("/etc/"+path.Clean(name)) && r.Kind(path.Join(plan.Tree, name)) == 0 {
			e.problem(fmt.Errorf("cannot copy %s to /etc: %s has no such file", name, plan.Tree))
		}
	}
	e.vanished()
	r.made = e
	r.trees.declared = e.now
	if err := r.saveJSON(stateEtc, e.now); err != nil {
		e.problem(err)
	}
	return e.problems
}

// generate makes a regular file of /etc whose content a step computes. It is
// kept, replaced and removed as the files of the etc step are.
func (r *run) generate(target string, data []byte, mode uint32) []error {
	e := r.made
	if e == nil {
		e = &etc{run: r, before: newOwned(), now: newOwned()}
	}
	e.problems = nil
	if e.Mounted(target) {
		e.Message(fmt.Sprintf("etc: %s is a mount of its own and is left alone", target))
		return nil
	}
	delete(e.now.Files, target)
	e.copyData(target, data, mode)
	if r.made == nil {
		return e.problems
	}
	if err := r.saveJSON(stateEtc, e.now); err != nil {
		e.problem(err)
	}
	return e.problems
}

func (e *etc) problem(err error) { e.problems = append(e.problems, err) }

// folder makes the content of the folder rel of the tree.
func (e *etc) folder(rel string) {
	names, err := e.ReadDir(path.Join(e.plan.Tree, rel))
	if err != nil {
		e.problem(fmt.Errorf("cannot read the etc tree: %w", err))
		return
	}
	for _, base := range names {
		if name := path.Join(rel, base); !e.yields(name) {
			e.entry(name)
		}
	}
}

// yields says whether an entry gives way to a file of the packages.
func (e *etc) yields(rel string) bool {
	if !slices.Contains(e.plan.Yields, rel) {
		return false
	}
	for _, t := range e.brought {
		below, ok := strings.CutPrefix("/etc/"+rel, path.Clean(t.To)+"/")
		if ok && e.Kind(path.Join(t.From, below)) != 0 {
			return true
		}
	}
	return false
}

// entry makes one entry of the tree.
func (e *etc) entry(rel string) {
	target, source := "/etc/"+rel, path.Join(e.plan.Tree, rel)
	if e.Mounted(target) {
		// An engine or the user put it there: /etc/hosts, /etc/resolv.conf.
		e.Message(fmt.Sprintf("etc: %s is a mount of its own and is left alone", target))
		return
	}
	mode, isCopy := e.plan.Copies[rel]
	switch {
	case isCopy:
		e.copy(target, source, mode)
	case e.Kind(source) == unix.S_IFDIR:
		if e.realFolder(target) {
			e.folder(rel)
		}
	default:
		if !e.clear(target) {
			return
		}
		if err := e.Symlink(target, source); err != nil {
			e.problem(err)
			return
		}
		e.now.Links[target] = source
	}
}

// copy makes target a regular file with the content of source.
func (e *etc) copy(target, source string, mode uint32) {
	data, err := e.ReadFile(source)
	if err != nil {
		e.problem(fmt.Errorf("cannot copy %s: %w", target, err))
		return
	}
	e.copyData(target, data, mode)
}

// copyData makes target a regular file.
func (e *etc) copyData(target string, data []byte, mode uint32) {
	if e.before.Files[target] == digest(data) && e.changed(target) {
		// What was changed here is newer than what is declared.
		e.now.Files[target] = digest(data)
		return
	}
	if !e.clear(target) {
		return
	}
	if err := e.writeOnce(target, data, mode, tree.Owner{}); err != nil {
		e.problem(err)
		if !Unable(err) {
			return
		}
	}
	e.now.Files[target] = digest(data)
}

// changed says whether a regular file that an activation made has been changed
// since.
func (e *etc) changed(target string) bool {
	was, ok := e.before.Files[target]
	if !ok {
		was, ok = e.trees.before["/etc"].Files[target]
	}
	if !ok || e.Kind(target) != unix.S_IFREG {
		return false
	}
	data, err := e.ReadFile(target)
	return err == nil && digest(data) != was
}

// clear makes room for a file or link at target. What is in a folder there is
// somebody's, so only an empty one gives way; a file that was changed is put
// aside.
func (e *etc) clear(target string) bool {
	if e.Kind(target) != unix.S_IFDIR {
		if e.changed(target) {
			e.putAside(target)
		}
		return true
	}
	e.tidy(target)
	e.dropBrought(target)
	if err := e.Remove(target); err != nil {
		e.problem(fmt.Errorf("cannot replace the folder %s by a file of the system; move its content away: %w", target, err))
		return false
	}
	return true
}

// putAside keeps a changed file that a declared one replaces.
func (e *etc) putAside(target string) {
	kept := stateReplaced + target
	data, err := e.ReadFile(target)
	if err == nil {
		err = e.parent(kept)
	}
	if err == nil {
		err = e.writeOnce(kept, data, 0o600, tree.Owner{})
	}
	if err != nil {
		e.problem(fmt.Errorf("cannot keep what was changed in %s: %w", target, err))
		return
	}
	e.Message(fmt.Sprintf("etc: %s was changed here and is replaced by the system's; it is kept as %s", target, kept))
}

// tidy removes what an earlier activation put below the folder target.
func (e *etc) tidy(target string) {
	prefix := target + "/"
	below := func(name string) bool { return strings.HasPrefix(name, prefix) }
	e.problems = append(e.problems, e.dropCopies("/etc", e.trees.before["/etc"].owned, below)...)
	for _, name := range e.ours() {
		if below(name) {
			e.removeOurs(name)
		}
	}
}

// realFolder makes target a real folder: a link there, through which nothing
// may be written, and a file give way.
func (e *etc) realFolder(target string) bool {
	if kind := e.Kind(target); kind == unix.S_IFDIR {
		if slices.Contains(e.before.Dirs, target) {
			e.now.Dirs = append(e.now.Dirs, target)
		}
		return true
	} else if kind != 0 {
		if err := e.Remove(target); err != nil {
			e.problem(err)
			return false
		}
	}
	if err := e.Mkdir(target, 0o755, tree.Owner{}); err != nil {
		e.problem(err)
		if !Unable(err) {
			return false
		}
	}
	e.now.Dirs = append(e.now.Dirs, target)
	return true
}

// ours lists what the last activation made, children before their folders.
func (e *etc) ours() []string {
	names := slices.Concat(slices.Collect(maps.Keys(e.before.Links)), slices.Collect(maps.Keys(e.before.Files)), e.before.Dirs)
	slices.Sort(names)
	slices.Reverse(names)
	return names
}

// vanished removes what the last activation made and this system lacks.
func (e *etc) vanished() {
	for _, name := range e.ours() {
		if was, ok := e.before.Files[name]; ok && slices.Contains(e.generated, name) {
			e.now.Files[name] = was // until its step makes it anew
			continue
		}
		_, link := e.now.Links[name]
		_, file := e.now.Files[name]
		if !link && !file && !slices.Contains(e.now.Dirs, name) {
			e.removeOurs(name)
		}
	}
}

// removeOurs removes name if it is still what the last activation made; what
// somebody has changed since is theirs.
func (e *etc) removeOurs(name string) {
	if e.Mounted(name) {
		return
	}
	switch {
	case e.Kind(name) == unix.S_IFLNK:
		if target, err := e.Readlink(name); err != nil || target != e.before.Links[name] {
			return
		}
	case e.Kind(name) == unix.S_IFREG:
		data, err := e.ReadFile(name)
		if err != nil {
			return
		}
		if digest(data) != e.before.Files[name] {
			e.Message(fmt.Sprintf("etc: %s was changed here and stays, though the system has no such file any more", name))
			return
		}
	case e.Kind(name) == unix.S_IFDIR && slices.Contains(e.before.Dirs, name):
		// It stays as long as somebody keeps something in it.
		if names, err := e.ReadDir(name); err != nil || len(names) > 0 {
			if err == nil && !slices.Contains(e.now.Dirs, name) {
				e.now.Dirs = append(e.now.Dirs, name)
			}
			return
		}
	default:
		return
	}
	if err := e.Remove(name); err != nil {
		e.problem(err)
	}
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
