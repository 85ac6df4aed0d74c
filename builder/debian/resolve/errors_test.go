// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestErrors(t *testing.T) {
	tests := []struct {
		summary, index, roots, want string
	}{
		{
			"an unknown name", "nginx-light 1\nnginx-core 1\npostgresql 1", "nginx-lite",
			`cannot find the package "nginx-lite"; did you mean nginx-light, nginx-core?`,
		},
		{
			"a name that nothing is near to", "nginx 1", "quux",
			`cannot find the package "quux" in the indexes of the host's archives; look at its spelling, ` +
				`or add the archive that has it to the host's apt sources`,
		},
		{
			"a virtual name", "exim 1; prov: mta\npostfix 1; prov: mta", "mta",
			`cannot find the package "mta": no package has this name, but these provide it: exim, postfix; name one of them`,
		},
		{
			"not a name", "a 1", "a/b",
			`cannot choose packages: "a/b" is not a package name: it has the character '/'`,
		},
		{
			"roots in conflict", "a 1; con: b\nb 1", "a b",
			"cannot have b 1 and a 1 together: a conflicts with b\n  b\n  a\n" +
				"leave out b or a, or name an alternative that does not conflict",
		},
		{
			"a conflict far from the roots",
			"web 1; dep: x\nx 1; dep: y\ny 1; brk: z (<< 3)\ndb 1; dep: w\nw 1; dep: z\nz 2", "db web",
			"cannot have y 1 and z 2 together: y breaks z (<< 3)\n  web -> x -> y\n  db -> w -> z\n" +
				"leave out web or db, or name an alternative that does not conflict",
		},
		{
			"a conflict with what a package provides", "a 1; dep: b\nb 1; con: mta\nc 1; prov: mta", "a c",
			"cannot have b 1 and c 1 together: b conflicts with mta, which c provides\n  a -> b\n  c\n" +
				"leave out a or c, or name an alternative that does not conflict",
		},
		{
			"a dependency that is not there", "a 1; dep: b\nb 1; dep: c | d (>= 2)\nd 1", "a",
			"cannot satisfy b 1, which needs c | d (>= 2): no package c is in the indexes; the indexes have d 1\n  a -> b",
		},
		{
			"a version that nothing provides", "a 1; dep: v (>= 3)\nb 1; prov: v (= 2)", "a",
			"cannot satisfy a 1, which needs v (>= 3): b provides v, but not this version\n  a",
		},
		{
			"another architecture", "a 1; dep: b:i386\nb 1", "a",
			"cannot satisfy a 1, which needs b:i386: only packages of amd64 are taken\n  a",
		},
		{
			"any architecture", "a 1; dep: b:any\nb 1", "a",
			"cannot satisfy a 1, which needs b:any: b 1 is for programs of its own architecture only\n  a",
		},
		{
			"a broken record", "a 1; dep: b\nb 1; dep: c (2)", "a",
			"cannot use the package b 1: its field Depends in the index is broken: " +
				`cannot read the relation "c (2)": its operator is not one of << <= = >= >>`,
		},
		{
			"no alternative is left", "a 1; dep: b | c, d\nb 1; con: d\nc 1; con: d\nd 1", "a",
			"cannot have d 1 and b 1 together: b conflicts with d\n  a -> d\n  a -> b\n" +
				"name an alternative that does not conflict",
		},
	}
	for _, test := range tests {
		t.Run(test.summary, func(t *testing.T) {
			_, err := Resolve(NewIndex("amd64", packages(t, test.index)), Request{Roots: strings.Fields(test.roots)})
			if err == nil || err.Error() != test.want {
				t.Errorf("got  %v\nwant %s", err, test.want)
			}
		})
	}
}

func TestErrorTypes(t *testing.T) {
	resolve := func(index string, roots ...string) error {
		_, err := Resolve(NewIndex("amd64", packages(t, index)), Request{Roots: roots})
		return err
	}
	if e, ok := errors.AsType[*UnknownError](resolve("abcdef 1", "abcdeg")); !ok || !slices.Equal(e.Near, []string{"abcdef"}) {
		t.Errorf("unknown: %+v", e)
	}
	if e, ok := errors.AsType[*ConflictError](resolve("a 1; con: b\nb 1", "a", "b")); !ok || !slices.Equal(e.PathB, []string{"a"}) {
		t.Errorf("conflict: %+v", e)
	}
	if e, ok := errors.AsType[*UnsatisfiedError](resolve("a 1; dep: b", "a")); !ok || e.Needs != "b" {
		t.Errorf("unsatisfied: %+v", e)
	}
}

func TestNear(t *testing.T) {
	names := strings.Fields(`nginx nginx-core nginx-dev nginx-doc nginx-extras nginx-full nginx-light
		postgresql postgresql-15 postgresql-15-ip4r postgresql-client postgrey postgis
		python3 bpython jython libssl3 libssl-dev libxslt1.1 apache2 apachetop ccache pachi
		redis redis-server default-mysql-server mysql-common nodejs gcc-11 gcc-12 openssh-server ssh sshd-x`)
	tests := []struct{ name, first string }{
		{"nginx-lite", "nginx-light"},
		{"ngnix-light", "nginx-light"},
		{"postgresql-14", "postgresql-15"},
		{"postgres", "postgresql"},
		{"postgressql-15", "postgresql-15"},
		{"python", "python3"},
		{"libssl1.1", "libssl3"},
		{"apache", "apache2"},
		{"redis-srever", "redis-server"},
		{"mysql-server", "default-mysql-server"},
		{"nodejs-18", "nodejs"},
		{"gcc-13", "gcc-11"},
		{"xyzzy", ""},
		{"", ""},
	}
	for _, test := range tests {
		got := near(test.name, names)
		if len(got) > maxNear || test.first == "" && len(got) > 0 || test.first != "" && (len(got) == 0 || got[0] != test.first) {
			t.Errorf("%s: %v, want %s first", test.name, got, test.first)
		}
	}
}
