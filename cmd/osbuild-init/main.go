// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

// Command osbuild-init is the one program that osbuild puts into every system:
// its PID 1, the interpreter of its activation plan and of task plans, the tool
// that talks to its services, and the launcher of run-container scripts. It is
// static and needs nothing around it.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"osbuild/runner/supervise"
)

// Exit statuses. A start that fails in osbuild itself has its own, see run.
const (
	exitFailed = 1
	exitUsage  = 2
)

// errUsage marks wrong use, which exits with another status than a failure.
var errUsage = errors.New("wrong use")

// command is one of the things that this program is.
type command struct {
	name, args, summary string
	run                 func(args []string) (status int, err error)
}

// commands lists them; become is how services with resource limits start, and
// nobody's to call.
func commands() []command {
	return []command{
		{"init", "BOOT-PLAN", "be PID 1 of a system", runInit},
		{"activate", "[--boot] [--root DIR] PLAN", "carry out an activation plan", runActivate},
		{"task", "PLAN", "do the tasks of a plan (entry points of services do)", runTask},
		{herdName, "VERB [SERVICE [ARGUMENT…]]", "look at and steer services", runHerd},
		{"run", "OPTION…", "boot a system (run-container scripts do)", runRun},
		{"become", "", "", func(args []string) (int, error) {
			return supervise.ExecMain(args, os.Environ(), os.Stderr), nil
		}},
	}
}

// herdName is the name by which this program is herd.
const herdName = "herd"

func main() {
	if filepath.Base(os.Args[0]) == herdName {
		os.Args = slices.Insert(os.Args, 1, herdName)
	}
	all := commands()
	if len(os.Args) < 2 || slices.Contains([]string{"help", "-h", "--help"}, os.Args[1]) {
		usage(all)
		if len(os.Args) < 2 {
			os.Exit(exitUsage)
		}
		return
	}
	for _, c := range all {
		if c.name != os.Args[1] {
			continue
		}
		status, err := c.run(os.Args[2:])
		if err != nil {
			fmt.Fprintf(os.Stderr, "osbuild-init: %v\n", err)
			if errors.Is(err, errUsage) {
				fmt.Fprintf(os.Stderr, "usage: osbuild-init %s\n", strings.TrimSpace(c.name+" "+c.args))
				os.Exit(exitUsage)
			}
			status = max(status, exitFailed)
		}
		os.Exit(status)
	}
	fmt.Fprintf(os.Stderr, "osbuild-init: there is no command %q\n", os.Args[1])
	usage(all)
	os.Exit(exitUsage)
}

func usage(all []command) {
	fmt.Fprintln(os.Stderr, "usage: osbuild-init COMMAND …")
	for _, c := range all {
		if c.summary != "" {
			fmt.Fprintf(os.Stderr, "  %-38s %s\n", c.name+" "+c.args, c.summary)
		}
	}
}
