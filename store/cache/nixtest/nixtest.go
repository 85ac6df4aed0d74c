// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

// Package nixtest runs the real Nix, where it is installed, on a store of its
// own with our store dir, and compares what it says with ours.
//
// It owns how Nix is called, and the vectors: what Nix said once, in a file of
// the tests, which stands for Nix where that is absent. It knows nothing of
// what is compared. Start with [New], or with [Find] and [Vectors].
package nixtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
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
	if tool := missing(); tool != "" {
		t.Skipf("SKIP-ENV: %s is not installed, so nothing is compared with Nix here (Debian package nix-bin); the vectors still are", tool)
	}
	return start(t)
}

// Find is New for tests that go on without Nix, with its vectors: it returns
// nil then.
func Find(t testing.TB) *Nix {
	t.Helper()
	if tool := missing(); tool != "" {
		t.Logf("SKIP-ENV: %s is not installed, so only the vectors that Nix made stand for it (Debian package nix-bin)", tool)
		return nil
	}
	return start(t)
}

func missing() string {
	for _, tool := range []string{"nix", "nix-store", "nix-instantiate", "nix-build", "nix-hash"} {
		if _, err := exec.LookPath(tool); err != nil {
			return tool
		}
	}
	return ""
}

func start(t testing.TB) *Nix {
	t.Helper()
	dir := folder(t)
	n := &Nix{t: t, Home: dir, URI: uri(dir+"/phys", dir+"/var", dir+"/log")}
	n.Write("etc/nix.conf", "sandbox = false\nbuild-users-group =\nexperimental-features = nix-command ca-derivations\nsubstituters =\n")
	return n
}

// folder is in memory, where there is such a place: Nix syncs much.
func folder(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "osbuild-nix-")
	if err != nil {
		dir = t.TempDir()
	}
	t.Cleanup(func() {
		// An ordinary user can delete nothing from the folders of items.
		_ = filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
			if err == nil && e.IsDir() {
				err = os.Chmod(path, 0o755)
			}
			return err
		})
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func uri(real, state, log string) string {
	return fmt.Sprintf("local?store=%s&real=%s&state=%s&log=%s", store.Dir, real, state, log)
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
func (n *Nix) Try(tool string, args ...string) (string, error) { return n.Feed(nil, tool, args...) }

// Feed is Try for a tool that reads.
func (n *Nix) Feed(stdin []byte, tool string, args ...string) (string, error) {
	cmd := exec.Command(tool, args...)
	cmd.Dir = n.Home
	cmd.Env = append(os.Environ(), "NIX_REMOTE=local", "NIX_CONF_DIR="+n.Home+"/etc", "NIX_STATE_DIR="+n.Home+"/state", "NIX_STORE_DIR="+store.Dir, "HOME="+n.Home)
	cmd.Stdin = bytes.NewReader(stdin)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return string(out), fmt.Errorf("%s %.1000q: %w\n%s", tool, args, err, errs.Bytes())
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

// Store runs nix-store on the peer's store and gives the words that it prints.
func (n *Nix) Store(args ...string) []string {
	n.t.Helper()
	return strings.Fields(n.Run("nix-store", append([]string{"--store", n.URI}, args...)...))
}

// List evaluates an expression that gives a list of texts and writes what it
// names to the store.
func (n *Nix) List(expr string) (list []string) {
	n.t.Helper()
	out := n.Run("nix-instantiate", "--store", n.URI, "--eval", "--strict", "--json", "--read-write-mode", n.Write("list.nix", expr))
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		n.t.Fatal(err)
	}
	return list
}

// Infos gives what Nix knows of items, in their order.
func (n *Nix) Infos(paths ...string) []store.Info {
	n.t.Helper()
	if len(paths) == 0 {
		return nil
	}
	var list []struct {
		Path       store.Path
		NarHash    string
		NarSize    int64
		References []store.Path
		CA         string
	}
	if err := json.Unmarshal([]byte(n.Run("nix", append([]string{"path-info", "--json", "--store", n.URI}, paths...)...)), &list); err != nil {
		n.t.Fatal(err)
	}
	infos := make(map[string]store.Info, len(list))
	for _, e := range list {
		h, err := store.ParseHash(e.NarHash)
		if err != nil {
			n.t.Fatal(err)
		}
		slices.Sort(e.References)
		infos[string(e.Path)] = store.Info{Path: e.Path, NarHash: h, NarSize: e.NarSize, References: e.References, CA: e.CA}
	}
	out := make([]store.Info, len(paths))
	for k, p := range paths {
		out[k] = infos[p]
	}
	return out
}

// Describe is a line with all that follows from an item's content.
func Describe(i store.Info) string {
	return strings.TrimSpace(fmt.Sprintf("%s %s %d %s %q", i.Path, i.NarHash.Base32(), i.NarSize, i.CA, i.References))
}

// DescribeAll describes each of them.
func DescribeAll(infos []store.Info) []string {
	lines := make([]string, len(infos))
	for k, i := range infos {
		lines[k] = Describe(i)
	}
	return lines
}

// Load gives Nix the tree of a store of ours with our infos, as dump-db prints
// them, and returns a peer that works on it.
func (n *Nix) Load(s *store.Store) *Nix {
	n.t.Helper()
	infos, err := s.Infos()
	if err != nil {
		n.t.Fatal(err)
	}
	var db bytes.Buffer
	for _, i := range infos {
		fmt.Fprintf(&db, "%s\n%s\n%d\n\n%d\n", i.Path, i.NarHash.Hex(), i.NarSize, len(i.References))
		for _, r := range i.References {
			fmt.Fprintln(&db, r)
		}
	}
	state, err := os.MkdirTemp(n.Home, "ours-")
	if err != nil {
		n.t.Fatal(err)
	}
	on := *n
	on.URI = uri(s.Root()+"/store", state, state+"/log")
	if _, err := on.Feed(db.Bytes(), "nix-store", "--store", on.URI, "--load-db"); err != nil {
		n.t.Fatal(err)
	}
	return &on
}

// Vectors returns what Nix says, line by line. ask, which is nil where Nix is
// absent, asks it; a file keeps the answer and stands for it otherwise, and
// must not differ from it. update writes the file.
func Vectors(t testing.TB, file string, update bool, ask func() []string) []string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil && !(update && errors.Is(err, fs.ErrNotExist)) {
		t.Fatal(err)
	}
	kept := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	if ask == nil {
		return kept
	}
	now := ask()
	switch {
	case update:
		err := os.MkdirAll(filepath.Dir(file), 0o755)
		if err := errors.Join(err, os.WriteFile(file, []byte(strings.Join(now, "\n")+"\n"), 0o644)); err != nil {
			t.Fatal(err)
		}
	case !slices.Equal(kept, now):
		t.Errorf("Nix says something else than %s keeps (go test -update writes it anew):\n%s", file, firstDifference(kept, now))
	}
	return now
}

func firstDifference(kept, now []string) string {
	for k := range max(len(kept), len(now)) {
		var a, b string
		if k < len(kept) {
			a = kept[k]
		}
		if k < len(now) {
			b = now[k]
		}
		if a != b {
			return fmt.Sprintf("line %d is %q, and now %q", k+1, a, b)
		}
	}
	return ""
}
