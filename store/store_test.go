// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"osbuild/store"
)

// The first two vectors were made by Nix with this store dir.
func TestGoldenPaths(t *testing.T) {
	s := open(t)
	l := lease(t, s)
	src := writeTree(t, map[string]string{"a": "hello\n"})
	i, err := s.AddTree(context.Background(), l, "a", filepath.Join(src, "a"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if want := store.Path("/osbuild/store/rkfr254jwp3ndfvly304psci24m54bi3-a"); i.Path != want {
		t.Errorf("file a: got %s, want %s", i.Path, want)
	}
	if got, want := text(t, s, l, "dep", "dep\n"), store.Path("/osbuild/store/rd3zkkmxi5wl6yp2cvl5mvr8hpk65fsv-dep"); got != want {
		t.Errorf("text dep: got %s, want %s", got, want)
	}
	mustVerify(t, s)
}

func TestParsePath(t *testing.T) {
	good := "/osbuild/store/rkfr254jwp3ndfvly304psci24m54bi3-a"
	tests := []struct{ summary, in, want string }{
		{"well formed", good, ""},
		{"something behind it", good + "/b", `"a/b" holds '/'`},
		{"other store", "/nix/store/rkfr254jwp3ndfvly304psci24m54bi3-a", "does not start with /osbuild/store/"},
		{"no name", good[:len(good)-1], "not <32 characters>-<name>"},
		{"bad digest", strings.Replace(good, "rkfr", "rkfe", 1), "'e' does not occur in a digest"},
		{"placeholder", strings.Replace(good, "rkfr", "okfr", 1), "'o' does not occur in a digest"},
		{"name with a space", good + " b", "holds ' '"},
		{"long name", good + strings.Repeat("a", 211), "longer than 211"},
		{"longest name", good + strings.Repeat("a", 210), ""},
		{"dot", good[:len(good)-1] + ".", "may not start with a dot alone"},
		{"dots and a dash", good[:len(good)-1] + "..-x", "may not start with a dot alone"},
		{"hidden", good[:len(good)-1] + ".x", ""},
		{"empty", "", "does not start with"},
	}
	for _, test := range tests {
		t.Run(test.summary, func(t *testing.T) {
			p, err := store.ParsePath(test.in)
			switch {
			case test.want == "" && err != nil:
				t.Fatal(err)
			case test.want == "" && (string(p) != test.in || p.Digest()+"-"+p.Name() != p.Base()):
				t.Errorf("got %q, %q, %q", p, p.Digest(), p.Name())
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func TestParseHash(t *testing.T) {
	const hex = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
	h, err := store.ParseHash(hex)
	if err != nil {
		t.Fatal(err)
	}
	for _, form := range []string{hex, "sha256:" + hex, h.Base32(), h.String(), h.SRI()} {
		got, err := store.ParseHash(form)
		if err != nil || got != h {
			t.Errorf("%s: got %v, %v", form, got, err)
		}
	}
	if want := "1b8m03r63zqhnjf7l5wnldhh7c134ap5vpj0850ymkq1iyzicy5s"; h.Base32() != want {
		t.Errorf("base 32 of %s: got %s, want %s", hex, h.Base32(), want)
	}
	for _, bad := range []string{"", "sha256:", "sha1:" + hex, hex[1:], "z" + hex[1:], "z" + h.Base32()[1:], "sha256-" + hex, strings.ToUpper(hex)[:63] + "G"} {
		if got, err := store.ParseHash(bad); err == nil {
			t.Errorf("%q was read as %v", bad, got)
		}
	}
}

func TestResolve(t *testing.T) {
	s := open(t)
	const base = "rkfr254jwp3ndfvly304psci24m54bi3-a"
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(filepath.Join(s.Root(), "store"), link); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.Root(), "store", base), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ in, rest string }{
		{base, ""},
		{base + "/bin/x", "bin/x"},
		{store.Dir + "/" + base, ""},
		{store.Dir + "/" + base + "/bin/", "bin"},
		{s.Root() + "/store/" + base + "/etc", "etc"},
		{link + "/" + base, ""},
	} {
		p, rest, err := s.Resolve(test.in)
		if err != nil || p.Base() != base || rest != test.rest {
			t.Errorf("%s: got %s, %q, %v", test.in, p, rest, err)
		}
	}
	for _, bad := range []string{"", "a", "/", "/etc/passwd", store.Dir, s.Root() + "/store", "/nix/store/" + base} {
		if p, _, err := s.Resolve(bad); err == nil {
			t.Errorf("%q was resolved to %s", bad, p)
		}
	}
}

func TestReadOnly(t *testing.T) {
	root := filepath.Join(t.TempDir(), "root")
	if _, err := store.Open(root, store.Options{ReadOnly: true}); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a missing root: %v", err)
	}
	s := openAt(t, root)
	p := text(t, s, lease(t, s), "x", "x")
	ro, err := store.Open(root, store.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ro.Info(p); err != nil {
		t.Error(err)
	}
	if _, err := ro.NewLease("x"); !errors.Is(err, store.ErrReadOnly) {
		t.Errorf("lease: %v", err)
	}
	if err := ro.PutRecord("memo", "x", nil); !errors.Is(err, store.ErrReadOnly) {
		t.Errorf("record: %v", err)
	}
	if _, err := ro.GC(context.Background(), store.GCOptions{}); !errors.Is(err, store.ErrReadOnly) {
		t.Errorf("gc: %v", err)
	}
	if r, err := ro.GC(context.Background(), store.GCOptions{DryRun: true}); err != nil {
		t.Errorf("gc --dry-run: %v, %v", r, err)
	}
	mustVerify(t, ro)
}
