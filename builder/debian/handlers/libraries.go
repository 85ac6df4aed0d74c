// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package handlers

import (
	"debug/elf"
	"errors"
	"path"
	"slices"
	"strings"
)

// libraries makes /etc/ld.so.cache, by which the dynamic loader finds shared
// libraries (ld.so(8), ldconfig(8)).
var libraries = class{name: "libraries", finish: func(r *root) error {
	abi, ok := abis[r.arch()]
	if !ok {
		return nil // the loader searches its folders
	}
	dirs, err := r.libraryDirs(abi)
	if err != nil {
		return err
	}
	var found []library
	seen := map[*node]bool{} // two paths of one folder count once
	for _, dir := range dirs {
		n, _, err := r.find(dir, true)
		if err != nil || n.kind != folder || seen[n] {
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
	return r.write("/etc/ld.so.cache", string(encodeCache(found, abi)))
}}

// abi is what the cache says of an architecture's libraries.
type abi struct {
	machine elf.Machine
	class   elf.Class
	flags   uint32
	triplet string
}

// abis are those that glibc numbers; the flags are of its cache's format.
var abis = map[string]abi{
	"amd64":   {elf.EM_X86_64, elf.ELFCLASS64, 0x0303, "x86_64-linux-gnu"},
	"arm64":   {elf.EM_AARCH64, elf.ELFCLASS64, 0x0a03, "aarch64-linux-gnu"},
	"armhf":   {elf.EM_ARM, elf.ELFCLASS32, 0x0903, "arm-linux-gnueabihf"},
	"i386":    {elf.EM_386, elf.ELFCLASS32, 0x0003, "i386-linux-gnu"},
	"ppc64el": {elf.EM_PPC64, elf.ELFCLASS64, 0x0503, "powerpc64le-linux-gnu"},
	"riscv64": {elf.EM_RISCV, elf.ELFCLASS64, 0x1003, "riscv64-linux-gnu"},
	"s390x":   {elf.EM_S390, elf.ELFCLASS64, 0x0403, "s390x-linux-gnu"},
}

// library is an entry of the cache.
type library struct{ name, path string }

// libraryDirs are the folders of ld.so.conf, then those that are built in.
// Without ld.so.conf, which libc-bin has, all of ld.so.conf.d counts.
func (r *root) libraryDirs(a abi) ([]string, error) {
	dirs, err := r.loaderConfig("/etc/ld.so.conf", 0)
	if err == nil && !r.has("/etc/ld.so.conf") {
		dirs, err = r.loaderInclude("/etc/ld.so.conf.d/*.conf", 0)
	}
	return append(dirs, "/lib/"+a.triplet, "/usr/lib/"+a.triplet, "/lib", "/usr/lib"), err
}

func (r *root) loaderConfig(p string, depth int) ([]string, error) {
	n, _, err := r.find(p, true)
	if err != nil || n.kind != file || depth > 10 {
		return nil, nil
	}
	text, err := n.bytes()
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
	dir, _, err := r.find(path.Dir(pattern), true)
	if err != nil {
		return nil, nil
	}
	var out []string
	for _, name := range dir.names() {
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
func (r *root) librariesIn(dir string, n *node, a abi) ([]library, error) {
	var out []library
	for _, name := range n.names() {
		if !libraryName(name) {
			continue
		}
		target, _, err := r.find(path.Join(dir, name), true)
		if err != nil || target.kind != file {
			continue
		}
		p, err := r.lookInto(target)
		if err != nil || !p.dynamic || p.machine != a.machine || p.class != a.class {
			if err != nil && !errors.Is(err, errNoProgram) {
				return nil, err
			}
			continue
		}
		entry := name
		if p.soname != "" && !strings.Contains(p.soname, "/") && !forLinker(n.kids[name], name, p.soname) {
			entry = p.soname
			if n.kids[entry] == nil {
				if err := r.put(path.Join(dir, entry), &node{kind: link, text: name}); err != nil {
					return nil, err
				}
			}
		}
		l := library{entry, path.Join(dir, entry)}
		if !slices.Contains(out, l) {
			out = append(out, l)
		}
	}
	return out, nil
}

// forLinker says whether a link is the one by which the linker finds a
// library, libx.so, which is an entry of its own.
func forLinker(n *node, name, soname string) bool {
	return n.kind == link && strings.HasSuffix(name, ".so") && strings.HasPrefix(soname, name)
}

func libraryName(name string) bool {
	if !strings.HasPrefix(name, "lib") && !strings.HasPrefix(name, "ld-") && !strings.HasPrefix(name, "ld.so.") && !strings.HasPrefix(name, "ld64.so.") {
		return false
	}
	return strings.Contains(name, ".so") && !strings.HasSuffix(name, ".py")
}

// lookInto looks into a file of the tree once.
func (r *root) lookInto(n *node) (*program, error) {
	if p, ok := r.programs[n]; ok {
		if p == nil {
			return nil, errNoProgram
		}
		return p, nil
	}
	var p *program
	var err error
	if n.disk == "" {
		p, err = parseProgram(strings.NewReader(n.text))
	} else {
		p, err = readProgram(n.disk)
	}
	if err == nil || errors.Is(err, errNoProgram) {
		r.programs[n] = p
	}
	return p, err
}
