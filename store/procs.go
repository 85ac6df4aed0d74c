// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Processes that osbuild does not know of hold no lease, but the kernel tells
// what they have open, see proc(5). It tells paths, and that only of processes
// that we may look into; what a process sees of an item under another name, as
// in most containers, it does not tell. So this is no stand-in for leases.

// procRoots returns what running processes use: what is mapped or open, and
// their programs, working and root folders. proc is where the kernel shows
// processes.
func (s *Store) procRoots(proc string) ([]Root, error) {
	entries, err := os.ReadDir(proc)
	if err != nil {
		return nil, fmt.Errorf("cannot look for what processes use: %w", err)
	}
	folders := s.itemFolders()
	var roots []Root
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err != nil {
			continue
		}
		uses, err := processUses(filepath.Join(proc, e.Name()), folders)
		if err != nil {
			return nil, fmt.Errorf("cannot look for what process %s uses: %w", e.Name(), err)
		}
		for p := range uses {
			roots = append(roots, Root{Link: "open in " + processName(proc, e.Name()), Path: p})
		}
	}
	return roots, nil
}

// itemFolders are the beginnings of physical and logical paths of items.
func (s *Store) itemFolders() []string {
	folders := []string{s.at(storeFolder) + "/", Dir + "/"}
	// The kernel names what a link leads to.
	if real, err := filepath.EvalSymlinks(s.root); err == nil && real != s.root {
		folders = append(folders, filepath.Join(real, storeFolder)+"/")
	}
	return folders
}

func processName(proc, pid string) string {
	name, err := os.ReadFile(filepath.Join(proc, pid, "comm"))
	if err != nil {
		return "process " + pid
	}
	return fmt.Sprintf("%q (process %s)", bytes.TrimSuffix(name, []byte("\n")), pid)
}

// processUses returns the items that the paths of one process lead to.
func processUses(dir string, folders []string) (map[Path]bool, error) {
	uses := make(map[Path]bool)
	links := []string{"exe", "cwd", "root"}
	entries, err := os.ReadDir(dir + "/fd")
	if err != nil && !unseen(err) {
		return nil, err
	}
	for _, e := range entries {
		links = append(links, "fd/"+e.Name())
	}
	for _, link := range links {
		target, err := os.Readlink(filepath.Join(dir, link))
		if err != nil && !unseen(err) {
			return nil, err
		}
		noteItem(uses, target, folders)
	}
	maps, err := os.ReadFile(dir + "/maps")
	if err != nil && !unseen(err) {
		return nil, err
	}
	mappedItems(uses, string(maps), folders)
	return uses, nil
}

// unseen says whether an error means that a process has ended, is the
// kernel's own, or is another user's; or is at a place whose path is too long to
// be told, which no item has, and would be a way to stop all collections.
func unseen(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || errors.Is(err, unix.ESRCH) || errors.Is(err, unix.ENAMETOOLONG)
}

// mappedItems notes the items in the text of a maps file: each line ends in the
// path of a file, if there is one.
func mappedItems(uses map[Path]bool, maps string, folders []string) {
	last := ""
	for line := range strings.Lines(maps) {
		// Before it are addresses, permissions and numbers.
		at := strings.IndexByte(line, '/')
		if at < 0 || line[at:] == last {
			continue
		}
		last = line[at:] // a file is mapped in several parts
		noteItem(uses, strings.TrimSuffix(last, "\n"), folders)
	}
}

// noteItem notes the item that path is or lies in, if there is one.
func noteItem(uses map[Path]bool, path string, folders []string) {
	for _, folder := range folders {
		rest, inside := strings.CutPrefix(path, folder)
		if !inside {
			continue
		}
		// What has no name any more is marked so.
		base, _, _ := strings.Cut(strings.TrimSuffix(rest, " (deleted)"), "/")
		if p, err := parseBase(base); err == nil {
			uses[p] = true
		}
	}
}
