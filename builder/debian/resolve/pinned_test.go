// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"strings"
	"testing"
)

func TestPinned(t *testing.T) {
	tests := []struct {
		summary   string
		old       string // index of the lock
		oldRoots  string
		now       string // index of today
		r         Request
		want      string
		wantError string
	}{
		{
			summary: "versions stay", old: "a 1; dep: b\nb 1", oldRoots: "a",
			now: "a 2; dep: b, c\nb 2\nc 1", r: Request{Roots: []string{"a"}}, want: "a=1 b=1",
		},
		{
			summary: "packages stay that the index lost", old: "a 1; dep: b\nb 1", oldRoots: "a",
			now: "c 1; dep: b (>= 1)", r: Request{Roots: []string{"a", "c"}}, want: "a=1 b=1 c=1",
		},
		{
			summary: "roots of the lock stay", old: "a 1\nb 1", oldRoots: "a b",
			now: "c 1", r: Request{Roots: []string{"c"}}, want: "a=1 b=1 c=1",
		},
		{
			summary: "roots of the lock go when they are pruned", old: "a 1; dep: c\nb 1; dep: d\nc 1\nd 1", oldRoots: "a b",
			now: "a 2\nb 2\nc 2\nd 2", r: Request{Roots: []string{"b"}, Prune: true}, want: "b=1 d=1",
		},
		{
			summary: "what a locked package provides is taken first", old: "a 1; dep: v\nz 1; prov: v (= 2)", oldRoots: "a",
			now: "b 1; dep: v (>= 2)\nc 1; prov: v (= 3)\nz 2", r: Request{Roots: []string{"b"}}, want: "a=1 b=1 z=1",
		},
		{
			summary: "a locked alternative stays though another is better now", old: "a 1; dep: b | c\nc 1", oldRoots: "a",
			now: "a 1; dep: b | c\nb 1\nc 1", r: Request{Roots: []string{"a"}}, want: "a=1 c=1",
		},
		{
			summary: "a new root that goes with the lock in an older version", old: "lib 1", oldRoots: "lib",
			now: "lib 2\ntool 2; dep: lib (= 2)\ntool 1; dep: lib (= 1)\nlib 1", r: Request{Roots: []string{"lib", "tool"}},
			want: "lib=1 tool=1",
		},
		{
			summary: "a dependency that goes with the lock in an older version", old: "lib 1", oldRoots: "lib",
			now: "lib 2\ntool 1; dep: part\npart 2; dep: lib (= 2)\npart 1; dep: lib (<< 2)", r: Request{Roots: []string{"tool"}},
			want: "lib=1 part=1 tool=1",
		},
		{
			summary: "a new root that does not go with the lock", old: "lib 1", oldRoots: "lib",
			now: "lib 2\ntool 2; dep: lib (>= 2)", r: Request{Roots: []string{"lib", "tool"}},
			wantError: "cannot satisfy tool 2, which needs lib (>= 2): the lock keeps lib 1; `osbuild lock --update FILE lib` lets it move\n  tool",
		},
		{
			summary: "a new root in conflict with the lock", old: "a 1; dep: b\nb 1", oldRoots: "a",
			now: "c 1; brk: b (<< 2)", r: Request{Roots: []string{"c"}},
			wantError: "cannot have b 1 and c 1 together: c breaks b (<< 2)\n  a -> b\n  c\n" +
				"leave out a or c, or let what is locked move: `osbuild lock --update FILE b`, or name an alternative that does not conflict",
		},
		{
			summary: "an update moves what it names", old: "a 1; dep: b\nb 1\nc 1", oldRoots: "a c",
			now: "a 2; dep: b\nb 2\nc 2", r: Request{Update: []string{"a"}}, want: "a=2 b=1 c=1",
		},
		{
			summary: "an update moves what it forces", old: "a 1; dep: b (= 1)\nb 1\nc 1", oldRoots: "a c",
			now: "a 2; dep: b (= 2)\nb 2\nc 2", r: Request{Update: []string{"a"}}, want: "a=2 b=2 c=1",
		},
		{
			summary: "an update moves who needs the old version", old: "a 1; dep: b (= 1)\nb 1\nc 1; dep: b", oldRoots: "a c",
			now: "a 1; dep: b (= 1)\na 2; dep: b (= 2)\nb 2\nc 1; dep: b\nc 2", r: Request{Update: []string{"b"}}, want: "a=2 b=2 c=1",
		},
		{
			summary: "an update moves whose needs nobody knows any more", old: "a 1; dep: b (<< 2)\nb 1", oldRoots: "a",
			now: "a 2; dep: b\nb 2", r: Request{Update: []string{"b"}}, want: "a=2 b=2",
		},
		{
			summary: "an update leaves alone what has nothing newer", old: "a 1; dep: b\nb 1", oldRoots: "a",
			now: "b 2", r: Request{Update: []string{"b"}}, want: "a=1 b=2",
		},
		{
			summary: "an update in conflict moves the other", old: "a 1\nb 1", oldRoots: "a b",
			now: "a 2; brk: b (<< 2)\nb 2\nb 1", r: Request{Update: []string{"a"}}, want: "a=2 b=2",
		},
		{
			summary: "an update of what the index lost", old: "a 1\nb 1", oldRoots: "a b",
			now: "b 2", r: Request{Update: []string{"a", "b"}}, want: "a=1 b=2",
		},
		{
			summary: "an update does not go back", old: "a 2", oldRoots: "a",
			now: "a 1", r: Request{Update: []string{"a"}}, want: "a=2",
		},
		{
			summary: "an update drops what nothing needs any more", old: "a 1; dep: lib1\nlib1 1", oldRoots: "a",
			now: "a 2; dep: lib2\nlib2 1\nlib1 1", r: Request{Update: []string{"a"}}, want: "a=2 lib2=1",
		},
		{
			summary: "an update of a new root", old: "a 1", oldRoots: "a",
			now: "b 1\na 2", r: Request{Roots: []string{"b"}, Update: []string{"b"}}, want: "a=1 b=1",
		},
		{
			summary: "an update of what is not locked", old: "nginx-light 1", oldRoots: "nginx-light",
			now: "nginx-light 2", r: Request{Update: []string{"nginx"}},
			wantError: "cannot update nginx: the lock has no such package; did you mean nginx-light?",
		},
		{
			summary: "essential packages come later", old: "a 1", oldRoots: "a",
			now: "a 2\nb 1; ess: yes", r: Request{Essential: "full"}, want: "a=1 b=1",
		},
		{
			summary: "essential packages that the index lost", old: "a 1; dep: b\nb 1; ess: yes", oldRoots: "a",
			now: "a 2", r: Request{Essential: "full"}, want: "a=1 b=1",
		},
	}
	for _, test := range tests {
		t.Run(test.summary, func(t *testing.T) {
			test.r.Pinned = mustResolve(t, test.old, strings.Fields(test.oldRoots)...)
			all := packages(t, test.now)
			l, err := Resolve(NewIndex("amd64", all), test.r)
			if test.wantError != "" {
				if err == nil || err.Error() != test.wantError {
					t.Fatalf("got  %v\nwant %s", err, test.wantError)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := choice(l); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
			checkLock(t, l, append(all, packages(t, test.old)...))
		})
	}
}

func TestPinnedOfAnotherArchitecture(t *testing.T) {
	l := mustResolve(t, "a 1", "a")
	_, err := Resolve(NewIndex("arm64", nil), Request{Pinned: l})
	if err == nil || err.Error() != "cannot extend a lock for amd64 with packages for arm64" {
		t.Error(err)
	}
}
