// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"strings"
	"testing"
)

func TestResolve(t *testing.T) {
	tests := []struct {
		summary, index string
		roots          string
		essential      string
		want           string
	}{
		{
			"dependencies and pre-dependencies",
			"a 1; pre: b; dep: c (>= 2), d\nb 1\nc 2\nd 1; dep: c\ne 1", "a", "", "a=1 b=1 c=2 d=1",
		},
		{
			"the highest version of all suites",
			"a 1:1; suite: old\na 2; suite: new\na 1.0; suite: x", "a", "", "a=1:1",
		},
		{"a cycle", "a 1; dep: b\nb 1; dep: c\nc 1; dep: a", "b", "", "a=1 b=1 c=1"},
		{"a package that needs itself", "a 1; dep: a, v; prov: v", "a", "", "a=1"},
		{"packages for all architectures", "a 1; arch: all; dep: b\nb 1\nb 2; arch: i386", "a", "", "a=1 b=1"},
		{"the first alternative", "a 1; dep: b | c\nb 1\nc 1", "a", "", "a=1 b=1"},
		{"the first alternative that exists", "a 1; dep: x | b (>= 2) | c\nb 1\nc 1", "a", "", "a=1 c=1"},
		{
			"an alternative that is there already",
			"a 1; dep: d, b | c\nb 1\nc 1\nd 1; dep: e\ne 1; dep: c", "a", "", "a=1 c=1 d=1 e=1",
		},
		{
			"an alternative that comes too late",
			"a 1; dep: b | c, d\nb 1\nc 1\nd 1; dep: c", "a", "", "a=1 b=1 c=1 d=1",
		},
		{
			"an alternative that another root is", "a 1; dep: b | c\nb 1\nc 1", "a c", "", "a=1 c=1",
		},
		{"a virtual package", "a 1; dep: mta\nz 1; prov: mta\ny 1; prov: mta", "a", "", "a=1 y=1"},
		{
			"a virtual package by priority",
			"a 1; dep: awk\ngawk 1; prov: awk\nmawk 1; prov: awk; prio: required", "a", "", "a=1 mawk=1",
		},
		{"a virtual package that is there already", "a 1; pre: z; dep: mta\nz 1; prov: mta\ny 1; prov: mta", "a", "", "a=1 z=1"},
		{
			"a default before a virtual package",
			"a 1; dep: exim | mta\nexim 1; prov: mta\nbomb 1; prov: mta", "a", "", "a=1 exim=1",
		},
		{
			"a version that only one provides",
			"a 1; dep: v (>= 2)\nx 1; prov: v\ny 1; prov: v (= 1)\nz 1; prov: v (= 2)", "a", "", "a=1 z=1",
		},
		{
			"a real package that is too old, and one that provides it",
			"a 1; dep: v (>= 2)\nv 1\nz 1; prov: v (= 2)", "a", "", "a=1 z=1",
		},
		{"a real package before one that provides it", "a 1; dep: v\nv 1\nb 1; prov: v", "a", "", "a=1 v=1"},
		{
			"an alternative that conflicts with what is chosen",
			"a 1; dep: b | c, d\nb 1; con: d\nc 1\nd 1", "a", "", "a=1 c=1 d=1",
		},
		{
			"an alternative that what is chosen conflicts with",
			"a 1; dep: b | c, d\nb 1\nc 1\nd 1; con: b", "a", "", "a=1 c=1 d=1",
		},
		{
			"an alternative that what is chosen breaks, by version",
			"a 1; dep: b | c, d\nb 1\nc 1\nd 1; brk: b (<< 2)", "a", "", "a=1 c=1 d=1",
		},
		{
			"breaks of another version",
			"a 1; dep: b | c, d\nb 2\nc 1\nd 1; brk: b (<< 2)", "a", "", "a=1 b=2 d=1",
		},
		{
			"a conflict with what a package provides",
			"a 1; dep: b | c, d\nb 1; prov: mta\nc 1\nd 1; con: mta; prov: mta", "a", "", "a=1 c=1 d=1",
		},
		{
			"a conflict with a version of a name that is provided without one",
			"a 1; dep: b | c, d\nb 1; prov: mta\nc 1\nd 1; con: mta (<< 2)", "a", "", "a=1 b=1 d=1",
		},
		{
			"a package in conflict with the name that it provides",
			"a 1; dep: mta\nz 1; prov: mta; con: mta", "a", "", "a=1 z=1",
		},
		{
			"a conflict that shows deep below an alternative",
			"a 1; dep: b | c, d\nb 1; dep: e\ne 1; dep: f\nf 1; con: d\nc 1\nd 1", "a", "", "a=1 c=1 d=1",
		},
		{
			"an alternative with a dependency that nothing satisfies",
			"a 1; dep: b | c\nb 1; dep: gone\nc 1", "a", "", "a=1 c=1",
		},
		{
			"two choices, the first of which is wrong",
			"a 1; dep: b | c, d | e\nb 1; dep: x\nc 1\nd 1; dep: y\ne 1; dep: gone\nx 1; con: y\ny 1", "a", "", "a=1 c=1 d=1 y=1",
		},
		{
			"a choice inside a choice",
			"a 1; dep: b | c\nb 1; dep: m | n\nm 1; dep: gone\nn 1; dep: gone\nc 1", "a", "", "a=1 c=1",
		},
		{"any architecture", "a 1; dep: b:any\nb 1; ma: allowed", "a", "", "a=1 b=1"},
		{"any architecture of a foreign package", "a 1; dep: b:any (>= 1)\nb 1; ma: foreign", "a", "", "a=1 b=1"},
		{"any architecture, but not allowed", "a 1; dep: b:any | c\nb 1; ma: same\nc 1", "a", "", "a=1 c=1"},
		{"our architecture by name", "a 1; dep: b:amd64 | c\nb 1\nc 1", "a", "", "a=1 b=1"},
		{"another architecture by name", "a 1; dep: b:i386 | c; con: c:i386\nb 1\nc 1; prov: b:i386", "a", "", "a=1 c=1"},
		{"no essential packages", "a 1\nb 1; ess: yes", "a", "none", "a=1"},
		{"all essential packages", "a 1\nb 1; ess: yes; dep: c\nc 1", "a", "full", "a=1 b=1 c=1"},
		{
			"some essential packages",
			"a 1\nb 1; ess: yes\nbase-files 1\nbase-passwd 1\ncoreutils 1\ndash 1\ngrep 1\nlibc-bin 1\nsed 1", "a", "minimal",
			"a=1 base-files=1 base-passwd=1 coreutils=1 dash=1 grep=1 libc-bin=1 sed=1",
		},
		{"the same name twice", "a 1\nb 1", "b a b", "", "a=1 b=1"},
		{"nothing", "a 1", "", "", ""},
	}
	for _, test := range tests {
		t.Run(test.summary, func(t *testing.T) {
			all := packages(t, test.index)
			r := Request{Roots: strings.Fields(test.roots), Essential: test.essential}
			l, err := Resolve(NewIndex("amd64", all), r)
			if err != nil {
				t.Fatal(err)
			}
			if got := choice(l); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
			checkLock(t, l, all)
		})
	}
}

func TestResolveDeps(t *testing.T) {
	l := mustResolve(t, `
		a 1; pre: z; dep: b | c, mta, a, b (>= 1); prov: v (= 3), u, w:i386
		b 1; dep: a
		c 1
		m 1; prov: mta; dep: c
		z 2-1`, "a")
	a, _ := l.Package("a")
	if got := strings.Join(a.Deps, " "); got != "b m z" {
		t.Errorf("deps %s", got)
	}
	if got := strings.Join(a.Provides, ", "); got != "u, v (= 3)" {
		t.Errorf("provides %s", got)
	}
	if got := strings.Join(l.Roots, " "); got != "a" {
		t.Errorf("roots %s", got)
	}
}

// A package that was chosen for a need stays its answer, or nothing would
// lead to it.
func TestResolveChosenStaysReachable(t *testing.T) {
	l := mustResolve(t, `
		a 1; dep: v, w
		m 1; prov: v
		n 1; prov: w; dep: k
		k 1; prov: v; prio: required; con: other
		other 1; prov: v; prio: required`, "a")
	reach, err := l.Closure("a")
	if err != nil || len(reach) != len(l.Packages) {
		t.Errorf("%s: %d of %d are reached, %v", choice(l), len(reach), len(l.Packages), err)
	}
}
