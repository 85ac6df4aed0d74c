// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"osbuild/store"
)

// archive writes texts as an archive holds them.
func archive(words ...string) []byte {
	var b []byte
	for _, w := range append([]string{"nix-archive-1"}, words...) {
		b = binary.LittleEndian.AppendUint64(b, uint64(len(w)))
		b = append(b, w...)
		b = append(b, make([]byte, -len(w)&7)...)
	}
	return b
}

// folderOf are the words of a folder of empty files of these names.
func folderOf(names ...string) []string {
	words := []string{"(", "type", "directory"}
	for _, n := range names {
		words = append(words, "entry", "(", "name", n, "node", "(", "type", "regular", "contents", "", ")", ")")
	}
	return append(words, ")")
}

// nestedFolders are the words of n folders, one in the other.
func nestedFolders(n int) (words []string) {
	for range n - 1 {
		words = append(words, "(", "type", "directory", "entry", "(", "name", "d", "node")
	}
	words = append(words, folderOf()...)
	for range n - 1 {
		words = append(words, ")", ")")
	}
	return words
}

// What no item may be is refused on each way into the store, with the reason
// and, where there is one, the way out; and nothing is registered or left.
func TestRefusals(t *testing.T) {
	deep := strings.Repeat("d/", 63) + "d"
	for _, test := range []struct {
		summary string
		// One of them: what lies at a place, an archive, or a name.
		tree    func(t *testing.T, dir string) error
		archive []string
		name    string
		want    string // TREE is the place
	}{
		{summary: "its own digest in the name of a file", tree: func(t *testing.T, dir string) error {
			return os.MkdirAll(dir+"/lib/x-"+scratchA.Digest()+".d", 0o755)
		}, want: "cannot add the output out to the store: the name of TREE/lib/x-" + scratchA.Digest() + ".d holds the digest of the output itself, so that no address can be derived from the content (let the builder choose another name)"},
		{summary: "64 folders deep", tree: func(t *testing.T, dir string) error { return os.MkdirAll(filepath.Join(dir, deep), 0o755) }, want: "cannot add the output out to the store: cannot archive TREE/" + deep + ": it is nested 64 folders deep, and the format ends there"},
		{summary: "a named pipe", tree: func(t *testing.T, dir string) error {
			return errors.Join(os.Mkdir(dir, 0o755), unix.Mkfifo(dir+"/p", 0o644))
		}, want: "cannot add the output out to the store: cannot archive TREE/p: it is a device, named pipe or socket, and only files, folders and links can be kept (leave it out, or remove it)"},
		{summary: "a socket", tree: func(t *testing.T, dir string) error {
			if err := os.Mkdir(dir, 0o755); err != nil {
				return err
			}
			t.Chdir(dir) // the name of a socket is short
			l, err := net.Listen("unix", "s")
			if err == nil {
				t.Cleanup(func() { l.Close() })
			}
			return err
		}, want: "cannot add the output out to the store: cannot archive TREE/s: it is a device, named pipe or socket, and only files, folders and links can be kept (leave it out, or remove it)"},
		{summary: "a device", tree: func(t *testing.T, dir string) error {
			return errors.Join(os.Mkdir(dir, 0o755), unix.Mknod(dir+"/null", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
		}, want: "cannot add the output out to the store: cannot archive TREE/null: it is a device, named pipe or socket, and only files, folders and links can be kept (leave it out, or remove it)"},

		{summary: "unsorted entries", archive: folderOf("b", "a"), want: "malformed archive: \"a\" follows \"b\", but entries must be sorted"},
		{summary: "an entry twice", archive: folderOf("a", "a"), want: "malformed archive: \"a\" follows \"a\", but entries must be sorted"},
		{summary: "an archive of 65 folders", archive: nestedFolders(65), want: "malformed archive: \"" + deep + "\" is nested 64 folders deep"},
		{summary: "a name of 256 bytes", archive: folderOf(strings.Repeat("n", 256)), want: "malformed archive: a string has 256 bytes where at most 255 are allowed"},
		{summary: "a target of 4096 bytes", archive: []string{"(", "type", "symlink", "target", strings.Repeat("t", 4096), ")"}, want: "malformed archive: a string has 4096 bytes where at most 4095 are allowed"},
		{summary: "a name that leads up", archive: folderOf(".."), want: "malformed archive: an entry is named \"..\""},
		{summary: "a name with a slash", archive: folderOf("a/b"), want: "malformed archive: the name \"a/b\" holds a slash or a NUL"},
		{summary: "fields in another order", archive: []string{"(", "contents", "", "type", "regular", ")"}, want: "malformed archive: \"contents\" stands where [\"type\"] is expected"},
		{summary: "a file of no type that can be kept", archive: []string{"(", "type", "fifo", ")"}, want: "malformed archive: \"fifo\" stands where [\"regular\" \"directory\" \"symlink\"] is expected"},
		{summary: "more behind the archive", archive: append(folderOf(), "x"), want: "malformed archive: 16 bytes follow its end"},

		{summary: "a name of 212 characters", name: strings.Repeat("n", 212), want: "cannot name a store item: the name \"" + strings.Repeat("n", 212) + "\" is longer than 211 characters"},
		{summary: "a name with a space", name: "a b", want: "cannot name a store item: the name \"a b\" holds ' ': only letters, digits and +-._?= may occur (give another one with --name)"},
	} {
		t.Run(test.summary, func(t *testing.T) {
			s := open(t)
			l := lease(t, s)
			temp, err := l.TempDir()
			if err != nil {
				t.Fatal(err)
			}
			dir := temp + "/tree"
			switch {
			case test.tree != nil:
				if err := test.tree(t, dir); errors.Is(err, unix.EPERM) {
					t.Skip("SKIP-ENV: not root in its own user namespace, so no device can be made")
				} else if err != nil {
					t.Fatal(err)
				}
				// The same of a tree of the user's, but for the digest, which is
				// nothing to it.
				_, asUser := s.AddTree(context.Background(), l, "tree", dir, nil)
				refused := asUser != nil && (strings.Contains(asUser.Error(), "can be kept") || strings.Contains(asUser.Error(), "64 folders deep"))
				if refused == strings.Contains(test.want, "digest") {
					t.Errorf("a tree of the user: %v", asUser)
				}
				_, err = s.AddOutput(context.Background(), l, store.Output{Name: "out", Physical: dir, Scratch: scratchA})
			case test.archive != nil:
				b := archive(test.archive...)
				p, perr := store.SourcePath("x", sha256.Sum256(b), nil, false)
				if perr != nil {
					t.Fatal(perr)
				}
				i := store.Info{Path: p, NarHash: sha256.Sum256(b), NarSize: int64(len(b)), CA: "fixed:r:sha256:" + store.Hash(sha256.Sum256(b)).Base32()}
				test.want = "cannot unpack " + string(p) + ": not what it says it is: " + test.want
				_, err = s.Unpack(context.Background(), l, i, bytes.NewReader(b))
			default:
				_, err = s.AddText(context.Background(), l, test.name, nil, nil)
			}
			if want := strings.ReplaceAll(test.want, "TREE", dir); err == nil || err.Error() != want {
				t.Errorf("got  %v\nwant %s", err, want)
			}
			if all, err := s.All(); err != nil || len(all) > 0 && test.summary != "its own digest in the name of a file" {
				t.Errorf("registered %q, %v", all, err)
			}
			mustVerify(t, s)
		})
	}
}
