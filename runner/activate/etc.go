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
	e := &etc{run: r, plan: plan, now: owned{Links: map[string]string{}, Files: map[string]string{}}}
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
		if _, ok := e.now.Files["/etc/"+path.Clean(name)]; !ok && r.Kind(path.Join(plan.Tree, name)) == 0 {
			e.problem(fmt.Errorf("cannot copy %s to /etc: %s has no such file", name, plan.Tree))
		}
	}
	e.vanished()
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
		e.entry(path.Join(rel, base))
	}
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

// clear makes room for a file or link at target. What is in a folder there is
// somebody's, so only an empty one gives way.
func (e *etc) clear(target string) bool {
	if e.Kind(target) != unix.S_IFDIR {
		return true
	}
	e.tidy(target)
	if err := e.Remove(target); err != nil {
		e.problem(fmt.Errorf("cannot replace the folder %s by a file of the system; move its content away: %w", target, err))
		return false
	}
	return true
}

// tidy removes what an earlier activation put below the folder target.
func (e *etc) tidy(target string) {
	prefix := target + "/"
	for _, name := range e.ours() {
		if strings.HasPrefix(name, prefix) {
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
