// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package handlers

import (
	"slices"
	"testing"

	"golang.org/x/tools/txtar"
)

// A program that the system names and no package has is told; links count as
// what they lead to, and those of alternatives are there.
func TestExpect(t *testing.T) {
	pkgs := plant(t, txtar.Parse([]byte(`
-- alpha/control --
-- alpha/root/usr/sbin/daemon --
x
-- alpha/root/usr/bin/tool-one --
x
-- alpha/postinst --
#!/bin/sh
update-alternatives --install /usr/bin/tool tool /usr/bin/tool-one 10
`)))
	root, err := compose(t.Context(), pkgs)
	if err != nil {
		t.Fatal(err)
	}
	before := len(root.warnings)
	root.expect([]string{"/sbin/daemon", "/usr/bin/daemon", "/usr/bin/tool", "/usr/sbin/deamon"})
	want := []string{
		"the system names /usr/bin/daemon, which no package of it has: it is /usr/sbin/daemon",
		"the system names /usr/sbin/deamon, which no package of it has",
	}
	if got := root.warnings[before:]; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
