// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package handlers

import (
	"errors"
	"path"
	"slices"
	"strings"

	"osbuild/builder/debian/ldso"
	"osbuild/builder/debian/rootfs"
)

// libraries makes /etc/ld.so.cache, by which the dynamic loader finds shared
// libraries (ld.so(8), ldconfig(8)).
var libraries = class{name: "libraries", finish: func(r *root) error {
	abi, ok := ldso.ABIOf(r.arch())
	if !ok {
		return nil // the loader searches its folders
	}
	dirs, err := r.libraryDirs(abi)
	if err != nil {
		return err
	}
	var found []ldso.Library
	seen := map[*rootfs.Node]bool{} // two paths of one folder count once
	for _, dir := range dirs {
		n, _, err := r.Find(dir, true)
		if err != nil || n.Kind != rootfs.Folder || seen[n] {
			continue
		}
		seen[n] = true
		list, err := r.librariesIn(dir, n, abi)
		if err != nil {
			return err
		}
		found = append(found, list...)
	}
	if len(found) == 0 {
		return nil
	}
	return r.Write("/etc/ld.so.cache", string(ldso.EncodeCache(found, abi)))
}}

// libraryDirs are the folders of ld.so.conf, then those that are built in.
// Without ld.so.conf, which libc-bin has, all of ld.so.conf.d counts.
func (r *root) libraryDirs(a ldso.ABI) ([]string, error) {
	dirs, err := r.loaderConfig("/etc/ld.so.conf", 0)
	if err == nil && !r.Has("/etc/ld.so.conf") {
		dirs, err = r.loaderInclude("/etc/ld.so.conf.d/*.conf", 0)
	}
	return append(dirs, "/lib/"+a.Triplet, "/usr/lib/"+a.Triplet, "/lib", "/usr/lib"), err
}

func (r *root) loaderConfig(p string, depth int) ([]string, error) {
	n, _, err := r.Find(p, true)
	if err != nil || n.Kind != rootfs.File || depth > 10 {
		return nil, nil
	}
	text, err := n.Bytes()
	if err != nil {
		return nil, err
	}
	var out []string
	for _, line := range lines(text) {
		line, _, _ = strings.Cut(line, "#")
		f := strings.Fields(strings.ReplaceAll(line, ":", " "))
		if len(f) > 0 && f[0] == "include" {
			for _, pattern := range f[1:] {
				if !path.IsAbs(pattern) {
					pattern = path.Join(path.Dir(p), pattern)
				}
				more, err := r.loaderInclude(pattern, depth+1)
				if err != nil {
					return nil, err
				}
				out = append(out, more...)
			}
			continue
		}
		for _, dir := range f {
			if path.IsAbs(dir) {
				out = append(out, path.Clean(dir))
			}
		}
	}
	return out, nil
}

func (r *root) loaderInclude(pattern string, depth int) ([]string, error) {
	dir, _, err := r.Find(path.Dir(pattern), true)
	if err != nil {
		return nil, nil
	}
	var out []string
	for _, name := range dir.Names() {
		if ok, err := path.Match(path.Base(pattern), name); err == nil && ok {
			more, err := r.loaderConfig(path.Join(path.Dir(pattern), name), depth)
			if err != nil {
				return nil, err
			}
			out = append(out, more...)
		}
	}
	return out, nil
}

// librariesIn are the entries of one folder, by the name that a library says
// it has; a link of that name is made where there is none.
func (r *root) librariesIn(dir string, n *rootfs.Node, a ldso.ABI) ([]ldso.Library, error) {
	var out []ldso.Library
	for _, name := range n.Names() {
		if !ldso.LibraryName(name) {
			continue
		}
		target, _, err := r.Find(path.Join(dir, name), true)
		if err != nil || target.Kind != rootfs.File {
			continue
		}
		p, err := r.lookInto(target)
		if err != nil || !p.Dynamic || p.Machine != a.Machine || p.Class != a.Class {
			if err != nil && !errors.Is(err, ldso.ErrNoProgram) {
				return nil, err
			}
			continue
		}
		entry := name
		if p.Soname != "" && !strings.Contains(p.Soname, "/") && !forLinker(n.Kids[name], name, p.Soname) {
			entry = p.Soname
			if n.Kids[entry] == nil {
				if err := r.Put(path.Join(dir, entry), &rootfs.Node{Kind: rootfs.Link, Text: name}); err != nil {
					return nil, err
				}
			}
		}
		l := ldso.Library{Name: entry, Path: path.Join(dir, entry)}
		if !slices.Contains(out, l) {
			out = append(out, l)
		}
	}
	return out, nil
}

// forLinker says whether a link is the one by which the linker finds a
// library, libx.so, which is an entry of its own.
func forLinker(n *rootfs.Node, name, soname string) bool {
	return n.Kind == rootfs.Link && strings.HasSuffix(name, ".so") && strings.HasPrefix(soname, name)
}

// lookInto looks into a file of the tree once.
func (r *root) lookInto(n *rootfs.Node) (*ldso.Program, error) {
	if p, ok := r.programs[n]; ok {
		if p == nil {
			return nil, ldso.ErrNoProgram
		}
		return p, nil
	}
	var p *ldso.Program
	var err error
	if n.Disk == "" {
		p, err = ldso.ParseProgram(strings.NewReader(n.Text))
	} else {
		p, err = ldso.ReadProgram(n.Disk)
	}
	if err == nil || errors.Is(err, ldso.ErrNoProgram) {
		r.programs[n] = p
	}
	return p, err
}
