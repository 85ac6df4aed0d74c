// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package builtin

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"osbuild/builder/derivation"
	"osbuild/builder/realise"
	"osbuild/store"
)

// lab runs builtins over items that lie in a folder.
type lab struct {
	t   *testing.T
	dir string
}

func newLab(t *testing.T) *lab { return &lab{t, t.TempDir()} }

// item makes an item out of a tree: names that end in / are folders, values
// that begin with -> are links, with ! executables. The name "" makes the item
// a file.
func (l *lab) item(name string, files map[string]string) string {
	l.t.Helper()
	p, err := store.TextPath(name, fmt.Append(nil, files), nil)
	if err != nil {
		l.t.Fatal(err)
	}
	root := l.physical(p)
	for file, content := range files {
		if err := plant(filepath.Join(root, file), strings.HasSuffix(file, "/"), content); err != nil {
			l.t.Fatal(err)
		}
	}
	return string(p)
}

func plant(file string, folder bool, content string) error {
	if folder {
		return os.MkdirAll(file, 0o755)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	if target, ok := strings.CutPrefix(content, "->"); ok {
		return os.Symlink(target, file)
	}
	text, executable := strings.CutPrefix(content, "!")
	mode := fs.FileMode(0o444)
	if executable {
		mode = 0o555
	}
	return os.WriteFile(file, []byte(text), mode)
}

func (l *lab) physical(p store.Path) string { return filepath.Join(l.dir, p.Base()) }

// build runs a builtin in a new folder and gives its output.
func (l *lab) build(d derivation.Derivation) (string, error) {
	l.t.Helper()
	out := filepath.Join(l.t.TempDir(), "out")
	r := realise.Request{
		Drv: &d, Physical: l.physical, Outs: map[string]string{"out": out},
		TempDir: l.t.TempDir(), Log: io.Discard, Offline: d.Env["offline"] != "",
	}
	for _, b := range All() {
		if b.Name() == d.Builder {
			return out, b.Build(l.t.Context(), r)
		}
	}
	l.t.Fatalf("no builtin %s", d.Builder)
	return "", nil
}

// dump describes a tree, a file a line, in the words of item.
func (l *lab) dump(root string) string {
	l.t.Helper()
	var lines []string
	err := filepath.WalkDir(root, func(file string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		switch {
		case e.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(file)
			if err != nil {
				return err
			}
			lines = append(lines, rel+" -> "+target)
		case e.IsDir():
			if rel != "." {
				lines = append(lines, rel+"/")
			}
		default:
			data, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			mark := ""
			if info.Mode()&0o111 != 0 {
				mark = "!"
			}
			lines = append(lines, fmt.Sprintf("%s %s%s", rel, mark, data))
		}
		return nil
	})
	if err != nil {
		l.t.Fatal(err)
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}
