// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

//go:build !amd64 || race || msan || asan

package runner

import "syscall"

// sharedMemory says that cloneOn does not exist: children get a copy.
const sharedMemory = 0

// cloneOn is never called.
func cloneOn(uintptr, uintptr, *child, int) (uintptr, syscall.Errno) { return 0, syscall.ENOSYS }
