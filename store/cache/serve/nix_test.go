// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package serve_test

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"osbuild/store"
	"osbuild/store/cache/nixtest"
	"osbuild/store/cache/serve"
)

// TestNixCopyFrom lets Nix fetch a closure from the server, unsigned, into a
// fresh store.
func TestNixCopyFrom(t *testing.T) {
	from := newRoot(t)
	top := from.closure()
	all, err := from.store.All()
	if err != nil {
		t.Fatal(err)
	}
	for _, compress := range []bool{false, true} {
		n := nixtest.New(t)
		s := start(t, from, func(s *serve.Server) { s.Compress = compress })
		n.Run("nix", "copy", "--from", s.url, "--to", n.URI, string(top))
		n.Run("nix", "store", "verify", "--store", n.URI, "--all", "--no-trust")
		n.Run("nix-store", "--store", n.URI, "--verify", "--check-contents")
		got := strings.Fields(n.Run("nix-store", "--store", n.URI, "-qR", string(top)))
		slices.Sort(got)
		if len(got) != len(all) || got[0] != string(all[0]) {
			t.Errorf("%q, want %q", got, all)
		}
		if out := n.Run("nix", "store", "cat", "--store", s.url, string(from.find("tree").Path)+"/bin/x"); out != "#!/bin/sh\n" {
			t.Errorf("nix store cat: %q", out)
		}
		s.stop()
		if log := s.log.String(); !strings.Contains(log, ".nar 200 ") {
			t.Errorf("the log:\n%s", log)
		}
	}
}

// TestNixCopyTo lets Nix upload a closure to the server, with the token as a
// password.
func TestNixCopyTo(t *testing.T) {
	for _, compression := range []string{"xz", "zstd", "none"} {
		n := nixtest.New(t)
		n.Write("tree/bin/x", "#!/bin/sh\n")
		n.Write("tree/share/y", strings.Repeat("y", 200_000))
		tree := strings.TrimSpace(n.Run("nix-store", "--store", n.URI, "--add", n.Home+"/tree"))
		out := n.Run("nix-instantiate", "--store", n.URI, "--eval", "--read-write-mode", "-E",
			`builtins.toFile "top" "a text that needs ${builtins.toFile "dep" "a text"} and ${builtins.storePath `+tree+`}"`)
		top := strings.Trim(strings.TrimSpace(out), `"`)
		to := newRoot(t)
		s := start(t, to, nil)
		address, err := url.Parse(s.url)
		if err != nil {
			t.Fatal(err)
		}
		netrc := n.Write("netrc", "machine "+address.Hostname()+" login nix password "+token+"\n")
		args := []string{"copy", "--from", n.URI, "--to", s.url + "?write-nar-listing=true&compression=" + compression, top}
		if _, err := n.Try("nix", args...); err == nil {
			t.Errorf("%s: uploaded without a token", compression)
		}
		n.Run("nix", append([]string{"--option", "netrc-file", netrc}, args...)...)
		all, err := to.store.All()
		if err != nil || len(all) != 3 || !slices.Contains(all, store.Path(top)) {
			t.Errorf("%s: %q, %v\n%s", compression, all, err, s.log)
		}
		s.stop()
		to.verify()
	}
}
