// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

// Package nixtest runs the real Nix, where it is installed, on a store of its
// own with our store dir, so that tests can share with it. Start with [New].
package nixtest

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"osbuild/store"
)

// Nix is a peer: the real tools on a store of their own.
type Nix struct {
	t testing.TB
	// Home is a folder for files of the test.
	Home string
	// URI is the store, as Nix names it.
	URI string
}

// New makes a peer with an empty store, or skips the test.
func New(t testing.TB) *Nix {
	t.Helper()
	for _, tool := range []string{"nix", "nix-store", "nix-instantiate"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("SKIP-ENV: %s is not installed, so caches are not shared with Nix (Debian package nix-bin); the golden texts still are read", tool)
		}
	}
	dir := t.TempDir()
	n := &Nix{t: t, Home: dir, URI: fmt.Sprintf("local?store=%s&real=%[2]s/phys&state=%[2]s/var&log=%[2]s/log", store.Dir, dir)}
	n.Write("etc/nix.conf", "sandbox = false\nbuild-users-group =\nexperimental-features = nix-command ca-derivations\nsubstituters =\n")
	t.Cleanup(func() {
		_ = filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
			if err == nil && e.IsDir() {
				err = os.Chmod(path, 0o755)
			}
			return err
		})
	})
	return n
}

// Write writes a file below Home and gives its path.
func (n *Nix) Write(name, text string) string {
	n.t.Helper()
	path := filepath.Join(n.Home, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		n.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		n.t.Fatal(err)
	}
	return path
}

// Try runs a tool and gives its output.
func (n *Nix) Try(tool string, args ...string) (string, error) {
	cmd := exec.Command(tool, args...)
	cmd.Dir = n.Home
	cmd.Env = append(os.Environ(), "NIX_REMOTE=local", "NIX_CONF_DIR="+n.Home+"/etc", "NIX_STATE_DIR="+n.Home+"/state", "NIX_STORE_DIR="+store.Dir, "HOME="+n.Home)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return string(out), fmt.Errorf("%s %q: %w\n%s", tool, args, err, errs.Bytes())
	}
	return string(out), nil
}

// Run is Try for what must succeed.
func (n *Nix) Run(tool string, args ...string) string {
	n.t.Helper()
	out, err := n.Try(tool, args...)
	if err != nil {
		n.t.Fatal(err)
	}
	return out
}
