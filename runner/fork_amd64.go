// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

//go:build amd64 && !race && !msan && !asan

package runner

import "syscall"

// sharedMemory says that cloneOn exists. It does not where the compiler adds
// calls that check memory: those switch to the system stack of the thread that
// forked, which a child with shared memory must not touch.
const sharedMemory = 1

// cloneOn is clone3 with the arguments at args, which must name a stack: on
// that the child calls execute(c, pc), with the memory it shares or not. Nothing
// of the caller's stack is touched by the child. It may be called on a stack
// that is itself one of these.
func cloneOn(args, size uintptr, c *child, pc int) (pid uintptr, errno syscall.Errno)
