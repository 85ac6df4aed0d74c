// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package builtin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"

	"osbuild/builder/realise"
)

// ErrConflict is wrapped by the error for two items of a union that have
// different files of one name.
var ErrConflict = errors.New("they differ")

// buildDirectoryUnion merges trees into one. A folder that one tree alone has
// becomes a link to it; a folder that several have becomes a folder of the
// union. Files are links. The same name with the same content in several
// trees is fine, and the first of them gets the link. Where it is asked for,
// no link leads to a folder, unless one tree alone has that link.
func buildDirectoryUnion(ctx context.Context, r realise.Request) error {
	u := union{tree: tree{r.Physical}, folders: r.Drv.Env["folders"] == "1"}
	var roots []string
	for _, item := range r.Drv.Args {
		n, err := u.resolve(item)
		if err != nil {
			return err
		}
		if !n.info.IsDir() {
			return fmt.Errorf("cannot merge %s: it is no folder", item)
		}
		if !slices.Contains(roots, item) {
			roots = append(roots, item)
		}
	}
	return u.merge(ctx, roots, r.Outs["out"])
}

type union struct {
	tree
	folders bool
}

// merge makes the folder out of the folders with these logical paths.
func (u union) merge(ctx context.Context, folders []string, out string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := os.Mkdir(out, 0o755); err != nil {
		return err
	}
	have := map[string][]string{}
	var names []string
	for _, f := range folders {
		n, err := u.resolve(f)
		if err != nil {
			return err
		}
		entries, err := os.ReadDir(n.physical)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if have[e.Name()] == nil {
				names = append(names, e.Name())
			}
			have[e.Name()] = append(have[e.Name()], n.logical+"/"+e.Name())
		}
	}
	slices.Sort(names)
	for _, name := range names {
		if err := u.place(ctx, have[name], filepath.Join(out, name)); err != nil {
			return err
		}
	}
	return nil
}

// place makes what several trees have under one name.
func (u union) place(ctx context.Context, paths []string, out string) error {
	paths = unique(paths)
	if len(paths) == 1 {
		if n, err := u.resolve(paths[0]); u.folders && err == nil && n.info.IsDir() && n.logical == paths[0] {
			return u.merge(ctx, paths, out)
		}
		return os.Symlink(paths[0], out)
	}
	var folders []string
	for _, p := range paths {
		n, err := u.resolve(p)
		if err == nil && n.info.IsDir() {
			folders = append(folders, n.logical)
		} else if err != nil && !opaque(err) {
			return err
		}
	}
	if len(folders) == len(paths) {
		// Two ways to one folder count as one.
		if folders = unique(folders); len(folders) == 1 && !u.folders {
			return os.Symlink(folders[0], out)
		}
		return u.merge(ctx, folders, out)
	}
	for _, p := range paths[1:] {
		same, err := u.same(paths[0], p)
		if err != nil {
			return err
		}
		if !same {
			return fmt.Errorf("cannot merge %s and %s into one %s: %w; leave one of the two out, or build a union of the parts that are wanted", paths[0], p, path.Base(p), ErrConflict)
		}
	}
	return os.Symlink(paths[0], out)
}

// opaque says whether a path could not be resolved because a link leads to
// where nothing is known: such a link is a file of its own.
func opaque(err error) bool {
	return errors.Is(err, errOutside) || errors.Is(err, fs.ErrNotExist)
}

// same says whether two paths, not both of folders, have the same content.
func (u union) same(a, b string) (bool, error) {
	x, errA := u.resolve(a)
	y, errB := u.resolve(b)
	switch {
	case errA != nil && errB != nil:
		return u.sameTarget(a, b)
	case errA != nil || errB != nil:
		return false, nil
	case x.physical == y.physical:
		return true, nil
	case !x.info.Mode().IsRegular() || !y.info.Mode().IsRegular():
		return false, nil
	case x.info.Size() != y.info.Size() || x.info.Mode()&0o111 != y.info.Mode()&0o111:
		return false, nil
	}
	return sameContent(x.physical, y.physical)
}

// sameTarget compares the texts of two links.
func (u union) sameTarget(a, b string) (bool, error) {
	var targets [2]string
	for i, p := range []string{a, b} {
		dir, err := u.resolve(path.Dir(p))
		if err != nil {
			return false, err
		}
		if targets[i], err = os.Readlink(filepath.Join(dir.physical, path.Base(p))); err != nil {
			return false, err
		}
	}
	return targets[0] == targets[1], nil
}

func sameContent(a, b string) (bool, error) {
	x, err := os.Open(a)
	if err != nil {
		return false, err
	}
	defer x.Close()
	y, err := os.Open(b)
	if err != nil {
		return false, err
	}
	defer y.Close()
	var p, q [32 << 10]byte
	for {
		n, errX := io.ReadFull(x, p[:])
		m, errY := io.ReadFull(y, q[:])
		if !bytes.Equal(p[:n], q[:m]) {
			return false, nil
		}
		if end(errX) && end(errY) {
			return true, nil
		}
		if err := errors.Join(errX, errY); err != nil {
			return false, err
		}
	}
}

func end(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }

// unique drops repetitions and keeps the order.
func unique(list []string) []string {
	var out []string
	for _, s := range list {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}
