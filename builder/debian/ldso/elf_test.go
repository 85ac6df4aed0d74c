// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package ldso

import (
	"bytes"
	"debug/elf"
	"os"
	"slices"
	"strings"
	"testing"

	"osbuild/builder/debian/ldso/ldsotest"
)

func TestParseProgram(t *testing.T) {
	for _, test := range []struct {
		summary, text string
		want          *Program
	}{
		{"a script", "#!/bin/sh -e\ntrue\n", &Program{Interpreter: "/bin/sh", Script: true}},
		{"a blank first", "#! /usr/bin/perl -w", &Program{Interpreter: "/usr/bin/perl", Script: true}},
		{"by env", "#!/usr/bin/env python3\n", &Program{Interpreter: "python3", Script: true}},
		{"by env with options", "#!/usr/bin/env -S A=b python3 -u\n", &Program{Interpreter: "python3", Script: true}},
		{"env alone", "#!/usr/bin/env\n", &Program{Interpreter: "/usr/bin/env", Script: true}},
		{"no interpreter", "#!\n", nil},
		{"text", strings.Repeat("text ", 100), nil},
		{"nothing", "", nil},
		{"a library", ldsotest.ELF("", "libx.so.1", "libc.so.6"), &Program{Machine: elf.EM_X86_64, Class: elf.ELFCLASS64, Dynamic: true, Soname: "libx.so.1", Needed: []string{"libc.so.6"}}},
		{"a program", ldsotest.ELF("/lib64/ld.so", "", "liba.so", "libb.so"), &Program{Machine: elf.EM_X86_64, Class: elf.ELFCLASS64, Dynamic: true, Interpreter: "/lib64/ld.so", Needed: []string{"liba.so", "libb.so"}}},
		{"cut off", ldsotest.ELF("", "libx.so.1")[:200], nil},
	} {
		got, err := ParseProgram(strings.NewReader(test.text))
		if (err != nil) != (test.want == nil) {
			t.Errorf("%s: %v", test.summary, err)
			continue
		}
		if err == nil && (got.Interpreter != test.want.Interpreter || got.Script != test.want.Script || got.Machine != test.want.Machine ||
			got.Class != test.want.Class || got.Dynamic != test.want.Dynamic || got.Soname != test.want.Soname || !slices.Equal(got.Needed, test.want.Needed)) {
			t.Errorf("%s: %+v, want %+v", test.summary, got, test.want)
		}
	}
}

// TestParseProgramAgainstLibrary reads programs of this machine as Go's own
// library does.
func TestParseProgramAgainstLibrary(t *testing.T) {
	read := 0
	for _, file := range []string{"/bin/ls", "/bin/sh", "/usr/bin/perl", "/lib/x86_64-linux-gnu/libc.so.6", "/usr/lib/libc.so.6"} {
		f, err := elf.Open(file)
		if err != nil {
			continue
		}
		read++
		want, err := f.ImportedLibraries()
		if err != nil {
			t.Fatal(err)
		}
		soname, err := f.DynString(elf.DT_SONAME)
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		got, err := ReadProgram(file)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		if !slices.Equal(got.Needed, want) || len(soname) == 1 && soname[0] != got.Soname {
			t.Errorf("%s: needs %q, name %q; want %q, %q", file, got.Needed, got.Soname, want, soname)
		}
	}
	if read == 0 {
		t.Skip("SKIP-ENV: no dynamic program at the usual places")
	}
}

func FuzzParseProgram(f *testing.F) {
	f.Add([]byte("#!/usr/bin/env -S x"))
	f.Add([]byte(ldsotest.ELF("/lib64/ld.so", "libx.so", "liba.so")))
	if data, err := os.ReadFile("/bin/true"); err == nil {
		f.Add(data[:min(len(data), 4096)])
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := ParseProgram(bytes.NewReader(data))
		if (p == nil) != (err != nil) {
			t.Errorf("%v, %v", p, err)
		}
	})
}
