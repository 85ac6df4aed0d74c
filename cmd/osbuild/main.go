// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

// Command osbuild builds, boots and shares small Linux systems.
//
// It owns the words of the command line and nothing else: a verb turns flags
// into options, makes one call into the library, and prints. It is also the
// one place where the layers are wired together: the runner becomes the
// builder's executor here. Start with the table in verbs.go.
package main

import (
	"context"
	"os"
	"runtime/debug"
)

func main() {
	// A command lives for moments, and what it holds stays small: collecting
	// less often costs little memory.
	debug.SetGCPercent(400)
	os.Exit(run(os.Args[1:]))
}

// run is main without the exit, so that test scripts can call it in process.
func run(args []string) int {
	a := newApp(os.Stdout, os.Stderr)
	ctx, stop := a.heed(context.Background())
	defer stop()
	return a.main(ctx, args)
}
