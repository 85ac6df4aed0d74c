// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package builtin

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"osbuild/builder/derivation"
)

// archive makes a tar archive of headers; a file's Linkname is its content.
func archive(t testing.TB, headers ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		content := ""
		if h.Typeflag == tar.TypeReg {
			content, h.Linkname = h.Linkname, ""
			h.Size = int64(len(content))
		}
		if h.Mode == 0 && h.Typeflag != tar.TypeXGlobalHeader {
			h.Mode = 0o644
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func reg(name, content string) tar.Header {
	return tar.Header{Typeflag: tar.TypeReg, Name: name, Linkname: content}
}

func dir(name string) tar.Header { return tar.Header{Typeflag: tar.TypeDir, Name: name} }

func link(name, target string) tar.Header {
	return tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target}
}

func hard(name, target string) tar.Header {
	return tar.Header{Typeflag: tar.TypeLink, Name: name, Linkname: target}
}

func TestUnpack(t *testing.T) {
	exe := reg("p/bin/x", "#!")
	exe.Mode = 0o6711
	plain := []tar.Header{{Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"comment": "c"}}, dir("p/"), exe, reg("./p/doc/README", "hi"), link("p/bin/y", "x"), link("p/doc/up", "../bin/x"), hard("p/z", "p/bin/x"), hard("p/zz", "p/bin/y"), dir("p/empty")}
	const want = "p/\np/bin/\np/bin/x !#!\np/bin/y -> x\np/doc/\np/doc/README hi\np/doc/up -> ../bin/x\np/empty/\np/z !#!"
	for _, c := range []struct {
		summary string
		entries []tar.Header
		strip   string
		want    string
		err     string
	}{
		{"all kinds", plain[:len(plain)-2], "0", want[:strings.Index(want, "\np/empty")] + "\np/z !#!", ""},
		{"stripped", []tar.Header{dir("p/"), exe, reg("p/doc/README", "hi"), hard("p/z", "p/bin/x")}, "1", "bin/\nbin/x !#!\ndoc/\ndoc/README hi\nz !#!", ""},
		{"files outside of what is stripped go", []tar.Header{reg("a", "1"), reg("p/b", "2")}, "1", "b 2", ""},
		{"all is stripped", []tar.Header{reg("a", "1")}, "1", "", "holds nothing"},
		{"empty", nil, "0", "", "holds nothing"},
		{"bad strip", []tar.Header{reg("a", "1")}, "x", "", "cannot strip"},
		{"later entries replace", []tar.Header{reg("a", "1"), reg("a", "2"), link("l", "a"), reg("l", "3")}, "0", "a 2\nl 3", ""},
		{"a folder of its own", []tar.Header{dir("./"), reg("./a", "1")}, "0", "a 1", ""},
		{"absolute", []tar.Header{reg("/a", "1")}, "0", "", "not relative"},
		{"up", []tar.Header{reg("../a", "1")}, "0", "", "holds \"..\""},
		{"up inside", []tar.Header{reg("a/../../b", "1")}, "0", "", "holds \"..\""},
		{"stripped up", []tar.Header{reg("../../a", "1")}, "2", "", "holds \"..\""},
		{"absolute link", []tar.Header{link("l", "/etc")}, "0", "", "not relative"},
		{"link out", []tar.Header{link("a/l", "../../etc")}, "0", "", "out of the archive"},
		{"link out by stripping", []tar.Header{link("p/l", "../x")}, "1", "", "out of the archive"},
		{"link out behind a name", []tar.Header{link("d", "."), link("l", "d/../..")}, "0", "", "out of the archive"},
		{"file through a link", []tar.Header{dir("d"), link("l", "d"), reg("l/x", "1")}, "0", "", "both a folder and something else"},
		{"folder over a link", []tar.Header{link("l", "."), dir("l")}, "0", "", "both a folder and something else"},
		{"file over a folder", []tar.Header{dir("d"), reg("d", "")}, "0", "", "both a folder and something else"},
		{"hard link out", []tar.Header{hard("h", "../../etc/passwd")}, "0", "", "holds \"..\""},
		{"hard link to nothing", []tar.Header{hard("h", "x")}, "0", "", "hard link"},
		{"hard link to a folder", []tar.Header{dir("d"), hard("h", "d")}, "0", "", "hard link to a folder"},
		{"hard link that moves a link", []tar.Header{link("a/b/l", "../x"), hard("m", "a/b/l")}, "0", "", "out of the archive"},
		{"device", []tar.Header{{Typeflag: tar.TypeChar, Name: "d"}}, "0", "", "it is a device"},
		{"pipe", []tar.Header{{Typeflag: tar.TypeFifo, Name: "d"}}, "0", "", "it is a pipe"},
		{"top is a file", []tar.Header{reg(".", "1")}, "0", "", "top is no folder"},
	} {
		l := newLab(t)
		item := l.item("a.tar", map[string]string{"": string(archive(t, c.entries...))})
		out, err := l.build(derivation.Derivation{Builder: "unpack", Env: map[string]string{"archive": item, "strip": c.strip}})
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: error %v, want %q", c.summary, err, c.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.summary, err)
			continue
		}
		if got := l.dump(out); got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", c.summary, got, c.want)
		}
	}
}

func TestUnpackCompressed(t *testing.T) {
	data := archive(t, reg("a", "hello"))
	compress := func(open func(io.Writer) (io.WriteCloser, error)) string {
		var b bytes.Buffer
		w, err := open(&b)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	gz := compress(func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil })
	for _, c := range []struct{ summary, data, err string }{
		{"plain", string(data), ""},
		{"gzip", gz, ""},
		{"xz", compress(func(w io.Writer) (io.WriteCloser, error) { return xz.NewWriter(w) }), ""},
		{"zstd", compress(func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w) }), ""},
		{"bzip2", bzip2Archive, ""},
		{"truncated", gz[:len(gz)-10], "EOF"},
		{"not an archive", "hello, this is only a text that goes on and on" + strings.Repeat(".", 600), "tar"},
		{"too short", "BZ", "EOF"},
		{"only magic", "\xfd7zXZ\x00", "xz compression"},
	} {
		l := newLab(t)
		item := l.item("a", map[string]string{"": c.data})
		out, err := l.build(derivation.Derivation{Builder: "unpack", Env: map[string]string{"archive": item, "strip": "0"}})
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: error %v, want %q", c.summary, err, c.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.summary, err)
		} else if got := l.dump(out); got != "a hello" {
			t.Errorf("%s: %q", c.summary, got)
		}
	}
}

// endless is a file of zeros that claims any size.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func TestUnpackRefusesBombs(t *testing.T) {
	var head bytes.Buffer
	w := tar.NewWriter(&head)
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "zeros", Size: 1 << 40, Mode: 0o644}); err != nil {
		t.Fatal(err)
	}
	err := unpack(t.Context(), io.MultiReader(&head, endless{}), 10<<20, 0, filepath.Join(t.TempDir(), "out"))
	if !errors.Is(err, ErrUnsafe) || !strings.Contains(err.Error(), "grows more than") {
		t.Errorf("error %v", err)
	}
	x := &extraction{left: 3 * entrySize}
	for range 3 {
		if err := x.spend(entrySize); err != nil {
			t.Fatal(err)
		}
	}
	if err := x.spend(entrySize); !errors.Is(err, ErrUnsafe) {
		t.Errorf("endless entries: %v", err)
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add(archive(f, dir("p/"), reg("p/a", "x"), link("p/l", "a"), hard("p/h", "p/a")), 1)
	f.Add(archive(f, link("l", ".."), reg("l/x", "1")), 0)
	f.Add(archive(f, link("a", "b"), link("b", "a"), reg("a/../x", "1")), 0)
	f.Add([]byte(bzip2Archive), 0)
	var z bytes.Buffer
	w, _ := zstd.NewWriter(&z)
	_, _ = w.Write(archive(f, reg("a", "x")))
	_ = w.Close()
	f.Add(z.Bytes(), 0)
	f.Fuzz(func(t *testing.T, data []byte, strip int) {
		if strip < 0 || strip > 3 || bytes.HasPrefix(data, []byte{0xfd, '7'}) {
			return
		}
		top := t.TempDir()
		out := filepath.Join(top, "a", "b", "out")
		if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
			t.Fatal(err)
		}
		_ = unpack(t.Context(), bytes.NewReader(data), 1<<20, strip, out)
		// Whatever happened, it happened in out, and no link leads out of it.
		for _, d := range []string{top, filepath.Join(top, "a"), filepath.Join(top, "a", "b")} {
			if entries, err := os.ReadDir(d); err != nil || len(entries) > 1 {
				t.Fatalf("%s holds %v, %v", d, entries, err)
			}
		}
		err := filepath.WalkDir(out, func(file string, e os.DirEntry, err error) error {
			if err != nil || e.Type()&os.ModeSymlink == 0 {
				return nil
			}
			if real, err := filepath.EvalSymlinks(file); err == nil && real != out && !strings.HasPrefix(real, out+"/") {
				t.Errorf("%s leads to %s", file, real)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

// bzip2Archive is a tar archive of the file a, which says hello: there is no
// writer for this format here.
const bzip2Archive = "" +
	"\x42\x5a\x68\x39\x31\x41\x59\x26\x53\x59\x33\xc8\x27\x48\x00\x00\x6f\xfb\x84\xc9\x00\x00\x42\x40" +
	"\x00\x67\x80\x00\x00\xe2\x44\x9e\x00\x00\x00\x80\x08\x20\x00\x54\x34\x80\x00\x00\x68\x24\x85\x34" +
	"\x06\xd4\x03\x41\x6f\xb7\xca\x21\x08\x3b\xa0\x09\x15\x30\x96\x9c\x68\x4b\x24\x81\xc1\x87\xb3\xbc" +
	"\x24\xb8\x82\x09\xa3\xe1\x75\x21\x98\x6a\x46\x2d\xb3\xe7\x45\x86\x46\xe1\xc3\x58\x33\x61\x11\x01" +
	"\xf1\x77\x24\x53\x85\x09\x03\x3c\x82\x74\x80"
