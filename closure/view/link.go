// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package view

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// tree is one tree of a view: its name for people, and where it lies.
type tree struct{ name, dir string }

// CollisionError says that one tree has a folder where another has something
// else, so that no merge shows both.
type CollisionError struct {
	// Path is below the trees' roots; Folder and File are the trees.
	Path, Folder, File string
}

func (e *CollisionError) Error() string {
	return fmt.Sprintf("%s is a folder in %s and a file in %s: leave out one of them", e.Path, e.Folder, e.File)
}

// merger makes hard links.
type merger struct {
	ctx context.Context
	to  string
}

// entry is what a view has at a path: the trees that have a folder there, or
// the first one with something else.
type entry struct {
	name string
	from []tree
	dir  bool
}

// link makes the merged tree at to.
func link(ctx context.Context, trees []tree, to string) error {
	return merger{ctx, to}.folder(trees, "")
}

// folder merges the folders at path of trees.
func (m merger) folder(trees []tree, path string) error {
	if err := m.ctx.Err(); err != nil {
		return err
	}
	dir := filepath.Join(m.to, path)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	entries, err := merge(trees, path)
	if err != nil {
		return err
	}
	for _, e := range entries {
		child := filepath.Join(path, e.name)
		if e.dir {
			err = m.folder(e.from, child)
		} else {
			// Of a symbolic link, the link itself.
			from, to := filepath.Join(e.from[0].dir, child), filepath.Join(m.to, child)
			err = unix.Linkat(unix.AT_FDCWD, from, unix.AT_FDCWD, to, 0)
			if err != nil {
				err = &os.LinkError{Op: "link", Old: from, New: to, Err: err}
			}
		}
		if err != nil {
			return err
		}
	}
	// As items have them.
	if err := os.Chmod(dir, 0o555); err != nil {
		return err
	}
	return os.Chtimes(dir, time.Unix(1, 0), time.Unix(1, 0))
}

// merge lists what trees have at path, which is a folder in all of them.
func merge(trees []tree, path string) ([]entry, error) {
	var out []entry
	at := map[string]int{}
	for _, t := range trees {
		list, err := os.ReadDir(filepath.Join(t.dir, path))
		if err != nil {
			return nil, err
		}
		for _, x := range list {
			i, known := at[x.Name()]
			if !known {
				i = len(out)
				at[x.Name()] = i
				out = append(out, entry{name: x.Name(), dir: x.IsDir(), from: []tree{t}})
				continue
			}
			e := &out[i]
			switch child := filepath.Join(path, x.Name()); {
			case e.dir && x.IsDir():
				e.from = append(e.from, t)
			case e.dir:
				return nil, &CollisionError{Path: child, Folder: e.from[0].name, File: t.name}
			case x.IsDir():
				return nil, &CollisionError{Path: child, Folder: t.name, File: e.from[0].name}
			}
		}
	}
	return out, nil
}
