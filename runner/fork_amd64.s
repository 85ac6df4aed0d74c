// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

//go:build amd64 && !race && !msan && !asan

#include "textflag.h"

// That there is an assembly file also makes the Go compiler accept the
// functions without a body in fork.go, which the linker takes from the runtime.

// func cloneOn(args, size uintptr, c *child, pc int) (pid uintptr, errno syscall.Errno)
TEXT ·cloneOn(SB),NOSPLIT|NOFRAME,$0-48
	MOVQ	args+0(FP), DI
	MOVQ	size+8(FP), SI
	// A system call leaves these registers alone, so the child finds what it
	// needs without a look at the caller's stack.
	MOVQ	c+16(FP), R12
	MOVQ	pc+24(FP), R13
	MOVL	$435, AX	// clone3
	SYSCALL
	TESTQ	AX, AX
	JEQ	child
	CMPQ	AX, $0xfffffffffffff001
	JLS	parent
	NEGQ	AX
	MOVQ	$-1, pid+32(FP)
	MOVQ	AX, errno+40(FP)
	RET
parent:
	MOVQ	AX, pid+32(FP)
	MOVQ	$0, errno+40(FP)
	RET
child:
	// The kernel has set SP to the top of the new stack.
	XORL	BP, BP
	SUBQ	$32, SP
	MOVQ	R12, 0(SP)
	MOVQ	R13, 8(SP)
	// Not called by name: the linker would see a recursion without an end.
	LEAQ	·execute(SB), AX
	CALL	AX
	INT	$3	// execute never returns
