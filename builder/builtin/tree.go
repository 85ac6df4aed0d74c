// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package builtin

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"osbuild/store"
)

// tree reads items by their logical paths. It follows links as a container
// would: a link to /osbuild/store leads into an item, wherever that lies on
// this machine, and a link to any other absolute path leads nowhere, since
// what stands there now has nothing to do with what will.
type tree struct {
	physical func(store.Path) string
}

// errOutside says that a link leads out of the store, or nowhere.
var errOutside = errors.New("it leads out of the store")

// maxLinks is how many links one path may go through, as in Linux.
const maxLinks = 40

// node is a file in an item, behind all links.
type node struct {
	logical  string
	physical string
	info     fs.FileInfo
}

// resolve follows all links in a logical path.
func (t tree) resolve(logical string) (node, error) {
	fail := func(err error) (node, error) {
		return node{}, fmt.Errorf("cannot read %s: %w", logical, err)
	}
	n, rest, err := t.enter(logical)
	if err != nil {
		return fail(err)
	}
	for links := 0; ; {
		if n.info.Mode()&fs.ModeSymlink != 0 {
			if links++; links > maxLinks {
				return fail(errors.New("it goes through too many links"))
			}
			target, err := os.Readlink(n.physical)
			if err != nil {
				return fail(err)
			}
			rest = append(split(target), rest...)
			if path.IsAbs(target) {
				n, rest, err = t.enter(path.Join(append([]string{"/"}, rest...)...))
			} else {
				n, err = t.parent(n)
			}
			if err != nil {
				return fail(err)
			}
			continue
		}
		if len(rest) == 0 {
			return n, nil
		}
		switch name := rest[0]; {
		case name == "..":
			n, err = t.parent(n)
		case !n.info.IsDir():
			err = fmt.Errorf("%s is no folder: %w", n.logical, fs.ErrNotExist)
		default:
			n, err = stat(n.logical+"/"+name, filepath.Join(n.physical, name))
		}
		if err != nil {
			return fail(err)
		}
		rest = rest[1:]
	}
}

// enter gives the item of a logical path, and the path's components in it.
func (t tree) enter(logical string) (node, []string, error) {
	rest, ok := strings.CutPrefix(logical, store.Dir+"/")
	if !ok {
		return node{}, nil, fmt.Errorf("%w: %s", errOutside, logical)
	}
	base, rest, _ := strings.Cut(rest, "/")
	p, err := store.ParsePath(store.Dir + "/" + base)
	if err != nil {
		return node{}, nil, err
	}
	n, err := stat(string(p), t.physical(p))
	return n, split(rest), err
}

// parent gives the folder that n lies in.
func (t tree) parent(n node) (node, error) {
	dir := path.Dir(n.logical)
	if dir == store.Dir {
		return node{}, fmt.Errorf("%w: above %s", errOutside, n.logical)
	}
	return stat(dir, filepath.Dir(n.physical))
}

func stat(logical, physical string) (node, error) {
	info, err := os.Lstat(physical)
	return node{logical, physical, info}, err
}

// split gives the components of a path that mean something.
func split(p string) []string {
	var list []string
	for c := range strings.SplitSeq(p, "/") {
		if c != "" && c != "." {
			list = append(list, c)
		}
	}
	return list
}

// copyTree copies a file or tree: contents, links as they are, and whether
// files are executable.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(file string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, file)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		switch e.Type() {
		case fs.ModeDir:
			return os.Mkdir(target, 0o755)
		case fs.ModeSymlink:
			text, err := os.Readlink(file)
			if err != nil {
				return err
			}
			return os.Symlink(text, target)
		case 0:
			return copyFile(file, target)
		}
		return fmt.Errorf("cannot copy %s: it is neither a file nor a folder nor a link", file)
	})
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644|info.Mode().Perm()&0o111)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
