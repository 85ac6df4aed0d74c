// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package lock

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const sum = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// pkg is a locked package with what a test does not care about filled in.
func pkg(name, version string, deps ...string) Package {
	return Package{
		Name: name, Version: version, Arch: "amd64", Suite: "stable", Path: "pool/" + name + ".deb",
		SHA256: sum, Size: 1000, InstalledSize: 4, Deps: deps,
	}
}

func example() *Lock {
	a := pkg("a", "1:1.0-1", "c", "b")
	a.Provides = []string{"w", "v (= 2)"}
	a.Source = "src (1.0)"
	b := pkg("b", "2~rc1+x", "c")
	b.Essential = true
	return &Lock{
		Version: Version, Arch: "amd64", Essential: EssentialNone, Suite: "stable", Roots: []string{"b", "a"},
		Suites: []Suite{
			{Name: "stable-security", InReleaseSHA256: sum, Date: "Sat, 01 Jan 2000 00:00:00 UTC", Signer: "AB"},
			{Name: "stable", InReleaseSHA256: sum, Date: "Sat, 01 Jan 2000 00:00:00 UTC", Signer: "CD"},
		},
		Packages: []Package{b, pkg("c", "3"), a},
	}
}

const exampleText = `{
  "version": 1,
  "arch": "amd64",
  "essential": "none",
  "suite": "stable",
  "roots": [
    "a",
    "b"
  ],
  "suites": [
    {"name":"stable","inRelease":"` + sum + `","date":"Sat, 01 Jan 2000 00:00:00 UTC","signer":"CD"},
    {"name":"stable-security","inRelease":"` + sum + `","date":"Sat, 01 Jan 2000 00:00:00 UTC","signer":"AB"}
  ],
  "packages": [
    {"name":"a","version":"1:1.0-1","arch":"amd64","suite":"stable","path":"pool/a.deb","sha256":"` + sum + `","size":1000,"installedSize":4,"deps":["b","c"],"provides":["v (= 2)","w"],"source":"src (1.0)"},
    {"name":"b","version":"2~rc1+x","arch":"amd64","suite":"stable","path":"pool/b.deb","sha256":"` + sum + `","size":1000,"installedSize":4,"essential":true,"deps":["c"]},
    {"name":"c","version":"3","arch":"amd64","suite":"stable","path":"pool/c.deb","sha256":"` + sum + `","size":1000,"installedSize":4,"deps":[]}
  ]
}
`

func TestClosure(t *testing.T) {
	l := &Lock{Packages: []Package{
		pkg("a", "1", "b"), pkg("b", "1", "c", "a"), pkg("c", "1"), pkg("d", "1", "c"),
	}}
	tests := []struct{ names, want string }{
		{"", ""},
		{"c", "c"},
		{"a", "a b c"},
		{"d b", "a b c d"},
	}
	for _, test := range tests {
		all, err := l.Closure(strings.Fields(test.names)...)
		var got []string
		for _, p := range all {
			got = append(got, p.Name)
		}
		if err != nil || strings.Join(got, " ") != test.want {
			t.Errorf("closure of %q: %v, %v", test.names, got, err)
		}
	}
	if _, err := l.Closure("a", "x"); err == nil || err.Error() != "the lock has no package x" {
		t.Error(err)
	}
}

func TestMissingAndExtra(t *testing.T) {
	l := example()
	if got := l.Missing([]string{"z", "a", "c", "z"}); !slices.Equal(got, []string{"c", "z"}) {
		t.Errorf("missing %v", got)
	}
	if got := l.Extra([]string{"b", "c"}); !slices.Equal(got, []string{"a"}) {
		t.Errorf("extra %v", got)
	}
	if !l.Fits("none", "stable") || l.Fits("full", "stable") || l.Fits("none", "") {
		t.Error("fits")
	}
}

func TestBase(t *testing.T) {
	l := &Lock{Packages: []Package{pkg("a", "1"), pkg("coreutils", "1"), pkg("dash", "1")}}
	l.Packages[0].Essential = true
	for _, test := range []struct{ essential, want string }{
		{EssentialNone, ""},
		{EssentialMinimal, "coreutils dash"},
		{EssentialFull, "a"},
	} {
		l.Essential = test.essential
		if got := strings.Join(l.Base(), " "); got != test.want {
			t.Errorf("%s: %s", test.essential, got)
		}
	}
}

func TestDiff(t *testing.T) {
	old := &Lock{Packages: []Package{pkg("a", "1"), pkg("b", "1"), pkg("c", "1"), pkg("d", "1"), pkg("e", "1")}}
	next := &Lock{Packages: []Package{pkg("b", "1"), pkg("c", "2"), pkg("d", "2"), pkg("e", "1"), pkg("f", "1")}}
	next.Packages[1].Size = 5000
	next.Packages[2].Size = 1
	next.Packages[3].SHA256 = strings.Repeat("0", 64)
	next.Packages[4].Size = 12_345_678
	var got []string
	for _, c := range Diff(old, next) {
		got = append(got, c.String())
	}
	want := []string{
		"- a 1 (1000 B)",
		"~ c 1 -> 2 (+3.9 KiB)",
		"~ d 1 -> 2 (-999 B)",
		"~ e 1: another file of the same version (1000 B)",
		"+ f 1 (11.8 MiB)",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if c := Diff(old, old); len(c) != 0 {
		t.Errorf("a lock differs from itself: %v", c)
	}
	if c := Diff(nil, old); len(c) != 5 {
		t.Errorf("a lock differs from nothing: %v", c)
	}
}
