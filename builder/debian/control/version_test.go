// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package control

import (
	"os/exec"
	"strings"
	"testing"
)

// versionTable has pairs in their order: each stands before, equals or stands
// after the other.
var versionTable = []struct{ a, op, b string }{
	{"1", "=", "1"},
	{"1", "<", "2"},
	{"9", "<", "10"},
	{"1.0", "<", "1.0.1"},
	{"1.0", "=", "1.00"},
	{"1.01", "=", "1.1"},
	{"1", "=", "0:1"},
	{"0:9", "<", "1:0"},
	{"00:1", "=", "1"},
	{"9:1", "<", "10:0"},
	{"1", "=", "1-0"},
	{"1-0", "=", "1-00"},
	{"1", "<", "1-1"},
	{"1-1", "<", "1-1.1"},
	{"1-2", "<", "1.1-1"},
	{"1-1-1", ">", "1-1"},
	{"1.0~rc1", "<", "1.0"},
	{"1.0~~", "<", "1.0~"},
	{"1.0~", "<", "1.0"},
	{"1.0~a", ">", "1.0~~a"},
	{"1.0~1", ">", "1.0~"},
	{"1~", "<", "1-0~"},
	{"1-1~bpo12+1", "<", "1-1"},
	{"1-1+b1", ">", "1-1"},
	{"1-1+deb12u9", "<", "1-1+deb12u10"},
	{"1.0a", ">", "1.0"},
	{"1.0a", "<", "1.0b"},
	{"1.0a", "<", "1.0+"},
	{"1.0Z", "<", "1.0a"},
	{"1.0-1", "<", "1.0+-1"},
	{"1.0+a", "<", "1.0.a"},
	{"1a2", "<", "1a10"},
	{"1.a", ">", "1.0"},
	{"0.9j-20080306-4", "<", "0.9l"},
	{"2:1.2.13.dfsg-1", ">", "1:9"},
	{"20220101", "<", "20220102~1"},
	{"1:2:3", ">", "1:2"},
	{"99999999999999999999999999999999", "<", "100000000000000000000000000000000"},
}

func TestCompare(t *testing.T) {
	sign := map[string]int{"<": -1, "=": 0, ">": 1}
	for _, v := range versionTable {
		want := sign[v.op]
		if got := signOf(Version(v.a).Compare(Version(v.b))); got != want {
			t.Errorf("%s against %s: %d, want %d", v.a, v.b, got, want)
		}
		if got := signOf(Version(v.b).Compare(Version(v.a))); got != -want {
			t.Errorf("%s against %s: %d, want %d", v.b, v.a, got, -want)
		}
		for _, s := range []string{v.a, v.b} {
			if _, err := ParseVersion(s); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestCompareDpkg holds our order, and the operators, against dpkg's.
func TestCompareDpkg(t *testing.T) {
	if _, err := exec.LookPath("dpkg"); err != nil {
		t.Skip("SKIP-ENV: no dpkg")
	}
	ops := map[string]string{"<<": "lt-nl", "<=": "le-nl", "=": "eq", ">=": "ge-nl", ">>": "gt-nl"}
	for i, v := range versionTable {
		for op, theirs := range ops {
			if op != "=" && op != []string{"<<", "<=", ">=", ">>"}[i%4] {
				continue // each pair once is enough, and starting dpkg is slow
			}
			err := exec.Command("dpkg", "--compare-versions", v.a, theirs, v.b).Run()
			if got := Version(v.a).Satisfies(op, Version(v.b)); got != (err == nil) {
				t.Errorf("%s %s %s: %v, and dpkg says %v", v.a, op, v.b, got, err)
			}
		}
	}
}

func TestParseVersionErrors(t *testing.T) {
	tests := []struct{ version, want string }{
		{"", "nothing is left of the upstream part"},
		{"1:", "nothing is left of the upstream part"},
		{":1", "the part before the colon is empty"},
		{"a:1", "the part before the colon is not a number"},
		{"-1:1", "the part before the colon is not a number"},
		{"99999999999:1", "the part before the colon is not a number"},
		{"1-", "the part after the last hyphen is empty"},
		{"-1", "nothing is left of the upstream part"},
		{"1 2", "it has the character ' '"},
		{"1/2", "it has the character '/'"},
		{"1-1_2", "the revision has the character '_'"},
		{"1:1-a:b", "the revision has the character ':'"},
		{strings.Repeat("1", 300), "has more than 256 characters"},
	}
	for _, test := range tests {
		if v, err := ParseVersion(test.version); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: %q, %v, want %q", test.version, v, err, test.want)
		}
	}
}

func TestSatisfies(t *testing.T) {
	tests := []struct {
		v    Version
		op   string
		w    Version
		want bool
	}{
		{"1", "", "", true},
		{"1", "<<", "2", true},
		{"2", "<<", "2", false},
		{"2", "<=", "2", true},
		{"2", "=", "2-0", true},
		{"2", ">=", "2", true},
		{"2", ">>", "2", false},
		{"3", ">>", "2", true},
		{"3", "!=", "2", false},
	}
	for _, test := range tests {
		if got := test.v.Satisfies(test.op, test.w); got != test.want {
			t.Errorf("%s %s %s: %v", test.v, test.op, test.w, got)
		}
	}
}

// FuzzCompare: any three texts have an order.
func FuzzCompare(f *testing.F) {
	for _, v := range versionTable {
		f.Add(v.a, v.b, "1.0~rc1-1")
	}
	f.Fuzz(func(t *testing.T, a, b, c string) {
		u, v, w := Version(a), Version(b), Version(c)
		if u.Compare(u) != 0 {
			t.Error("a version differs from itself")
		}
		if signOf(u.Compare(v)) != -signOf(v.Compare(u)) {
			t.Errorf("%q and %q have two orders", a, b)
		}
		if u.Compare(v) <= 0 && v.Compare(w) <= 0 && u.Compare(w) > 0 {
			t.Errorf("%q, %q, %q go round in a circle", a, b, c)
		}
		ParseVersion(a)
	})
}

func signOf(n int) int {
	switch {
	case n < 0:
		return -1
	case n > 0:
		return 1
	}
	return 0
}
