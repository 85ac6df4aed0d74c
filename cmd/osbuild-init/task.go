// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"

	"osbuild/runner/account"
	"osbuild/runner/spec"
	"osbuild/runner/task"
)

// firstPIDs is the PID namespace that the machine itself has, by the number
// that the kernel gives it (PID_NS_INIT_INO in linux/nsfs.h). All others are
// containers'.
const firstPIDs = "pid:[4026531836]"

// runTask does what a task plan says, in the system that runs.
func runTask(args []string) (int, error) {
	if len(args) != 1 || !filepath.IsAbs(args[0]) {
		return 0, fmt.Errorf("%w: task takes the absolute path of a task plan", errUsage)
	}
	data, err := os.ReadFile(args[0])
	if err != nil {
		return 0, err
	}
	var plan spec.TaskPlan
	if err := decodePlan(args[0], data, &plan); err != nil {
		return 0, err
	}
	// Without the files only root and ids in decimal are known.
	passwd, _ := os.ReadFile("/etc/passwd")
	group, _ := os.ReadFile("/etc/group")
	pids, _ := os.Readlink("/proc/self/ns/pid")
	return 0, task.Run(plan, task.Options{
		Kernel:  task.System{},
		Machine: pids == firstPIDs,
		Names:   account.ParseNames(passwd, group),
		Warn:    func(line string) { fmt.Fprintf(os.Stderr, "warning: %s\n", line) },
	})
}
