// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package runner

import "syscall"

// sharedMemory says that cloneOn exists.
const sharedMemory = 1

// cloneOn is clone3 with the arguments at args, which must name a stack: on
// that the child calls execute(c, pc), with the memory it shares or not. Nothing
// of the caller's stack is touched by the child. It may be called on a stack
// that is itself one of these.
func cloneOn(args, size uintptr, c *child, pc int) (pid uintptr, errno syscall.Errno)
