// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package cache_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"osbuild/store"
	"osbuild/store/cache"
	"osbuild/store/cache/signature"
)

// nix is a peer: the real tools on a store of their own with our store dir.
type nix struct {
	t    testing.TB
	home string
	uri  string
}

func newNix(t testing.TB) *nix {
	t.Helper()
	for _, tool := range []string{"nix", "nix-store", "nix-instantiate"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("SKIP-ENV: %s is not installed, so caches are not shared with Nix (Debian package nix-bin); the golden texts still are read", tool)
		}
	}
	dir := t.TempDir()
	n := &nix{t: t, home: dir, uri: fmt.Sprintf("local?store=%s&real=%[2]s/phys&state=%[2]s/var&log=%[2]s/log", store.Dir, dir)}
	n.write("etc/nix.conf", "sandbox = false\nbuild-users-group =\nexperimental-features = nix-command ca-derivations\nsubstituters =\n")
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

func (n *nix) write(name, text string) string {
	n.t.Helper()
	path := filepath.Join(n.home, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		n.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		n.t.Fatal(err)
	}
	return path
}

func (n *nix) try(tool string, args ...string) (string, error) {
	cmd := exec.Command(tool, args...)
	cmd.Dir = n.home
	cmd.Env = append(os.Environ(), "NIX_REMOTE=local", "NIX_CONF_DIR="+n.home+"/etc", "NIX_STATE_DIR="+n.home+"/state", "NIX_STORE_DIR="+store.Dir, "HOME="+n.home)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return string(out), fmt.Errorf("%s %q: %w\n%s", tool, args, err, errs.Bytes())
	}
	return string(out), nil
}

func (n *nix) run(tool string, args ...string) string {
	n.t.Helper()
	out, err := n.try(tool, args...)
	if err != nil {
		n.t.Fatal(err)
	}
	return out
}

// items makes a chain of texts and a tree, all of them with addresses, and an
// item without one; it gives the top of the former, and the latter.
func (n *nix) items() (addressed, plain store.Path) {
	n.t.Helper()
	n.write("tree/bin/x", "#!/bin/sh\n")
	n.write("tree/share/zeros", strings.Repeat("\x00", 300_000))
	tree := strings.TrimSpace(n.run("nix-store", "--store", n.uri, "--add", n.home+"/tree"))
	out := n.run("nix-instantiate", "--store", n.uri, "--eval", "--read-write-mode", "-E", fmt.Sprintf(
		`builtins.toFile "top" "a text that needs ${builtins.toFile "dep" "a text"} and ${builtins.storePath %s}"`, tree))
	if err := json.Unmarshal([]byte(out), &addressed); err != nil {
		n.t.Fatal(err)
	}
	// Nothing is built for it: a plain path with a name that we choose.
	n.run("nix-store", "--store", n.uri, "--add", n.home+"/tree")
	return addressed, n.inputAddressed()
}

// inputAddressed builds an item whose path follows from its inputs.
func (n *nix) inputAddressed() store.Path {
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		return ""
	}
	file := n.write("plain.nix", fmt.Sprintf(`derivation { name = "plain"; system = builtins.currentSystem; builder = %q; args = [ "sh" "-c" "echo built > $out" ]; }`, busybox))
	out, err := n.try("nix-build", "--store", n.uri, "--no-out-link", "--option", "sandbox", "true", "--option", "sandbox-paths", busybox, file)
	if err != nil {
		return ""
	}
	return store.Path(strings.TrimSpace(out))
}

// TestNixCopyTo reads what `nix copy --to file://` wrote, compressed in each
// way, signed and not.
func TestNixCopyTo(t *testing.T) {
	n := newNix(t)
	addressed, plain := n.items()
	n.run("nix-store", "--generate-binary-cache-key", "nix-1", n.home+"/sec", n.home+"/pub")
	public, err := os.ReadFile(n.home + "/pub")
	if err != nil {
		t.Fatal(err)
	}
	trust, err := signature.ParseTrust(string(public))
	if err != nil {
		t.Fatal(err)
	}
	for _, compression := range []string{"xz", "zstd", "none", "gzip", "bzip2"} {
		for _, key := range []string{"", "&secret-key=" + n.home + "/sec"} {
			dir := filepath.Join(t.TempDir(), "cache")
			to := newRoot(t)
			args := []string{"copy", "--from", n.uri, "--to", "file://" + dir + "?write-nar-listing=true&compression=" + compression + key, string(addressed)}
			if plain != "" {
				args = append(args, string(plain))
			}
			n.run("nix", args...)
			p := &cache.Puller{Store: to.store, Caches: []*cache.Cache{folder(t, dir)}, Trust: trust}
			if _, err := p.Pull(t.Context(), to.lease, addressed); err != nil {
				t.Errorf("%s%s: %v", compression, key, err)
			}
			if got := to.all(); len(got) != 3 {
				t.Errorf("%s%s: %q", compression, key, got)
			}
			if plain == "" {
				t.Log("SKIP-ENV: Nix cannot build in its sandbox here, so no item without a content address is pulled from it")
			} else if _, err := p.Pull(t.Context(), to.lease, plain); (err == nil) != (key != "") {
				t.Errorf("%s%s: an item without content address: %v", compression, key, err)
			}
			to.verify()
		}
	}
}

// TestNixCopyFrom lets Nix read what we push: unsigned, into a fresh store.
func TestNixCopyFrom(t *testing.T) {
	from := newRoot(t)
	top := from.closure()
	for _, compression := range []string{"zstd", "gzip", "none"} {
		n := newNix(t)
		dir := filepath.Join(t.TempDir(), "cache")
		push(t, from, folder(t, dir), cache.PushOptions{Compression: compression, Listings: true}, top)
		n.run("nix", "copy", "--from", "file://"+dir, "--to", n.uri, string(top))
		n.run("nix", "store", "verify", "--store", n.uri, "--all", "--no-trust")
		got := strings.Fields(n.run("nix-store", "--store", n.uri, "-qR", string(top)))
		var want []string
		for _, p := range from.all() {
			want = append(want, string(p))
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", compression, got, want)
		}
		for _, p := range from.all() {
			if out := n.run("nix", "store", "ls", "--recursive", "--store", "file://"+dir, string(p)); p.Name() == "self" && !strings.Contains(out, "bin/me") {
				t.Errorf("%s: the listing: %s", compression, out)
			}
		}
	}
}

// TestNixSignature lets Nix take an item that only our signature vouches for.
func TestNixSignature(t *testing.T) {
	n := newNix(t)
	_, plain := n.items()
	if plain == "" {
		t.Skip("SKIP-ENV: Nix cannot build in its sandbox here, so it makes no item that needs a signature")
	}
	theirs, ours := filepath.Join(t.TempDir(), "cache"), filepath.Join(t.TempDir(), "cache")
	n.run("nix", "copy", "--from", n.uri, "--to", "file://"+theirs, string(plain))
	between := newRoot(t)
	c := folder(t, theirs)
	c.Trusted = true
	p := &cache.Puller{Store: between.store, Caches: []*cache.Cache{c}}
	if _, err := p.Pull(t.Context(), between.lease, plain); err != nil {
		t.Fatal(err)
	}
	secret, err := signature.Generate("ours-1")
	if err != nil {
		t.Fatal(err)
	}
	push(t, between, folder(t, ours), cache.PushOptions{Key: &secret}, plain)
	fresh := newNix(t)
	args := []string{"copy", "--from", "file://" + ours, "--to", fresh.uri, string(plain)}
	if _, err := fresh.try("nix", args...); err == nil {
		t.Error("Nix takes it without a trusted key")
	}
	fresh.run("nix", append([]string{"--option", "trusted-public-keys", secret.Public().String()}, args...)...)
	fresh.run("nix", "store", "verify", "--store", fresh.uri, "--all", "--trusted-public-keys", secret.Public().String())
}
