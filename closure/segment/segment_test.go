// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package segment_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"osbuild/closure/oci/ocitest"
	"osbuild/closure/segment"
)

// content is text of some length that does not compress to nothing.
func content(size int) []byte {
	var b bytes.Buffer
	for i := 0; b.Len() < size; i++ {
		sum := sha256.Sum256(fmt.Append(nil, i))
		fmt.Fprintf(&b, "line %d says %x\n", i, sum[:i%8])
	}
	return b.Bytes()[:size]
}

func write(t *testing.T, dir, name string, text []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// sample is one of everything, in two pieces.
func sample(t *testing.T) [][]segment.Entry {
	dir := t.TempDir()
	small, large, empty := []byte("hello\n"), content(1<<20+77), []byte(nil)
	file := func(path string, mode uint32, text []byte) segment.Entry {
		return segment.Entry{
			Path: path, Type: segment.Regular, Mode: mode, Size: int64(len(text)),
			Source: write(t, dir, strings.ReplaceAll(path, "/", "_")[max(0, len(path)-200):], text),
		}
	}
	su := file("a/su", 0o4755, small)
	su.GID = 42
	return [][]segment.Entry{
		{
			{Path: "a", Type: segment.Directory, Mode: 0o755},
			file("a/empty", 0o644, empty),
			{Path: "a/link", Type: segment.Symlink, Target: "../b", Mode: 0o644},
			su,
			{Path: "a/tmp", Type: segment.Directory, Mode: 0o1777, UID: 1, GID: 2},
		},
		{
			{Path: "b", Type: segment.Directory, Mode: 0o555},
			file("b/large", 0o444, large),
			file("b/"+strings.Repeat("long", 50), 0o444, small),
			file("b/ünïcode", 0o444, small),
			{Path: "b/wide", Type: segment.Symlink, Target: strings.Repeat("../wide/", 30)},
		},
	}
}

// archive writes pieces and an end.
func archive(t *testing.T, f segment.Format, pieces [][]segment.Entry) (plain, packed []byte) {
	t.Helper()
	e, err := segment.NewEncoder(f)
	if err != nil {
		t.Fatal(err)
	}
	var p, q bytes.Buffer
	for _, entries := range pieces {
		if err := e.Write(context.Background(), &p, &q, entries); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.End(&p, &q); err != nil {
		t.Fatal(err)
	}
	return p.Bytes(), q.Bytes()
}

const listing = `dir 0755 a
file 0644 e3b0c442 a/empty
link a/link -> ../b
file 4755 5891b5b5 0:42 a/su
dir 1777 1:2 a/tmp
dir 0555 b
file 0444 dee1aa22 b/large
file 0444 5891b5b5 b/longlonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglong
file 0444 5891b5b5 b/ünïcode
link b/wide -> ../wide/../wide/../wide/../wide/../wide/../wide/../wide/../wide/../wide/../wide/../wide/../wide/../wide/../wide/../wide/../wide/../wide/../wide/../wide/../wide/../wide/../wide/../wide/../wide/../wide/../wide/../wide/../wide/../wide/../wide/
`

// TestArchive writes one of everything and holds the bytes against those of
// earlier versions: whoever changes them makes everybody pull everything again.
func TestArchive(t *testing.T) {
	digest := func(b []byte) string {
		sum := sha256.Sum256(b)
		return hex.EncodeToString(sum[:8])
	}
	want := map[segment.Format]string{segment.Zstd: "3c284ef0e022afbe", segment.Gzip: "412859f232b70cbf"}
	for f, packedWant := range want {
		pieces := sample(t)
		plain, packed := archive(t, f, pieces)
		if got := digest(plain); got != "653ad93a6e1dca88" {
			t.Errorf("%s: the archive has the digest %s", f, got)
		}
		if got := digest(packed); got != packedWant {
			t.Errorf("%s: the compressed archive has the digest %s", f, got)
		}
		if unpacked := unpack(t, f, packed); !bytes.Equal(unpacked, plain) {
			t.Errorf("%s: unpacks to something else", f)
		}
		files, err := ocitest.Entries(plain)
		if err != nil {
			t.Fatal(err)
		}
		var got strings.Builder
		for _, file := range files {
			fmt.Fprintln(&got, file)
			if file.Time != 1 {
				t.Errorf("%s has the time %d", file.Path, file.Time)
			}
		}
		if d := cmp.Diff(listing, got.String()); d != "" {
			t.Errorf("%s: listing (-want +got):\n%s", f, d)
		}
	}
}

func unpack(t *testing.T, f segment.Format, packed []byte) []byte {
	t.Helper()
	var r io.Reader
	if f == segment.Zstd {
		// What every reader must be able to take.
		d, err := zstd.NewReader(bytes.NewReader(packed), zstd.WithDecoderMaxWindow(8<<20))
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		r = d
	} else {
		d, err := gzip.NewReader(bytes.NewReader(packed))
		if err != nil {
			t.Fatal(err)
		}
		r = d
	}
	plain, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return plain
}

// TestPieces makes the same pieces with one encoder and with one each, and in
// another order: a piece's bytes depend on nothing but its entries.
func TestPieces(t *testing.T) {
	pieces := sample(t)
	for _, f := range []segment.Format{segment.Zstd, segment.Gzip} {
		one := func(e *segment.Encoder, entries []segment.Entry) string {
			var plain, packed bytes.Buffer
			if err := e.Write(context.Background(), &plain, &packed, entries); err != nil {
				t.Fatal(err)
			}
			return packed.String()
		}
		shared, err := segment.NewEncoder(f)
		if err != nil {
			t.Fatal(err)
		}
		a, b := one(shared, pieces[0]), one(shared, pieces[1])
		for i, want := range []string{a, b} {
			own, err := segment.NewEncoder(f)
			if err != nil {
				t.Fatal(err)
			}
			if one(own, pieces[i]) != want || one(shared, pieces[i]) != want {
				t.Errorf("%s: piece %d has other bytes from another encoder", f, i)
			}
		}
		_, whole := archive(t, f, pieces)
		if !strings.HasPrefix(string(whole), a+b) {
			t.Errorf("%s: an archive is not its pieces", f)
		}
	}
}

func TestBadEntries(t *testing.T) {
	source := write(t, t.TempDir(), "f", []byte("four"))
	for _, test := range []struct {
		summary string
		entry   segment.Entry
		want    string
	}{
		{"absolute", segment.Entry{Path: "/a", Type: segment.Directory}, "not relative and clean"},
		{"dot segments", segment.Entry{Path: "a/../b", Type: segment.Directory}, "not relative and clean"},
		{"the root", segment.Entry{Path: ".", Type: segment.Directory}, "not relative and clean"},
		{"not UTF-8", segment.Entry{Path: "a/\xc3(\x1b[31m", Type: segment.Directory}, `cannot put "/a/\xc3(\x1b[31m" into an image: names in images are UTF-8`},
		{"a link that is not UTF-8", segment.Entry{Path: "a", Type: segment.Symlink, Target: "\xff"}, "UTF-8"},
		{"a whiteout", segment.Entry{Path: "a/.wh.b", Type: segment.Directory}, "mean that a file is deleted"},
		{"no kind", segment.Entry{Path: "a"}, "unknown kind"},
		{"a device", segment.Entry{Path: "a", Type: '3'}, "unknown kind"},
		{"a mode with type bits", segment.Entry{Path: "a", Type: segment.Directory, Mode: 0o40755}, "cannot be"},
		{"an owner below root", segment.Entry{Path: "a", Type: segment.Directory, UID: -1}, "cannot be"},
		{"an empty link", segment.Entry{Path: "a", Type: segment.Symlink}, "says nothing"},
		{"a NUL", segment.Entry{Path: "a\x00b", Type: segment.Directory}, "NUL"},
		{"a file that is not there", segment.Entry{Path: "a", Type: segment.Regular, Source: source + "x"}, "no such file"},
		{"a file that grew", segment.Entry{Path: "a", Type: segment.Regular, Source: source, Size: 3}, "changed"},
		{"a file that shrank", segment.Entry{Path: "a", Type: segment.Regular, Source: source, Size: 5}, "changed"},
	} {
		e, err := segment.NewEncoder(segment.Zstd)
		if err != nil {
			t.Fatal(err)
		}
		err = e.Write(context.Background(), io.Discard, io.Discard, []segment.Entry{test.entry})
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want one that says %q", test.summary, err, test.want)
		}
	}
	if _, err := segment.NewEncoder("xz"); err == nil {
		t.Error("an unknown format is taken")
	}
	e, err := segment.NewEncoder(segment.Zstd)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := e.Write(ctx, io.Discard, io.Discard, []segment.Entry{{Path: "a", Type: segment.Directory}}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: error %v", err)
	}
}

// FuzzEntry writes any entry that is taken, and reads it back.
func FuzzEntry(f *testing.F) {
	f.Add("a/b", byte('5'), uint32(0o755), 0, 0, "")
	f.Add(strings.Repeat("x/", 120)+"y", byte('2'), uint32(0o777), 1<<30, 1<<22, strings.Repeat("é", 90))
	f.Add("a=b\n3 x", byte('2'), uint32(0), 65535, 100, " \t\n")
	f.Add("\xff\xfe", byte('5'), uint32(0o7777), 0, 0, "")
	e, err := segment.NewEncoder(segment.Gzip)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, path string, kind byte, mode uint32, uid, gid int, target string) {
		in := segment.Entry{Path: path, Type: segment.Type(kind), Mode: mode, UID: uid, GID: gid, Target: target}
		if in.Type == segment.Regular {
			in.Source = "/dev/null"
		}
		var plain bytes.Buffer
		if err := e.Write(context.Background(), &plain, io.Discard, []segment.Entry{in}); err != nil {
			return
		}
		if err := e.End(&plain, io.Discard); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(path, "/") {
			return // its folder is not there
		}
		files, err := ocitest.Entries(plain.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if len(files) != 1 || files[0].Path != path || files[0].UID != uid || files[0].GID != gid {
			t.Errorf("wrote %+v, read %+v", in, files)
		}
		if in.Type == segment.Symlink && files[0].Target != target || in.Type != segment.Symlink && files[0].Mode != int64(mode) {
			t.Errorf("wrote %+v, read %+v", in, files)
		}
	})
}
