// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package handlers

import (
	"errors"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
)

// TestCollisions are packages that do not go together. What goes together is
// in testdata/together.txtar.
func TestCollisions(t *testing.T) {
	for _, test := range []struct{ summary, packages, want string }{
		{
			"different files in /usr", "-- a/root/usr/x --\n1\n-- b/root/usr/x --\n2\n",
			"cannot put packages a and b together: both have /usr/x: they differ, and neither replaces the other; leave one of the two out",
		},
		{
			"different files in /etc", "-- a/root/etc/x --\n1\n-- b/root/etc/x --\n2\n",
			"cannot put packages a and b together: both have /etc/x: they differ, and neither replaces the other; leave one of the two out",
		},
		{
			"one is executable", "-- a/root/usr/x --\n#!/x\n-- b/root/usr/x --\n#!/y\n",
			"cannot put packages a and b together: both have /usr/x: they differ",
		},
		{
			"a folder and a file", "-- a/root/usr/x/y --\n1\n-- b/root/usr/x --\n2\n",
			"cannot put packages a and b together: both have /usr/x: it is a folder in one of them only",
		},
		{
			"a link and a folder", "-- a/root/usr/x --\n-> y\n-- b/root/usr/x/y --\n2\n",
			"cannot put packages a and b together: both have /usr/x: it is a folder in one of them only",
		},
		{
			"different links", "-- a/root/usr/x --\n-> y\n-- b/root/usr/x --\n-> z\n",
			"both have /usr/x: they differ",
		},
		{
			"a version that is not replaced", "-- a/control --\nVersion: 3\n-- a/root/usr/x --\n1\n-- b/control --\nReplaces: a (<< 3)\n-- b/root/usr/x --\n2\n",
			"both have /usr/x: they differ",
		},
		{
			"replacing each other in turn", "-- a/control --\nReplaces: b\n-- a/root/usr/x --\n1\n-- a/root/usr/y --\n1\n-- b/control --\nReplaces: c\n-- b/root/usr/y --\n2\n-- b/root/usr/z --\n2\n-- c/control --\nReplaces: a\n-- c/root/usr/z --\n3\n-- c/root/usr/x --\n3\n",
			"replace files of each other",
		},
		{
			"outside of a merged /usr", "-- a/root/bin/x --\n1\n",
			"cannot read package a: /bin does not lie in /usr",
		},
		{"a file on the root", "-- a/root/x --\n1\n", "cannot put /x of package a into a system: the root has folders only"},
		{"the same content", "-- a/root/usr/x --\n1\n-- b/root/usr/x --\n1\n", ""},
		{"the same link", "-- a/root/usr/x --\n-> y\n-- b/root/usr/x --\n-> y\n", ""},
		{"three of one file", "-- a/root/usr/x --\n1\n-- b/root/usr/x --\n1\n-- c/control --\nReplaces: a, b\n-- c/root/usr/x --\n3\n", ""},
	} {
		_, err := build(t, plant(t, txtar.Parse([]byte(test.packages))))
		switch {
		case test.want == "" && err != nil, test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
			t.Errorf("%s: %v\nwant %s", test.summary, err, test.want)
		case strings.Contains(test.want, "they differ") && !errors.Is(err, ErrConflict):
			t.Errorf("%s: it is no ErrConflict", test.summary)
		}
	}
}
