// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// What a container has the runner execute may lead back to the runner: a script
// whose interpreter is /proc/self/exe, say, runs the program that its process
// ran before. That is a file of the host outside of all the container's mounts,
// and where a user started the container its root may write to that user's
// files. So a process that enters a container executes a program of a few
// instructions first, which lies in memory, cannot be changed, and is all that
// /proc/self/exe can lead to.

// launcher makes that program. It executes argv[0] with the arguments and the
// environment it got itself; where that fails it reports to the descriptor up,
// as a failure of the step label. A second run, which finds up closed, ends with
// status 126.
func launcher(up uintptr, label int32) (*os.File, error) {
	fail := func(err error) (*os.File, error) {
		return nil, fmt.Errorf("cannot make the program that enters containers: %w", err)
	}
	const flags = unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	fd, err := unix.MemfdCreate("osbuild", flags|unix.MFD_EXEC)
	if errors.Is(err, unix.EINVAL) {
		fd, err = unix.MemfdCreate("osbuild", flags) // before Linux 6.3
	}
	if errors.Is(err, unix.EACCES) {
		err = fmt.Errorf("%w; set the sysctl vm.memfd_noexec to 0 or 1", err)
	}
	if err != nil {
		return fail(err)
	}
	f := os.NewFile(uintptr(fd), "launcher")
	_, err = f.Write(launcherProgram(uint32(up), label))
	if err == nil {
		_, err = unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_WRITE|unix.F_SEAL_GROW|unix.F_SEAL_SHRINK|unix.F_SEAL_SEAL)
	}
	if err != nil {
		f.Close()
		return fail(err)
	}
	return f, nil
}

// launcherProgram is the launcher as an ELF file for x86-64.
func launcherProgram(up uint32, label int32) []byte {
	const base, headers = 0x400000, 64 + 2*56
	le := binary.LittleEndian
	var code []byte
	// set puts a value into eax, edx, esi or edi.
	set := func(register byte, value uint32) { code = le.AppendUint32(append(code, register), value) }
	do := func(b ...byte) { code = append(code, b...) }
	const eax, edx, esi, edi = 0xb8, 0xba, 0xbe, 0xbf
	syscall := []byte{0x0f, 0x05}

	set(edi, up) // fcntl(up, F_SETFD, FD_CLOEXEC)
	set(esi, unix.F_SETFD)
	set(edx, unix.FD_CLOEXEC)
	set(eax, unix.SYS_FCNTL)
	do(syscall...)
	do(0x85, 0xc0) // test eax, eax
	do(0x75, 0)    // jne end
	jump := len(code)
	do(0x48, 0x8b, 0x7c, 0x24, 0x08) // mov rdi, [rsp+8]: argv[0]
	do(0x48, 0x8d, 0x74, 0x24, 0x08) // lea rsi, [rsp+8]: argv
	do(0x48, 0x8b, 0x04, 0x24)       // mov rax, [rsp]: argc
	do(0x48, 0x8d, 0x54, 0xc4, 0x10) // lea rdx, [rsp+rax*8+16]: the environment
	set(eax, unix.SYS_EXECVE)
	do(syscall...)
	do(0x48, 0xf7, 0xd8) // neg rax
	do(0x50)             // push rax: record.value
	do(0x48, 0xb8)       // mov rax, kind and label
	code = le.AppendUint32(code, recordFailure)
	code = le.AppendUint32(code, uint32(label))
	do(0x50)             // push rax
	set(edi, up)         // write(up, rsp, 16)
	do(0x48, 0x89, 0xe6) // mov rsi, rsp
	set(edx, uint32(recordSize))
	set(eax, unix.SYS_WRITE)
	do(syscall...)
	code[jump-1] = byte(len(code) - jump)
	set(edi, 126)
	set(eax, unix.SYS_EXIT_GROUP)
	do(syscall...)

	size := uint64(headers + len(code))
	elf := append([]byte{0x7f, 'E', 'L', 'F', 2, 1, 1}, make([]byte, 9)...) // 64 bits, little endian
	elf = le.AppendUint16(elf, 2)                                           // an executable
	elf = le.AppendUint16(elf, 62)                                          // for x86-64
	elf = le.AppendUint32(elf, 1)
	elf = le.AppendUint64(elf, base+headers) // entry
	elf = le.AppendUint64(elf, 64)           // program headers
	elf = le.AppendUint64(elf, 0)            // no sections
	elf = le.AppendUint32(elf, 0)
	for _, n := range []uint16{64, 56, 2, 0, 0, 0} { // sizes and counts of headers
		elf = le.AppendUint16(elf, n)
	}
	segment := func(kind, flags uint32, words ...uint64) {
		elf = le.AppendUint32(le.AppendUint32(elf, kind), flags)
		for _, w := range words {
			elf = le.AppendUint64(elf, w)
		}
	}
	const load, stack, execute, write, read = 1, 0x6474e551, 1, 2, 4
	segment(load, read|execute, 0, base, base, size, size, 4096)
	segment(stack, read|write, 0, 0, 0, 0, 0, 16)
	return append(elf, code...)
}
