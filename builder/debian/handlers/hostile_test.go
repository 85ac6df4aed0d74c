// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package handlers

import (
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
)

// TestHostileTrees makes roots of packages whose files or scripts want what no
// root can have: what cannot be is refused, with the reason, or left out.
func TestHostileTrees(t *testing.T) {
	const sh = "-- x/postinst --\n#!/bin/sh\n"
	long := strings.Repeat("a", 300)
	for _, test := range []struct {
		summary, files string
		fails          string   // the error
		has, hasNot    []string // of the item, described
	}{
		{"the name of our own file", "-- x/root/root.json/x --\nx\n", "cannot put /root.json of package x into a system: something else has this name", nil, nil},
		{"the place of items", "-- x/root/osbuild/store/x --\nx\n", "cannot put /osbuild of package x into a system: something else has this name", nil, nil},
		{"a script makes files of the root", sh + "touch /foo; ln -s /etc /bar; echo x > /baz; touch /etc/ok", "", []string{"etc/ok\n"}, []string{"\nfoo", "\nbar", "\nbaz"}},
		{"a script moves the root", sh + "mv /usr /u; mv /etc /e; cd /; mv . /var/x; mv .. /var/x; mkdir /var/q; mv /var /var/q; mv / /var/q; touch /etc/ok", "", []string{"etc/ok\n"}, nil},
		{"a script replaces the root", sh + "rm -rf / /* /etc /usr; ln -sfT /proc /bin; ln -sfn /proc /lib; touch /etc/ok", "", []string{"etc/ok\n"}, []string{"/proc"}},
		{"a script writes accounts", sh + "echo root::0:0::/: > /etc/y; cp /etc/y /etc/passwd; mv /etc/y /etc/shadow; echo x >> /etc/group", "", nil, []string{"\netc/passwd", "\netc/shadow", "\netc/group"}},
		{"a folder into itself", sh + "mkdir -p /var/a/c; cp -r /var/a /var/a/b; mv /var/a/c /var/a/c; mv /var/a/c /var/a/c/d; touch /etc/ok", "", []string{"etc/ok\n", "var/a/c/\n"}, nil},
		{"a folder into one that is there", "-- x/root/usr/share/x/n --\nn\n" + sh + "touch /etc/ok; cp -a /usr/share/x/. /etc/", "", []string{"etc/ok\n", "etc/n\n"}, nil},
		{"trees that double", sh + "mkdir -p /var/a; while :; do i=$((i+1)); cp -r /var/a /tmp/x; mv /tmp/x /var/a/$i; done", "", []string{"it is too long to be read"}, nil},
		{"paths without an end", sh + "x=a/a/a/a/a/a/a/a/a/a; x=$x/$x/$x/$x/$x/$x/$x/$x; mkdir -p /var/$x; x=$x/$x/$x/$x/$x/$x/$x/$x; x=$x/$x/$x/$x/$x/$x/$x/$x; mkdir -p /var/$x", "", nil, nil},
		{"trees without an end", sh + "mkdir -p /n/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a /d; while :; do mv /d /n/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/; mv /n /d; mkdir -p /n/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a; done", "", nil, nil},
		{"names and links that no folder holds", sh + "mkdir /var/" + long + "; ln -s '' /etc/x; ln -s " + strings.Repeat("a/", 3000) + " /etc/y; touch /etc/ok", "", []string{"etc/ok\n"}, []string{"aaa"}},
		{"the same of a table", "-- x/root/usr/lib/tmpfiles.d/x.conf --\nd /var/" + long + "\nd /var/a\x00b\nL /etc/x - - - - \"\"\nd /var/ok\nd /../../../etc/up\n", "", []string{"var/ok/\n", "etc/up/\n"}, []string{"aaa", "etc/x"}},
		{"accounts with lines of others", sh + "adduser --system --group 'a:0:0\ntoor::0:0'\nadduser --system --shell '/bin/sh\ntoor::0:0::/:/bin/sh' bob\naddgroup --system -- -x\nadduser --system ''\nadduser --system ok\n", "", []string{`"name": "ok"`, `left out: ["bob"`}, []string{`"name": "bob"`, `"name": "a:0`, `"name": "-x"`, `"name": ""`}},
	} {
		got, err := build(t, plant(t, txtar.Parse([]byte(test.files))))
		if err == nil && test.fails != "" || err != nil && err.Error() != test.fails {
			t.Errorf("%s: got %v, want %q", test.summary, err, test.fails)
		}
		if at := strings.Index(got, "\nvar/lib/dpkg/"); at > 0 {
			got = got[:at] + got[max(at, strings.LastIndex(got, "\nvar/lib/dpkg/")):] // which repeats names
		}
		for _, want := range test.has {
			if !strings.Contains(got, want) {
				t.Errorf("%s: no %q in\n%s", test.summary, want, got)
			}
		}
		for _, no := range test.hasNot {
			if strings.Contains(got, no) {
				t.Errorf("%s: there is %q in\n%s", test.summary, no, got)
			}
		}
	}
}
