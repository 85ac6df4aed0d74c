// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package cache_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"osbuild/store"
	"osbuild/store/cache"
	"osbuild/store/cache/narinfo"
	"osbuild/store/cache/nixtest"
	"osbuild/store/cache/policy"
	"osbuild/store/cache/signature"
)

var update = flag.Bool("update", false, "let Nix write the caches in testdata/nix")

// nixItems makes a chain of texts and a tree, all of them with addresses, and an
// item without one; it gives the top of the former, and the latter.
func nixItems(t *testing.T, n *nixtest.Nix) (addressed, plain store.Path) {
	t.Helper()
	n.Write("tree/bin/x", "#!/bin/sh\n")
	n.Write("tree/share/empty", "")
	n.Write("tree/share/zeros", strings.Repeat("\x00", 300_000))
	if err := errors.Join(os.Mkdir(n.Home+"/tree/none", 0o755), os.Symlink("bin/x", n.Home+"/tree/link"), os.Chmod(n.Home+"/tree/bin/x", 0o755)); err != nil {
		t.Fatal(err)
	}
	tree := strings.TrimSpace(n.Run("nix-store", "--store", n.URI, "--add", n.Home+"/tree"))
	out := n.Run("nix-instantiate", "--store", n.URI, "--eval", "--read-write-mode", "-E", fmt.Sprintf(
		`builtins.toFile "top" "a text that needs ${builtins.toFile "dep" "a text"} and ${builtins.storePath %s}"`, tree))
	if err := json.Unmarshal([]byte(out), &addressed); err != nil {
		t.Fatal(err)
	}
	return addressed, inputAddressed(n)
}

// inputAddressed builds an item whose path follows from its inputs.
func inputAddressed(n *nixtest.Nix) store.Path {
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		return ""
	}
	file := n.Write("plain.nix", fmt.Sprintf(`derivation { name = "plain"; system = builtins.currentSystem; builder = %q; args = [ "sh" "-c" "echo built > $out" ]; }`, busybox))
	out, err := n.Try("nix-build", "--store", n.URI, "--no-out-link", "--option", "sandbox", "true", "--option", "sandbox-paths", busybox, file)
	if err != nil {
		return ""
	}
	return store.Path(strings.TrimSpace(out))
}

// TestNixCopyTo reads what `nix copy --to file://` wrote, compressed in each
// way, signed and not.
func TestNixCopyTo(t *testing.T) {
	t.Parallel()
	n := nixtest.New(t)
	addressed, plain := nixItems(t, n)
	n.Run("nix-store", "--generate-binary-cache-key", "nix-1", n.Home+"/sec", n.Home+"/pub")
	public, err := os.ReadFile(n.Home + "/pub")
	if err != nil {
		t.Fatal(err)
	}
	trust, err := signature.ParseTrust(string(public))
	if err != nil {
		t.Fatal(err)
	}
	for _, compression := range []string{"xz", "zstd", "none", "gzip", "bzip2"} {
		for _, key := range []string{"", "&secret-key=" + n.Home + "/sec"} {
			dir := filepath.Join(t.TempDir(), "cache")
			to := newRoot(t)
			args := []string{"copy", "--from", n.URI, "--to", "file://" + dir + "?write-nar-listing=true&compression=" + compression + key, string(addressed)}
			if plain != "" {
				args = append(args, string(plain))
			}
			n.Run("nix", args...)
			p := &cache.Puller{Store: to.store, Caches: []*cache.Cache{folder(t, dir)}, Policy: policy.Any(trust)}
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
			sameListings(t, to, dir)
			sameNarinfos(t, to, dir, compression, strings.TrimPrefix(key, "&secret-key="))
		}
	}
}

// sameListings compares our listings with those that Nix wrote.
func sameListings(t *testing.T, r *root, dir string) {
	t.Helper()
	for _, p := range r.all() {
		ours, err := cache.Listing(t.Context(), r.store.Physical(p))
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := os.ReadFile(filepath.Join(dir, narinfo.ListingName(p)))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(ours, theirs) {
			t.Errorf("%s: the listings differ:\n%s\n%s", p, ours, theirs)
		}
	}
}

// sameNarinfos pushes what was pulled, signed with the key of that name where
// there is one, and compares our infos with those that Nix wrote: the same
// lines, in any order. What our compressor makes is other bytes, so of these
// files name, hash and size differ.
func sameNarinfos(t *testing.T, r *root, theirs, compression, keyFile string) {
	t.Helper()
	o := cache.PushOptions{Compression: compression}
	if keyFile != "" {
		text, err := os.ReadFile(keyFile)
		if err != nil {
			t.Fatal(err)
		}
		key, err := signature.ParseSecret(string(text))
		if err != nil {
			t.Fatal(err)
		}
		o.Key = &key
	}
	if compression != "none" {
		o.Compression = "zstd" // whichever: it is left out below
	}
	ours := filepath.Join(t.TempDir(), "cache")
	push(t, r, folder(t, ours), o, r.all()...)
	lines := func(dir string, p store.Path) []string {
		text, err := os.ReadFile(filepath.Join(dir, narinfo.Name(p)))
		if err != nil {
			t.Fatal(err)
		}
		list := slices.DeleteFunc(strings.Split(string(text), "\n"), func(l string) bool {
			key, _, _ := strings.Cut(l, ":")
			// Nix names a derivation of its store, which is nothing to us.
			return key == "Deriver" || compression != "none" && slices.Contains([]string{"URL", "Compression", "FileHash", "FileSize"}, key)
		})
		slices.Sort(list)
		return list
	}
	for _, p := range r.all() {
		if a, b := lines(ours, p), lines(theirs, p); !slices.Equal(a, b) {
			t.Errorf("%s, signed with %q: the infos differ:\n%s\nand\n%s", compression, keyFile, strings.Join(a, "\n"), strings.Join(b, "\n"))
		}
	}
}

// TestNixCopyFrom lets Nix read what we push: unsigned, into a fresh store.
func TestNixCopyFrom(t *testing.T) {
	t.Parallel()
	from := newRoot(t)
	top := from.closure()
	for _, compression := range []string{"zstd", "gzip", "none"} {
		n := nixtest.New(t)
		dir := filepath.Join(t.TempDir(), "cache")
		push(t, from, folder(t, dir), cache.PushOptions{Compression: compression, Listings: true}, top)
		n.Run("nix", "copy", "--from", "file://"+dir, "--to", n.URI, string(top))
		n.Run("nix", "store", "verify", "--store", n.URI, "--all", "--no-trust")
		got := strings.Fields(n.Run("nix-store", "--store", n.URI, "-qR", string(top)))
		var want []string
		for _, p := range from.all() {
			want = append(want, string(p))
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", compression, got, want)
		}
		for _, p := range from.all() {
			if out := n.Run("nix", "store", "ls", "--recursive", "--store", "file://"+dir, string(p)); p.Name() == "self" && !strings.Contains(out, "bin/me") {
				t.Errorf("%s: the listing: %s", compression, out)
			}
		}
	}
}

// TestNixSignature lets Nix take an item that only our signature vouches for.
func TestNixSignature(t *testing.T) {
	t.Parallel()
	n := nixtest.New(t)
	_, plain := nixItems(t, n)
	if plain == "" {
		t.Skip("SKIP-ENV: Nix cannot build in its sandbox here, so it makes no item that needs a signature")
	}
	theirs, ours := filepath.Join(t.TempDir(), "cache"), filepath.Join(t.TempDir(), "cache")
	n.Run("nix", "copy", "--from", n.URI, "--to", "file://"+theirs, string(plain))
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
	fresh := nixtest.New(t)
	args := []string{"copy", "--from", "file://" + ours, "--to", fresh.URI, string(plain)}
	if _, err := fresh.Try("nix", args...); err == nil {
		t.Error("Nix takes it without a trusted key")
	}
	fresh.Run("nix", append([]string{"--option", "trusted-public-keys", secret.Public().String()}, args...)...)
	fresh.Run("nix", "store", "verify", "--store", fresh.URI, "--all", "--trusted-public-keys", secret.Public().String())
}

// nixKey is a secret key that Nix made and with which it signed the kept caches.
const nixKey = "test-1:WzsghoKj6qSPi5WnGWcED2sfH7pyvyOWQxi+NSGTboZjENdQKx/zQQGBopqlNLKFIy4iKohib7IR00NBzFf9Mw=="

// TestNixKeptCaches reads caches that Nix wrote once, so that they are read
// where it is absent, too.
func TestNixKeptCaches(t *testing.T) {
	t.Parallel()
	const name = "/osbuild/store/msp1a57k4lsnhzsbk4lvbj6wwhvbabia-top"
	n := nixtest.Find(t)
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte(nixKey), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, compression := range []string{"none", "xz", "zstd"} {
		dir, err := filepath.Abs("testdata/nix/" + compression)
		if err != nil {
			t.Fatal(err)
		}
		if n != nil && *update {
			writeKept(t, n, dir, compression, key)
		}
		to := newRoot(t)
		p := &cache.Puller{Store: to.store, Caches: []*cache.Cache{folder(t, dir)}}
		if _, err := p.Pull(t.Context(), to.lease, name); err != nil {
			t.Errorf("%s: %v", compression, err)
		}
		if got := to.all(); len(got) != 3 {
			t.Errorf("%s: %q", compression, got)
		}
		to.verify()
		sameListings(t, to, dir)
		sameNarinfos(t, to, dir, compression, key)
		if n != nil {
			fresh := nixtest.New(t)
			fresh.Run("nix", "copy", "--from", "file://"+dir, "--to", fresh.URI, name)
		}
	}
}

func writeKept(t *testing.T, n *nixtest.Nix, dir, compression, key string) {
	t.Helper()
	n.Write("kept/bin/x", "#!/bin/sh\necho kept\n")
	n.Write("kept/share/text", strings.Repeat("more than one block of eight bytes\n", 50))
	for _, err := range []error{os.RemoveAll(dir), os.MkdirAll(n.Home+"/kept/empty", 0o755), os.Chmod(n.Home+"/kept/bin/x", 0o755)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("bin/x", n.Home+"/kept/link"); err != nil && !errors.Is(err, os.ErrExist) {
		t.Fatal(err)
	}
	tree := strings.TrimSpace(n.Run("nix-store", "--store", n.URI, "--add", n.Home+"/kept"))
	top := n.List(fmt.Sprintf(`[ (builtins.toFile "top" "a text that needs ${builtins.toFile "dep" "a text"} and ${builtins.storePath %s}") ]`, tree))
	n.Run("nix", "copy", "--from", n.URI, "--to", "file://"+dir+"?write-nar-listing=true&compression="+compression+"&secret-key="+key, top[0])
}
