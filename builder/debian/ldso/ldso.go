// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

// Package ldso reads what programs say of the files they need, and writes
// ld.so.cache, by which the dynamic loader finds libraries.
//
// It owns the formats: the first line of a script, the headers of ELF files
// (elf(5)), the cache (ldconfig(8)), and what differs between architectures.
// It never looks for a file: which folders count, and what a link leads to, is
// for who asks. Start with [ReadProgram] and [EncodeCache].
package ldso

import (
	"debug/elf"
	"strings"
)

// ABI is what programs and the cache say of the libraries of an architecture.
type ABI struct {
	Machine elf.Machine
	Class   elf.Class
	flags   uint32
	// Triplet is the name of its folders of libraries.
	Triplet string
}

// abis are those that glibc numbers; the flags are of its cache's format.
var abis = map[string]ABI{
	"amd64":   {elf.EM_X86_64, elf.ELFCLASS64, 0x0303, "x86_64-linux-gnu"},
	"arm64":   {elf.EM_AARCH64, elf.ELFCLASS64, 0x0a03, "aarch64-linux-gnu"},
	"armhf":   {elf.EM_ARM, elf.ELFCLASS32, 0x0903, "arm-linux-gnueabihf"},
	"i386":    {elf.EM_386, elf.ELFCLASS32, 0x0003, "i386-linux-gnu"},
	"ppc64el": {elf.EM_PPC64, elf.ELFCLASS64, 0x0503, "powerpc64le-linux-gnu"},
	"riscv64": {elf.EM_RISCV, elf.ELFCLASS64, 0x1003, "riscv64-linux-gnu"},
	"s390x":   {elf.EM_S390, elf.ELFCLASS64, 0x0403, "s390x-linux-gnu"},
}

// ABIOf is that of an architecture by the name that Debian gives it.
func ABIOf(arch string) (ABI, bool) {
	a, ok := abis[arch]
	return a, ok
}

// LibraryName says whether ldconfig takes a file of this name for a library.
func LibraryName(name string) bool {
	if !strings.HasPrefix(name, "lib") && !strings.HasPrefix(name, "ld-") && !strings.HasPrefix(name, "ld.so.") && !strings.HasPrefix(name, "ld64.so.") {
		return false
	}
	return strings.Contains(name, ".so") && !strings.HasSuffix(name, ".py")
}
