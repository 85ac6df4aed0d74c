// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package nar_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"osbuild/store/nar"
)

// raw writes strings as an archive holds them; a []byte is put as it is.
func raw(parts ...any) []byte {
	var b []byte
	for _, p := range parts {
		switch p := p.(type) {
		case string:
			b = binary.LittleEndian.AppendUint64(b, uint64(len(p)))
			b = append(b, p...)
			b = append(b, make([]byte, -len(p)&7)...)
		case []byte:
			b = append(b, p...)
		}
	}
	return b
}

const magic = "nix-archive-1"

// deep is an archive of n folders, one inside the other.
func deep(n int, inner ...any) []byte {
	parts := []any{magic}
	for range n {
		parts = append(parts, "(", "type", "directory", "entry", "(", "name", "d", "node")
	}
	parts = append(parts, inner...)
	for range n {
		parts = append(parts, ")", ")")
	}
	return raw(parts...)
}

var file = []any{"(", "type", "regular", "contents", "x", ")"}

// read reads an archive to its end and writes it down, one line a node.
func read(r io.Reader) (string, error) {
	var b strings.Builder
	nr := nar.NewReader(r)
	for {
		h, err := nr.Next()
		if errors.Is(err, io.EOF) {
			return b.String(), nil
		}
		if err != nil {
			return b.String(), err
		}
		fmt.Fprintf(&b, "%q %s", h.Path, h.Type)
		switch h.Type {
		case nar.Regular:
			data, err := io.ReadAll(nr)
			if err != nil {
				return b.String(), err
			}
			fmt.Fprintf(&b, " %d %t %.20q", h.Size, h.Executable, data)
		case nar.Symlink:
			fmt.Fprintf(&b, " %s", h.Target)
		}
		b.WriteByte('\n')
	}
}

func entry(name string, node ...any) []any {
	return append(append([]any{"entry", "(", "name", name, "node"}, node...), ")")
}

func dir(entries ...[]any) []byte {
	parts := []any{magic, "(", "type", "directory"}
	for _, e := range entries {
		parts = append(parts, e...)
	}
	return raw(append(parts, ")")...)
}

func TestReader(t *testing.T) {
	size := func(n uint64) []byte { return binary.LittleEndian.AppendUint64(nil, n) }
	tests := []struct {
		summary string
		in      []byte
		want    string // the nodes, or the error if it starts with "!"
	}{
		{"file", raw(magic, "(", "type", "regular", "contents", "hello\n", ")"), "\"\" regular 6 false \"hello\\n\"\n"},
		{"executable", raw(magic, "(", "type", "regular", "executable", "", "contents", "", ")"), "\"\" regular 0 true \"\"\n"},
		{"link", raw(magic, "(", "type", "symlink", "target", "../x", ")"), "\"\" symlink ../x\n"},
		{"empty folder", dir(), "\"\" directory\n"},
		{"folder", dir(entry("a", file...), entry("b", "(", "type", "directory", ")"), entry("c", "(", "type", "symlink", "target", "a", ")")), "\"\" directory\n\"a\" regular 1 false \"x\"\n\"b\" directory\n\"c\" symlink a\n"},
		{"63 deep", deep(63, file...), ""},

		{"nothing", nil, "!ends too early"},
		{"other magic", raw("nix-archive-2"), "!\"nix-archive-2\" stands where"},
		{"unsorted", dir(entry("b", file...), entry("a", file...)), "!\"a\" follows \"b\""},
		{"twice", dir(entry("a", file...), entry("a", file...)), "!\"a\" follows \"a\""},
		{"name with a slash", dir(entry("a/b", file...)), "!slash"},
		{"name with a NUL", dir(entry("a\x00", file...)), "!NUL"},
		{"dot", dir(entry(".", file...)), "!named \".\""},
		{"dot dot", dir(entry("..", file...)), "!named \"..\""},
		{"empty name", dir(entry("", file...)), "!named \"\""},
		{"long name", dir(entry(strings.Repeat("n", 256), file...)), "!256 bytes where at most 255"},
		{"long target", raw(magic, "(", "type", "symlink", "target", strings.Repeat("t", 4096), ")"), "!at most 4095"},
		{"empty target", raw(magic, "(", "type", "symlink", "target", "", ")"), "!empty target"},
		{"64 deep", deep(64, file...), "!nested 64"},
		{"unknown type", raw(magic, "(", "type", "fifo", ")"), "!\"fifo\" stands where"},
		{"name after node", raw(magic, "(", "type", "directory", "entry", "(", "node", file, "name", "a", ")", ")"), "!\"node\" stands where"},
		{"file without contents", raw(magic, "(", "type", "regular", ")"), "!\")\" stands where"},
		{"executable with a value", raw(magic, "(", "type", "regular", "executable", "1", "contents", "", ")"), "!\"1\" stands where"},
		{"padding", append(raw(magic, "(", "type", "regular", "contents"), append(size(1), "x123456\x00"...)...), "!padding"},
		{"cut in the content", append(raw(magic, "(", "type", "regular", "contents"), append(size(100), "x"...)...), "!ends too early"},
		{"huge string", append(raw(magic, "(", "type"), size(1<<60)...), "!a string has"},
		{"huge file", append(raw(magic, "(", "type", "regular", "contents"), size(1<<63)...), "!has the size"},
		{"open folder", raw(magic, "(", "type", "directory"), "!ends too early"},
		{"two targets", raw(magic, "(", "type", "symlink", "target", "a", "target", "b", ")"), "!\"target\" stands where"},
	}
	for _, test := range tests {
		t.Run(test.summary, func(t *testing.T) {
			got, err := read(bytes.NewReader(test.in))
			if msg, bad := strings.CutPrefix(test.want, "!"); bad {
				if !errors.Is(err, nar.ErrFormat) || !strings.Contains(err.Error(), msg) {
					t.Errorf("got %v, want %q", err, msg)
				}
				return
			}
			if err != nil || test.want != "" && got != test.want {
				t.Errorf("got %v\n%s\nwant\n%s", err, got, test.want)
			}
		})
	}
}

// The reader must leave what follows the archive.
func TestReaderStops(t *testing.T) {
	r := bytes.NewReader(append(dir(entry("a", file...)), "rest"...))
	if _, err := read(r); err != nil {
		t.Fatal(err)
	}
	if rest, _ := io.ReadAll(r); string(rest) != "rest" {
		t.Errorf("%q is left", rest)
	}
	if err := nar.Restore(bytes.NewReader(append(raw(append([]any{magic}, file...)...), 0)), filepath.Join(t.TempDir(), "x")); !errors.Is(err, nar.ErrFormat) {
		t.Errorf("restore took what follows: %v", err)
	}
}

func TestRoundTrip(t *testing.T) {
	src := filepath.Join(t.TempDir(), "src")
	for _, step := range []error{
		os.MkdirAll(src+"/sub/empty", 0o755),
		os.WriteFile(src+"/a", []byte("plain"), 0o644),
		os.WriteFile(src+"/b", bytes.Repeat([]byte("0123456789"), 100_000), 0o755),
		os.WriteFile(src+"/sub/zero", nil, 0o600),
		os.Symlink("../a", src+"/sub/l"),
		os.WriteFile(src+"/sub-", nil, 0o644), // sorts before sub/ in a list of paths
	} {
		if step != nil {
			t.Fatal(step)
		}
	}
	ctx := context.Background()
	var first bytes.Buffer
	n, err := nar.Write(ctx, &first, src, nil)
	if err != nil || n != int64(first.Len()) {
		t.Fatalf("%d bytes announced, %d written, %v", n, first.Len(), err)
	}
	dst := filepath.Join(t.TempDir(), "dst")
	if err := nar.Restore(bytes.NewReader(first.Bytes()), dst); err != nil {
		t.Fatal(err)
	}
	var second bytes.Buffer
	if _, err := nar.Write(ctx, &second, dst, nil); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Error("the archive of what was restored differs")
	}
	if err := nar.Restore(bytes.NewReader(first.Bytes()), dst); !errors.Is(err, os.ErrExist) {
		t.Errorf("restoring over something: %v", err)
	}
	keep := func(rel, typ string) bool { return rel != "sub" && rel != "b" }
	var some bytes.Buffer
	if _, err := nar.Write(ctx, &some, src, keep); err != nil {
		t.Fatal(err)
	}
	if got, err := read(&some); err != nil || got != "\"\" directory\n\"a\" regular 5 false \"plain\"\n\"sub-\" regular 0 false \"\"\n" {
		t.Errorf("filtered: %v\n%s", err, got)
	}
}

// Made by nix-store --dump of a file that holds hello and a newline.
func TestGoldenArchive(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a")
	if err := os.WriteFile(path, []byte("hello\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	h, n, err := nar.Hash(context.Background(), path, nil)
	if got := hex.EncodeToString(h[:]); err != nil || n != 120 || got != goldenHello {
		t.Errorf("got %s, %d, %v", got, n, err)
	}
}

const goldenHello = "1c37d01af40be2e80691de3cc3df44377a699afbb17c68f080964b2fd071fc13"

func TestListRefuses(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mkfifo(dir+"/pipe", 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := nar.List(context.Background(), dir, nil)
	var special *nar.SpecialFileError
	if !errors.As(err, &special) || special.Path != dir+"/pipe" || special.Kind != "named pipe" {
		t.Errorf("a pipe: %v", err)
	}
	if _, err := nar.List(context.Background(), dir, func(_, typ string) bool { return typ != "special" }); err != nil {
		t.Errorf("a pipe that is left out: %v", err)
	}
	deepDir := filepath.Join(t.TempDir(), strings.Repeat("d/", 64))
	if err := os.MkdirAll(deepDir, 0o755); err != nil {
		t.Fatal(err)
	}
	top := strings.TrimSuffix(deepDir, strings.Repeat("d/", 64)[:127])
	if _, err := nar.List(context.Background(), top, nil); err == nil || !strings.Contains(err.Error(), "64 folders deep") {
		t.Errorf("a deep tree: %v", err)
	}
	if _, err := nar.List(context.Background(), filepath.Dir(top+"x")+"/missing", nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("nothing: %v", err)
	}
}

// A tree that is listed and then changed must not give a wrong archive.
func TestChangedWhileRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a")
	for _, later := range []string{"longer than before", "s"} {
		if err := os.WriteFile(path, []byte("before"), 0o644); err != nil {
			t.Fatal(err)
		}
		tree, err := nar.List(context.Background(), path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(later), 0o644); err != nil {
			t.Fatal(err)
		}
		err = tree.Encode(context.Background(), nar.NewEncoder(io.Discard), tree.FileContents(context.Background()), nil)
		if err == nil || !strings.Contains(err.Error(), "changed while it was read") {
			t.Errorf("%q: %v", later, err)
		}
	}
}

// Whatever the reader takes, the writer must give again, byte for byte.
func FuzzReader(f *testing.F) {
	f.Add(dir(entry("a", file...), entry("b", "(", "type", "directory", ")"), entry("c", "(", "type", "symlink", "target", "a", ")")))
	f.Add(raw(magic, "(", "type", "regular", "executable", "", "contents", "", ")"))
	f.Add(deep(63, file...))
	f.Fuzz(func(t *testing.T, in []byte) {
		var out bytes.Buffer
		n, err := copyArchive(&out, bytes.NewReader(in))
		if err != nil {
			if !errors.Is(err, nar.ErrFormat) {
				t.Errorf("an error that is not the format's: %v", err)
			}
			return
		}
		if !bytes.Equal(out.Bytes(), in[:n]) {
			t.Errorf("took\n%q\nand gave\n%q", in[:n], out.Bytes())
		}
	})
}

// copyArchive reads an archive and writes it again.
func copyArchive(w io.Writer, r *bytes.Reader) (int64, error) {
	size := r.Size()
	var tree nar.Tree
	contents := map[string][]byte{}
	nr := nar.NewReader(r)
	for {
		h, err := nr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return 0, err
		}
		n := nar.Node{Header: h}
		if h.Path != "" {
			n.Depth = strings.Count(h.Path, "/") + 1
		}
		if h.Type == nar.Regular {
			if contents[h.Path], err = io.ReadAll(nr); err != nil {
				return 0, err
			}
		}
		tree.Nodes = append(tree.Nodes, n)
	}
	err := tree.Encode(context.Background(), nar.NewEncoder(w), func(e *nar.Encoder, n *nar.Node) error {
		e.OpenFile(n.Size, n.Executable)
		_, err := e.Write(contents[n.Path])
		e.CloseFile(n.Size)
		return err
	}, nil)
	return size - int64(r.Len()), err
}
