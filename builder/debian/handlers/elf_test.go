// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package handlers

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"slices"
	"strings"
	"testing"
)

// makeELF gives the bytes of a program or library for amd64 that has no code.
func makeELF(interpreter, soname string, needed ...string) string {
	names := []byte{0}
	name := func(s string) uint64 {
		at := len(names)
		names = append(append(names, s...), 0)
		return uint64(at)
	}
	type dyn struct{ tag, value uint64 }
	var dyns []dyn
	for _, n := range needed {
		dyns = append(dyns, dyn{uint64(elf.DT_NEEDED), name(n)})
	}
	if soname != "" {
		dyns = append(dyns, dyn{uint64(elf.DT_SONAME), name(soname)})
	}
	const base, headers = 0x1000, 64 + 3*56
	interp := append([]byte(interpreter), 0)
	dynAt := uint64(headers + len(interp) + len(names))
	dyns = append(dyns, dyn{uint64(elf.DT_STRTAB), base + headers + uint64(len(interp))}, dyn{uint64(elf.DT_STRSZ), uint64(len(names))}, dyn{})
	size := dynAt + uint64(16*len(dyns))
	var b bytes.Buffer
	put := func(values ...any) {
		for _, v := range values {
			_ = binary.Write(&b, binary.LittleEndian, v) // to memory
		}
	}
	b.WriteString("\x7fELF\x02\x01\x01")
	b.Write(make([]byte, 9))
	put(uint16(elf.ET_DYN), uint16(elf.EM_X86_64), uint32(1), uint64(0), uint64(64), uint64(0), uint32(0), uint16(64), uint16(56), uint16(3), uint16(0), uint16(0), uint16(0))
	segment := func(kind elf.ProgType, at, size uint64) {
		put(uint32(kind), uint32(4), at, base+at, base+at, size, size, uint64(1))
	}
	segment(elf.PT_LOAD, 0, size)
	if interpreter == "" {
		segment(elf.PT_NULL, 0, 0)
	} else {
		segment(elf.PT_INTERP, headers, uint64(len(interp)))
	}
	segment(elf.PT_DYNAMIC, dynAt, uint64(16*len(dyns)))
	b.Write(interp)
	b.Write(names)
	for _, d := range dyns {
		put(d.tag, d.value)
	}
	return b.String()
}

func TestParseProgram(t *testing.T) {
	for _, test := range []struct {
		summary, text string
		want          *program
	}{
		{"a script", "#!/bin/sh -e\ntrue\n", &program{interpreter: "/bin/sh", script: true}},
		{"a blank first", "#! /usr/bin/perl -w", &program{interpreter: "/usr/bin/perl", script: true}},
		{"by env", "#!/usr/bin/env python3\n", &program{interpreter: "python3", script: true}},
		{"by env with options", "#!/usr/bin/env -S A=b python3 -u\n", &program{interpreter: "python3", script: true}},
		{"env alone", "#!/usr/bin/env\n", &program{interpreter: "/usr/bin/env", script: true}},
		{"no interpreter", "#!\n", nil},
		{"text", strings.Repeat("text ", 100), nil},
		{"nothing", "", nil},
		{"a library", makeELF("", "libx.so.1", "libc.so.6"), &program{machine: elf.EM_X86_64, class: elf.ELFCLASS64, dynamic: true, soname: "libx.so.1", needed: []string{"libc.so.6"}}},
		{"a program", makeELF("/lib64/ld.so", "", "liba.so", "libb.so"), &program{machine: elf.EM_X86_64, class: elf.ELFCLASS64, dynamic: true, interpreter: "/lib64/ld.so", needed: []string{"liba.so", "libb.so"}}},
		{"cut off", makeELF("", "libx.so.1")[:200], nil},
	} {
		got, err := parseProgram(strings.NewReader(test.text))
		if (err != nil) != (test.want == nil) {
			t.Errorf("%s: %v", test.summary, err)
			continue
		}
		if err == nil && (got.interpreter != test.want.interpreter || got.script != test.want.script || got.machine != test.want.machine ||
			got.class != test.want.class || got.dynamic != test.want.dynamic || got.soname != test.want.soname || !slices.Equal(got.needed, test.want.needed)) {
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
		got, err := readProgram(file)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		if !slices.Equal(got.needed, want) || len(soname) == 1 && soname[0] != got.soname {
			t.Errorf("%s: needs %q, name %q; want %q, %q", file, got.needed, got.soname, want, soname)
		}
	}
	if read == 0 {
		t.Skip("SKIP-ENV: no dynamic program at the usual places")
	}
}

func FuzzParseProgram(f *testing.F) {
	f.Add([]byte("#!/usr/bin/env -S x"))
	f.Add([]byte(makeELF("/lib64/ld.so", "libx.so", "liba.so")))
	if data, err := os.ReadFile("/bin/true"); err == nil {
		f.Add(data[:min(len(data), 4096)])
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := parseProgram(bytes.NewReader(data))
		if (p == nil) != (err != nil) {
			t.Errorf("%v, %v", p, err)
		}
	})
}
