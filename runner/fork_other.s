// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

//go:build !amd64 || race || msan || asan

// This file makes the Go compiler accept the functions without a body in
// fork.go, which the linker takes from the runtime.
