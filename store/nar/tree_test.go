// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package nar_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"osbuild/store/nar"
)

// Folders of more entries than one getdents(2) returns, and targets as long
// as one can be.
func TestListWide(t *testing.T) {
	dir := t.TempDir()
	long := strings.Repeat("x", nar.MaxTarget)
	for k := range 3000 {
		folder := fmt.Sprintf("%s/d%d", dir, k%2)
		name := fmt.Sprintf("%s/%s%d", folder, strings.Repeat("n", k%200), k*7919%10_007)
		err := os.MkdirAll(folder, 0o755)
		if k%3 == 0 {
			err = errors.Join(err, os.Symlink(long, name))
		} else {
			err = errors.Join(err, os.WriteFile(name, []byte(name), 0o644))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	tree, err := nar.List(t.Context(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(tree.Nodes) != 3003 {
		t.Errorf("%d nodes", len(tree.Nodes))
	}
	last := map[string]string{}
	for k := range tree.Nodes[1:] {
		n := &tree.Nodes[k+1]
		if folder := path.Dir(n.Path); n.Base() <= last[folder] {
			t.Fatalf("%q follows %q", n.Path, last[folder])
		}
		last[path.Dir(n.Path)] = n.Base()
		switch n.Type {
		case nar.Symlink:
			if n.Target != long {
				t.Fatalf("%s: a target of %d bytes", n.Path, len(n.Target))
			}
		case nar.Regular:
			if text, err := os.ReadFile(tree.Physical(n)); err != nil || int64(len(text)) != n.Size || string(text) != tree.Physical(n) {
				t.Fatalf("%s: %d bytes, %v", n.Path, n.Size, err)
			}
		}
	}
}

// What cannot be listed is an error that names the place.
func TestListErrors(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := nar.List(ctx, t.TempDir(), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	dir := t.TempDir()
	if _, err := nar.List(t.Context(), dir+"/none", nil); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), dir+"/none") {
		t.Errorf("nothing there: %v", err)
	}
	if os.Geteuid() == 0 {
		t.Skip("SKIP-ENV: root can read every folder, so that none that cannot be read is tried")
	}
	if err := os.Mkdir(dir+"/closed", 0); err != nil {
		t.Fatal(err)
	}
	if _, err := nar.List(t.Context(), dir, nil); !errors.Is(err, os.ErrPermission) || !strings.Contains(err.Error(), dir+"/closed") {
		t.Errorf("a closed folder: %v", err)
	}
}

// A named pipe that has taken the place of a file makes nobody wait.
func TestPipeInsteadOfFile(t *testing.T) {
	file := t.TempDir() + "/file"
	if err := os.WriteFile(file, []byte("text"), 0o644); err != nil {
		t.Fatal(err)
	}
	tree, err := nar.List(t.Context(), file, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Remove(file), unix.Mkfifo(file, 0o644)); err != nil {
		t.Fatal(err)
	}
	err = tree.Encode(t.Context(), nar.NewEncoder(io.Discard), tree.FileContents(t.Context()), nil)
	if err == nil || !strings.Contains(err.Error(), "it changed while it was read") {
		t.Error(err)
	}
}
