// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package deb_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"osbuild/builder/debian/deb"
)

// entry is one entry of a tar archive, written with no more checks than an
// attacker makes.
type entry struct {
	name, link, content string
	typ                 byte // 0: a folder when name ends in /, a file otherwise
	mode                int64
	uid, gid            int
	uname, gname        string
	size                int64 // instead of content's
}

func (e entry) encode() []byte {
	if e.typ == 0 {
		e.typ = '0'
		if strings.HasSuffix(e.name, "/") {
			e.typ = '5'
		}
	}
	if e.mode == 0 {
		e.mode = 0o644
		if e.typ == '5' {
			e.mode = 0o755
		}
	}
	if e.size == 0 {
		e.size = int64(len(e.content))
	}
	h := make([]byte, 512, 1024)
	copy(h, e.name)
	copy(h[100:], fmt.Sprintf("%07o\x00%07o\x00%07o\x00%011o\x00%011o\x00        %c", e.mode, e.uid, e.gid, e.size, 0, e.typ))
	copy(h[157:], e.link)
	copy(h[257:], "ustar\x0000")
	copy(h[265:], e.uname)
	copy(h[297:], e.gname)
	sum := 0
	for _, c := range h {
		sum += int(c)
	}
	copy(h[148:], fmt.Sprintf("%06o\x00 ", sum))
	h = append(h, e.content...)
	return append(h, make([]byte, -len(e.content)&511)...)
}

func file(name, content string) entry { return entry{name: name, content: content} }

func dir(name string) entry { return entry{name: name} }

func link(name, target string) entry { return entry{name: name, link: target, typ: '2'} }

func hard(name, target string) entry { return entry{name: name, link: target, typ: '1'} }

// pax gives an extended header, which speaks for the entry behind it.
func pax(key, value string) entry {
	rest := " " + key + "=" + value + "\n"
	n := len(rest)
	for len(fmt.Sprint(n))+len(rest) != n {
		n = len(fmt.Sprint(n)) + len(rest)
	}
	return entry{name: "pax", typ: 'x', content: fmt.Sprint(n) + rest}
}

func tarball(entries ...entry) []byte {
	var b []byte
	for _, e := range entries {
		b = append(b, e.encode()...)
	}
	return append(b, make([]byte, 1024)...)
}

// part is a member of the outer archive.
type part struct {
	name    string
	content []byte
}

func ar(parts ...part) []byte {
	b := []byte("!<arch>\n")
	for _, p := range parts {
		b = fmt.Appendf(b, "%-16s%-12d%-6d%-6d%-8s%-10d`\n", p.name, 0, 0, 0, "100644", len(p.content))
		b = append(b, p.content...)
		if len(p.content)%2 != 0 {
			b = append(b, '\n')
		}
	}
	return b
}

var version = part{"debian-binary", []byte("2.0\n")}

const controlText = "Package: x\nVersion: 1\nArchitecture: all\nInstalled-Size: 10\n"

// controlPart holds the file control, and the others that are given.
func controlPart(others ...entry) part {
	return part{"control.tar", tarball(append([]entry{dir("./"), file("./control", controlText)}, others...)...)}
}

func dataPart(entries ...entry) part {
	return part{"data.tar", tarball(append([]entry{dir("./")}, entries...)...)}
}

// withData is a package with these files.
func withData(entries ...entry) []byte { return ar(version, controlPart(), dataPart(entries...)) }

func compress(t testing.TB, format string, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser
	var err error
	switch format {
	case "":
		return data
	case ".gz":
		w = gzip.NewWriter(&b)
	case ".xz":
		w, err = xz.NewWriter(&b)
	case ".zst":
		w, err = zstd.NewWriter(&b)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// place is a folder with something outside of the one that is made.
type place struct{ top, out string }

func newPlace(t testing.TB) place {
	t.Helper()
	top := t.TempDir()
	for name, content := range map[string]string{"outside": "precious", "folder/outside": "precious", "folder/inner/x": "precious"} {
		if err := os.MkdirAll(filepath.Join(top, filepath.Dir(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(top, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return place{top, filepath.Join(top, "here", "out")}
}

// unpack unpacks a package and checks that nothing changed around it.
func (p place) unpack(t testing.TB, data []byte) (*deb.Meta, error) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(p.out), 0o755); err != nil {
		t.Fatal(err)
	}
	meta, err := deb.Unpack(t.Context(), bytes.NewReader(data), int64(len(data)), p.out)
	around := dump(t, p.top, func(rel string) bool { return rel == "here/out" })
	const want = "folder/\nfolder/inner/\nfolder/inner/x precious\nfolder/outside precious\nhere/\noutside precious"
	if around != want {
		t.Errorf("around the package there is now\n%s", around)
	}
	return meta, err
}

// dump describes a tree, a line a node, without what skip says.
func dump(t testing.TB, root string, skip func(rel string) bool) string {
	t.Helper()
	var lines []string
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		rel := strings.TrimPrefix(path, root+"/")
		if skip(rel) {
			if e.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		switch {
		case e.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			lines = append(lines, rel+" -> "+target)
			return err
		case e.IsDir():
			lines = append(lines, rel+"/")
		case e.Type().IsRegular():
			data, err := os.ReadFile(path)
			mark := ""
			if info.Mode()&0o111 != 0 {
				mark = "!"
			}
			lines = append(lines, fmt.Sprintf("%s %s%s", rel, mark, data))
			return err
		default:
			lines = append(lines, fmt.Sprintf("%s is %v", rel, e.Type()))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}
