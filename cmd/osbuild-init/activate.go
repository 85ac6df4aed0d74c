// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"time"

	"osbuild/runner/activate"
	"osbuild/runner/activate/tree"
	"osbuild/runner/spec"
	"osbuild/runner/supervise"
)

// runActivate carries out an activation plan in a running system, or in a
// tree.
func runActivate(args []string) (int, error) {
	o, dir, plan := activate.Options{}, "/", ""
	for i := 0; i < len(args); i++ {
		switch arg := args[i]; {
		case arg == "--boot":
			o.Boot = true
		case arg == "--reconfigure":
			o.Boot = false
		case arg == "--root" && i+1 < len(args):
			i++
			dir = args[i]
		case strings.HasPrefix(arg, "--root="):
			dir = strings.TrimPrefix(arg, "--root=")
		case strings.HasPrefix(arg, "-") || plan != "":
			return 0, fmt.Errorf("%w: unexpected argument %q", errUsage, arg)
		default:
			plan = arg
		}
	}
	if !filepath.IsAbs(plan) {
		return 0, fmt.Errorf("%w: activate takes the absolute path of an activation plan", errUsage)
	}
	root, err := tree.Open(dir, nil)
	if err != nil {
		return 0, err
	}
	defer root.Close()
	system := systemOf(root, plan)
	document, err := readActivation(root, system, plan)
	if err != nil {
		return 0, err
	}
	boot := o.Boot
	o = here(system)
	o.Boot = boot
	o.Message = func(line string) { fmt.Fprintf(os.Stderr, "osbuild-init: %s\n", line) }
	if root.Dir() == "/" {
		o.Mounts, o.Limits = activate.KernelMounts{}, activate.KernelLimits{}
		o.Exec = execStep(root)
	}
	failed := 0
	statuses := activate.Run(root, document, o)
	for _, st := range statuses {
		if !st.Skipped && !st.Warning {
			failed++
		}
		fmt.Fprintf(os.Stderr, "osbuild-init: activation: %s\n", stepLine(st))
	}
	if root.Dir() == "/" && !boot && system != "" {
		if err := follow(root, system, statuses); err != nil {
			return 0, err
		}
	}
	if failed > 0 {
		return 0, fmt.Errorf("%d steps of the activation failed", failed)
	}
	return 0, nil
}

// follow has the init that supervises this system, where there is one, follow
// the services of the system that was activated.
func follow(root *tree.Root, system string, statuses []spec.StepStatus) error {
	if root.Kind(spec.ControlSocket) == 0 {
		return nil
	}
	// The activation has emptied it.
	if err := linkHerd(root); err != nil && !activate.Unable(err) {
		fmt.Fprintf(os.Stderr, "osbuild-init: %v\n", err)
	}
	reply, err := ask(spec.ControlSocket, spec.Request{
		ID: 1, Op: spec.OpUpgrade, Plan: path.Join(system, "services"), Activation: statuses,
	})
	if err != nil {
		return err
	}
	if reply.Upgrade != nil {
		reportUpgrade(os.Stdout, reply)
	}
	if reply.Error != "" {
		return errors.New(reply.Error)
	}
	return nil
}

// systemOf is the system whose activation plan is given: the folder of the
// plan, or what a link such as /run/current-system points to.
func systemOf(root *tree.Root, plan string) string {
	system := path.Dir(path.Clean(plan))
	for range 8 {
		target, err := root.Readlink(system)
		if err != nil {
			break
		}
		if !path.IsAbs(target) {
			target = path.Join(path.Dir(system), target)
		}
		system = path.Clean(target)
	}
	if system == spec.StoreDir {
		return "" // the plan's own item
	}
	return system
}

// here are the circumstances of an activation in this process.
func here(system string) activate.Options {
	return activate.Options{
		System: system,
		Ids:    mappedIds("/proc/self/uid_map"),
		Today:  int(time.Now().Unix() / (24 * 60 * 60)),
	}
}

// mappedIds counts the ids from 0 upwards that a map file gives. The map of a
// machine, all 32 bits, has no bound worth the name: it is 0.
func mappedIds(name string) int {
	f, err := os.Open(name)
	if err != nil {
		return 0
	}
	defer f.Close()
	counts := map[int]int{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var first, outside, count int
		if _, err := fmt.Sscan(lines.Text(), &first, &outside, &count); err == nil {
			counts[first] = count
		}
	}
	n := 0
	for counts[n] > 0 {
		n += counts[n]
	}
	if n >= 1<<32-1 {
		return 0
	}
	return n
}

// execStep runs the program of a user step in a system that another process
// supervises.
func execStep(root *tree.Root) func(string, spec.Process) error {
	return func(name string, p spec.Process) error {
		argv, err := supervise.Command(p, accounts(root), self())
		if err != nil {
			return err
		}
		cmd := exec.Command(argv[0], argv[1:]...)
		cmd.Env = append([]string{}, p.Env...)
		out, err := cmd.CombinedOutput()
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		for _, line := range lines {
			if line != "" {
				fmt.Fprintf(os.Stderr, "%s| %s\n", name, line)
			}
		}
		if err != nil {
			return fmt.Errorf("%w: %s", err, lines[len(lines)-1])
		}
		return nil
	}
}
