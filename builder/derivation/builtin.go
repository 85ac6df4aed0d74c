// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package derivation

import (
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"

	"osbuild/store"
)

// The builtins, by the name behind [BuiltinPrefix], and the versions of what
// they make. A version grows when the same declaration gives another item.
const (
	// BuiltinText writes Env["text"], executable when Env["executable"] is 1.
	BuiltinText = "text"
	VersionText = 1
	// BuiltinDirectoryUnion merges the trees Args. Where Env["folders"] is 1, a
	// folder that one tree alone has becomes a folder too, not a link to it.
	BuiltinDirectoryUnion = "directory-union"
	VersionDirectoryUnion = 1
	// BuiltinFileUnion makes a tree of Args, pairs of a relative path and what
	// stands there: as a link, or as a copy when Env["copy"] is 1.
	BuiltinFileUnion = "file-union"
	VersionFileUnion = 1
	// BuiltinUnpack unpacks the tar archive Env["archive"] without the first
	// Env["strip"] components of its paths.
	BuiltinUnpack = "unpack"
	VersionUnpack = 1
	// BuiltinFetch gets Env["url"].
	BuiltinFetch = "fetch"
	VersionFetch = 1
	// BuiltinRequisites writes the closure of the items Args, a path a line.
	BuiltinRequisites = "requisites"
	VersionRequisites = 1
	// BuiltinContainer writes the container.json of Env["text"] with what the
	// tree Env["packages"] puts on its root.
	BuiltinContainer = "container"
	VersionContainer = 1
)

// DirectoryUnion declares the merged tree of these folders, which are items or
// folders in items. With folders it holds links to files alone, so that another
// tree can be merged with it in turn.
func (g *Graph) DirectoryUnion(name string, items []string, folders bool, pos Position) (string, error) {
	d := Derivation{
		Name: name, Builder: BuiltinPrefix + BuiltinDirectoryUnion, Version: VersionDirectoryUnion,
		Args: items, Pos: pos,
	}
	if folders {
		d.Env = map[string]string{"folders": "1"}
	}
	return g.Derive(d)
}

// FileUnion declares a tree in which each relative path is a link to the file
// or folder it maps to, or a copy of it.
func (g *Graph) FileUnion(name string, files map[string]string, copied bool, pos Position) (string, error) {
	d := Derivation{
		Name: name, Builder: BuiltinPrefix + BuiltinFileUnion, Version: VersionFileUnion, Pos: pos,
	}
	for _, p := range sortedKeys(files) {
		if err := checkRelative(p, files); err != nil {
			return "", &Error{pos, fmt.Errorf("cannot declare %q: %w", name, err)}
		}
		d.Args = append(d.Args, p, files[p])
	}
	if copied {
		d.Env = map[string]string{"copy": "1"}
	}
	return g.Derive(d)
}

func checkRelative(p string, files map[string]string) error {
	if p == "" || p == "." || path.IsAbs(p) || path.Clean(p) != p || p == ".." || strings.HasPrefix(p, "../") || strings.ContainsRune(p, 0) {
		return fmt.Errorf("%q is not a clean relative path (such as %q)", p, "etc/motd")
	}
	for dir := path.Dir(p); dir != "."; dir = path.Dir(dir) {
		if _, ok := files[dir]; ok {
			return fmt.Errorf("%q is a file of the union, so %q cannot lie in it", dir, p)
		}
	}
	return nil
}

// Unpack declares the tree in a tar archive (plain or compressed by gzip,
// bzip2, xz or zstd), without the first strip components of its paths.
func (g *Graph) Unpack(name, archive string, strip int, pos Position) (string, error) {
	if strip < 0 {
		return "", &Error{pos, fmt.Errorf("cannot declare %q: cannot strip %d components", name, strip)}
	}
	return g.Derive(Derivation{
		Name: name, Builder: BuiltinPrefix + BuiltinUnpack, Version: VersionUnpack,
		Env: map[string]string{"archive": archive, "strip": strconv.Itoa(strip)}, Pos: pos,
	})
}

// Requisites declares a file that lists the closure of these items, a path a
// line: what must be known where the items lie but no store's records do.
func (g *Graph) Requisites(name string, items []string, pos Position) (string, error) {
	return g.Derive(Derivation{
		Name: name, Builder: BuiltinPrefix + BuiltinRequisites, Version: VersionRequisites,
		Args: items, Pos: pos,
	})
}

// Container declares the document of a container whose packages make the tree
// packages: text, a spec.Container, with that tree's root joined to its own.
func (g *Graph) Container(name, text, packages string, pos Position) (string, error) {
	return g.Derive(Derivation{
		Name: name, Builder: BuiltinPrefix + BuiltinContainer, Version: VersionContainer,
		Env: map[string]string{"text": text, "packages": packages}, Pos: pos,
	})
}

// Fetch declares a file from the network (http, https) or of this machine
// (file). sha256 is its hash in hexadecimal, base32 or SRI form; name is the
// last part of the URL when it is empty.
func (g *Graph) Fetch(name, url, sha256 string, pos Position) (string, error) {
	fail := func(err error) (string, error) {
		return "", &Error{pos, fmt.Errorf("cannot declare download of %q: %w", url, err)}
	}
	if sha256 == "" {
		return fail(errors.New(`it needs a sha256; give any, such as the one of nothing, and the error of the build tells the right one`))
	}
	h, err := store.ParseHash(sha256)
	if err != nil {
		return fail(err)
	}
	if name == "" {
		name = fetchName(url)
	}
	return g.Derive(Derivation{
		Name: name, Builder: BuiltinPrefix + BuiltinFetch, Version: VersionFetch,
		Env:   map[string]string{"url": url},
		Fixed: &Fixed{Algo: "sha256", Hash: h.Hex()},
		Pos:   pos,
	})
}

// fetchName is the last part of the URL's path, in letters a name may have.
func fetchName(url string) string {
	url, _, _ = strings.Cut(url, "#")
	url, _, _ = strings.Cut(url, "?")
	if _, rest, ok := strings.Cut(url, "://"); ok {
		url = rest
	}
	_, base, _ := strings.Cut(url, "/")
	base = strings.Map(func(r rune) rune {
		if r < 0x80 && store.ValidName("x"+string(r)) == nil {
			return r
		}
		return '-'
	}, path.Base("/"+base))
	base = strings.TrimLeft(base, "-.")
	if base == "" {
		return "download"
	}
	return base
}
