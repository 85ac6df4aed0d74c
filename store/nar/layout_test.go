// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package nar_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"osbuild/store/nar"
)

func TestLayout(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tree")
	for name, text := range map[string]string{"a/empty": "", "a/seven": "1234567", "b": strings.Repeat("x", 100_000), "c": "!"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("a", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for _, root := range []string{dir, dir + "/b", dir + "/link", dir + "/a/empty"} {
		var want bytes.Buffer
		if _, err := nar.Write(t.Context(), &want, root, nil); err != nil {
			t.Fatal(err)
		}
		tree, err := nar.List(t.Context(), root, nil)
		if err != nil {
			t.Fatal(err)
		}
		l, err := tree.Layout(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var got bytes.Buffer
		for _, p := range l.Pieces {
			if p.Offset != int64(got.Len()) || p.Size == 0 && p.File == nil || (p.File == nil) == (p.Text == nil) {
				t.Errorf("%s: a piece at %d of %d bytes follows at %d", root, p.Offset, p.Size, got.Len())
			}
			text := p.Text
			if p.File != nil {
				if text, err = os.ReadFile(tree.Physical(p.File)); err != nil {
					t.Fatal(err)
				}
			}
			got.Write(text)
		}
		if l.Size != int64(want.Len()) || !bytes.Equal(got.Bytes(), want.Bytes()) {
			t.Errorf("%s: the pieces make %d bytes of %d, not the archive", root, got.Len(), want.Len())
		}
	}
}
