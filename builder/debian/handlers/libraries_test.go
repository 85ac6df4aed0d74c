// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package handlers

import (
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"osbuild/builder/debian/ldso/ldsotest"
)

// TestLibraries makes the cache of a few libraries: the order of ld.so.conf,
// names by soname, links that are missing, what is no library of the machine.
func TestLibraries(t *testing.T) {
	ar := txtar.Parse([]byte(`
-- libc-bin/control --
-- libc-bin/root/etc/ld.so.conf --
include /etc/ld.so.conf.d/*.conf
/opt/own/lib	# a comment
-- libc-bin/root/etc/ld.so.conf.d/b.conf --
/lib/x86_64-linux-gnu
/usr/lib/x86_64-linux-gnu
-- libc-bin/root/etc/ld.so.conf.d/a.conf --
/usr/local/lib
/usr/lib/special
-- libc-bin/root/etc/ld.so.conf.d/c.off --
/usr/lib/off
-- libx/root/usr/lib/x86_64-linux-gnu/libx.so --
-> libx.so.1.2
-- libx/root/usr/lib/x86_64-linux-gnu/libalias.so.0 --
-> libx.so.1.2
-- libx/root/usr/lib/x86_64-linux-gnu/libtext.so --
INPUT(libx.so.1)
-- libx/root/usr/lib/x86_64-linux-gnu/libnone.so.1 --
-> libnone.so.1.0
`))
	add := func(name, data string) { ar.Files = append(ar.Files, txtar.File{Name: name, Data: []byte(data)}) }
	add("libx/root/usr/lib/x86_64-linux-gnu/libx.so.1.2", ldsotest.ELF("", "libx.so.1", "libc.so.6"))
	add("libx/root/usr/lib/x86_64-linux-gnu/libplain.so", ldsotest.ELF("", ""))
	add("libx/root/usr/lib/x86_64-linux-gnu/plugin.so", ldsotest.ELF("", "plugin.so"))
	add("libx/root/usr/lib/x86_64-linux-gnu/libx.so.1-gdb.py", ldsotest.ELF("", ""))
	add("libx/root/usr/lib/special/libc.so.6", ldsotest.ELF("", "libc.so.6"))
	add("libx/root/usr/lib/libc.so.6", ldsotest.ELF("", "libc.so.6"))
	add("libx/root/opt/own/lib/libown.so.3", ldsotest.ELF("", "libown.so.3"))
	add("libx/root/usr/lib/off/liboff.so.3", ldsotest.ELF("", "liboff.so.3"))
	add("libx/root/usr/lib/libarm.so.1", strings.Replace(ldsotest.ELF("", "libarm.so.1"), "\x3e\x00", "\xb7\x00", 1))
	got, err := build(t, plant(t, ar))
	if err != nil {
		t.Fatal(err)
	}
	var entries []string
	for _, line := range lines(got) {
		if strings.HasPrefix(line, "    0x303 ") {
			entries = append(entries, strings.TrimPrefix(line, "    0x303 "))
		}
	}
	want := []string{
		"libx.so.1 => /lib/x86_64-linux-gnu/libx.so.1",
		"libx.so => /lib/x86_64-linux-gnu/libx.so",
		"libplain.so => /lib/x86_64-linux-gnu/libplain.so",
		"libown.so.3 => /opt/own/lib/libown.so.3",
		"libc.so.6 => /usr/lib/special/libc.so.6",
		"libc.so.6 => /lib/libc.so.6",
	}
	if !slices.Equal(entries, want) {
		t.Errorf("the cache has\n%s\nwant\n%s", strings.Join(entries, "\n"), strings.Join(want, "\n"))
	}
	if !strings.Contains(got, "usr/lib/x86_64-linux-gnu/libx.so.1 -> ") {
		t.Errorf("the link libx.so.1 is missing:\n%s", got)
	}
}

// TestNeeds looks for the interpreter and the libraries of programs.
func TestNeeds(t *testing.T) {
	ar := &txtar.Archive{}
	add := func(name, data string) { ar.Files = append(ar.Files, txtar.File{Name: name, Data: []byte(data)}) }
	add("tool/root/usr/bin/tool", ldsotest.ELF("/lib64/ld-linux-x86-64.so.2", "", "libc.so.6", "libown.so", "liblost.so.3"))
	add("tool/root/usr/bin/other", ldsotest.ELF("/lib64/ld-linux-x86-64.so.2", "", "liblost.so.3"))
	add("tool/root/usr/lib/tool/libown.so", ldsotest.ELF("", ""))
	add("tool/root/usr/lib/x86_64-linux-gnu/libc.so.6", ldsotest.ELF("", "libc.so.6", "libdeep.so.1"))
	add("tool/root/usr/lib/tool/arm", strings.Replace(ldsotest.ELF("", "", "libarm.so"), "\x3e\x00", "\xb7\x00", 1))
	r, err := compose(t.Context(), plant(t, ar))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		`programs need /lib64/ld-linux-x86-64.so.2, which no package of this system has: add "libc6" (used by: tool /usr/bin/other and 1 more)`,
		"programs need the library libdeep.so.1, which no package of this system has (used by: tool /usr/lib/x86_64-linux-gnu/libc.so.6)",
		"programs need the library liblost.so.3, which no package of this system has (used by: tool /usr/bin/other and 1 more)",
	}
	if got := r.warn(nil); !slices.Equal(got, want) {
		t.Errorf("%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
