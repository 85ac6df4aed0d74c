// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package rootfs_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"osbuild/builder/debian/rootfs"
	"osbuild/builder/debian/rootfs/rootfstest"
)

// put puts packages together and writes what they make.
func put(t *testing.T, packages string) error {
	t.Helper()
	r, err := rootfs.Open(t.Context(), rootfstest.Plant(t, txtar.Parse([]byte(packages))), "")
	if err != nil {
		return err
	}
	if err := r.Settle(); err != nil {
		return err
	}
	_, _, err = r.WriteTo(filepath.Join(t.TempDir(), "out"), "/osbuild/store/self", "root.json", "osbuild")
	return err
}

// TestCollisions are packages that do not go together. What goes together is
// in testdata/together.txtar of package handlers.
func TestCollisions(t *testing.T) {
	const everywhere = " is a folder of every system, and this package has something else there"
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
		{"a link for /etc", "-- x/root/etc --\n-> /tmp\n", "cannot read package x: /etc" + everywhere},
		{"a file for /usr", "-- x/root/usr --\nx\n", "cannot read package x: /usr" + everywhere},
		{"a file for /var/run", "-- x/root/var/run --\nx\n", "cannot read package x: /var/run" + everywhere},
		{"a link for /opt", "-- x/root/opt --\n-> /etc\n", "cannot put /opt of package x into a system: something else has this name"},
		{"a file on the root", "-- a/root/x --\n1\n", "cannot put /x of package a into a system: the root has folders only"},
		{"the same content", "-- a/root/usr/x --\n1\n-- b/root/usr/x --\n1\n", ""},
		{"the same link", "-- a/root/usr/x --\n-> y\n-- b/root/usr/x --\n-> y\n", ""},
		{"three of one file", "-- a/root/usr/x --\n1\n-- b/root/usr/x --\n1\n-- c/control --\nReplaces: a, b\n-- c/root/usr/x --\n3\n", ""},
	} {
		err := put(t, test.packages)
		switch {
		case test.want == "" && err != nil, test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
			t.Errorf("%s: %v\nwant %s", test.summary, err, test.want)
		case strings.Contains(test.want, "they differ") && !errors.Is(err, rootfs.ErrConflict):
			t.Errorf("%s: it is no ErrConflict", test.summary)
		}
	}
}
