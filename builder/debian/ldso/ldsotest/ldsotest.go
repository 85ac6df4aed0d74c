// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

// Package ldsotest makes programs and libraries that have no code, and reads
// ld.so.cache a second time.
//
// It is for tests only, and shares no code with package ldso, so that a
// mistake is not made twice. Start with [ELF] and [Describe].
package ldsotest

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"strings"
)

// ELF gives the bytes of a program or library for amd64 that has no code.
func ELF(interpreter, soname string, needed ...string) string {
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

// magic begins a cache.
const magic = "glibc-ld.so.cache1.1"

// Describe reads a cache as the loader would, and says what is in it: a line
// for each entry. It says no where the bytes are no cache.
func Describe(data []byte) (string, bool) {
	if !bytes.HasPrefix(data, []byte(magic)) || len(data) < 48 {
		return "", false
	}
	order := binary.ByteOrder(binary.LittleEndian)
	if data[28] == 3 {
		order = binary.BigEndian
	}
	n := int(order.Uint32(data[20:]))
	text := func(at uint32) string {
		s, _, _ := strings.Cut(string(data[at:]), "\x00")
		return s
	}
	var b strings.Builder
	for i := range n {
		e := data[48+24*i:]
		fmt.Fprintf(&b, "%#x %s => %s\n", order.Uint32(e), text(order.Uint32(e[4:])), text(order.Uint32(e[8:])))
	}
	if want := 48 + 24*n + int(order.Uint32(data[24:])); want != len(data) {
		fmt.Fprintf(&b, "it has %d bytes, and says %d\n", len(data), want)
	}
	return b.String(), true
}
