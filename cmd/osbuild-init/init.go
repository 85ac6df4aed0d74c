// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"osbuild/runner/account"
	"osbuild/runner/activate"
	"osbuild/runner/activate/tree"
	"osbuild/runner/spec"
	"osbuild/runner/supervise"
)

// runInit boots a system and supervises it until it is powered off.
func runInit(args []string) (int, error) {
	if len(args) == 0 || !filepath.IsAbs(args[0]) {
		return 0, fmt.Errorf("%w: init takes the absolute path of a boot plan", errUsage)
	}
	if len(args) > 1 {
		return 0, fmt.Errorf("%w: a system boots without a command; run %q in it with the engine's exec", errUsage, args[1])
	}
	control, console := inherited()
	say := func(line string) { fmt.Fprintf(console, "osbuild-init: %s\n", line) }

	bootFile := args[0]
	data, err := os.ReadFile(bootFile)
	if err != nil {
		return 0, fmt.Errorf("cannot read the boot plan: %w", err)
	}
	var boot spec.BootPlan
	if err := decodePlan(bootFile, data, &boot); err != nil {
		if console != os.Stderr {
			say(err.Error())
		}
		return 0, err
	}
	root, err := tree.Open("/", nil)
	if err != nil {
		return 0, err
	}
	// From here on nothing stops the boot: a system that lacks something can
	// still be looked at.
	var missing []spec.StepStatus
	var services spec.ServicePlan
	if err := readPlan(root, boot.Services, &services); err != nil {
		missing = append(missing, spec.StepStatus{Phase: spec.PhaseState, Name: "services", Reason: err.Error()})
	}
	system := path.Dir(bootFile)
	for _, line := range circumstances() {
		say(line)
	}
	if root.Kind(spec.CurrentSystem) != 0 {
		// An engine starts a container again with what was in /run.
		for _, err := range root.Empty(path.Dir(spec.CurrentSystem)) {
			say(err.Error())
		}
	}
	status := supervise.Run(supervise.Options{
		Plan: services,
		Activate: func(exec func(string, spec.Process) error) []spec.StepStatus {
			plan, err := readActivation(root, system, boot.Activate)
			if err != nil {
				return append(missing, spec.StepStatus{Phase: spec.PhaseState, Name: "activation", Reason: err.Error()})
			}
			o := here(system)
			o.Boot, o.Exec, o.Mounts, o.Message = true, exec, activate.KernelMounts{}, say
			o.Limits = activate.KernelLimits{}
			statuses := append(missing, activate.Run(root, plan, o)...)
			if err := linkHerd(root); err != nil && !activate.Unable(err) {
				say(err.Error())
			}
			go func() { say(activate.Watch(root, func(err error) { say(err.Error()) }).Error()) }()
			return statuses
		},
		Homes: func(h spec.Homes) error {
			name := h.Activate
			if below, ok := strings.CutPrefix(name, spec.CurrentSystem+"/"); ok && root.Kind(spec.CurrentSystem) == 0 {
				name = path.Join(system, below) // the link could not be made
			}
			plan, err := readActivation(root, path.Dir(name), name)
			if err != nil {
				return err
			}
			var problems []error
			for _, s := range plan.Steps {
				if s.Accounts != nil {
					problems = append(problems, activate.Homes(root, s.Accounts.Users, h.Skeleton)...)
				}
			}
			return serious(problems, say)
		},
		Directories: func(dirs []spec.Dir) error { return serious(activate.Directories(root, dirs), say) },
		ReadPlan: func(name string) (plan spec.ServicePlan, err error) {
			return plan, readPlan(root, name, &plan)
		},
		Names:   func() account.Names { return accounts(root) },
		Control: control,
		Publish: publishing(control),
		Console: console,
		LogDir:  spec.LogDir,
		RunDir:  path.Dir(spec.ControlSocket),
		Socket:  spec.ControlSocket,
		Self:    self(),
	})
	for _, err := range activate.Save(root) {
		// What cannot be written here was said at the boot.
		if !activate.Unable(err) {
			say(err.Error())
		}
	}
	return status, nil
}

// linkHerd makes a path for herd that is the same in every system, and one
// where shells look for programs. An activation empties that folder.
func linkHerd(root *tree.Root) error {
	places := []string{path.Join(path.Dir(spec.ControlSocket), herdName)}
	if short := path.Join(spec.PrivilegedDir, herdName); root.Kind(short) == 0 {
		places = append(places, short)
	}
	for _, place := range places {
		if err := root.MkdirAll(path.Dir(place)); err != nil {
			return err
		}
		if err := root.Symlink(place, self()[0]); err != nil {
			return err
		}
	}
	return nil
}

// circumstances says what an engine does not permit, where that is more than
// single steps will tell.
func circumstances() (lines []string) {
	if uid := os.Geteuid(); uid != 0 {
		lines = append(lines, fmt.Sprintf("this is user %d, not root: there will be no accounts, no /etc of the system and no service "+
			"of another user; start the container as root", uid))
	}
	var closed []string
	for _, dir := range []string{"/etc", "/run", "/var"} {
		if errors.Is(unix.Access(dir, unix.W_OK), unix.EROFS) {
			closed = append(closed, dir)
		}
	}
	if len(closed) > 0 {
		lines = append(lines, fmt.Sprintf("%s cannot be written, so the system stays as it is there; give each a file system in memory "+
			"or a volume", strings.Join(closed, " and ")))
	}
	return lines
}

// inherited finds the descriptors that the runner hands over. Under a container
// engine there is no runner: whatever has the number 3 then is no socket.
func inherited() (control, console *os.File) {
	console = os.Stderr
	kind, err := unix.GetsockoptInt(spec.ControlFD, unix.SOL_SOCKET, unix.SO_TYPE)
	if err != nil || kind != unix.SOCK_STREAM {
		return nil, console
	}
	if _, err := unix.Getpeername(spec.ControlFD); err != nil {
		return nil, console
	}
	unix.CloseOnExec(spec.ControlFD)
	_ = unix.SetNonblock(spec.ControlFD, true)
	control = os.NewFile(spec.ControlFD, "control")
	if flags, err := unix.FcntlInt(spec.ConsoleFD, unix.F_GETFL, 0); err == nil && flags&unix.O_ACCMODE != unix.O_RDONLY {
		unix.CloseOnExec(spec.ConsoleFD)
		console = os.NewFile(spec.ConsoleFD, "console")
	}
	return control, console
}

// readPlan reads a plan by its path in the system.
func readPlan(root *tree.Root, name string, into any) error {
	data, err := root.ReadFile(name)
	if err != nil {
		return fmt.Errorf("cannot read a plan: %w", err)
	}
	return decodePlan(name, data, into)
}

// readActivation reads the activation plan of a system, joined with that of its
// packages.
func readActivation(root *tree.Root, system, name string) (spec.ActivationPlan, error) {
	var plan, packages spec.ActivationPlan
	if err := readPlan(root, name, &plan); err != nil {
		return plan, err
	}
	dir := path.Join(system, spec.SystemPackages)
	if system == "" || root.Kind(dir) == 0 {
		return plan, nil
	}
	if err := readPlan(root, path.Join(dir, spec.PackagesPlan), &packages); err != nil {
		return plan, err
	}
	return activate.Join(packages, plan), nil
}

// accounts are those of the system as they are now.
func accounts(root *tree.Root) account.Names {
	passwd, _ := root.ReadFile("/etc/passwd")
	group, _ := root.ReadFile("/etc/group")
	return account.ParseNames(passwd, group)
}

// self is the command by which this program becomes another with limits.
func self() []string {
	exe, err := os.Executable()
	if err != nil {
		exe = "/proc/self/exe"
	}
	return []string{exe, "become"}
}

// serious makes one error, on one line, of those problems that are more than a
// lack of privilege. The others are only said: with a single id no owner can be
// set, and the system is to come up all the same.
func serious(problems []error, say func(string)) error {
	var texts []string
	for _, err := range problems {
		if activate.Unable(err) {
			say(err.Error())
			continue
		}
		texts = append(texts, err.Error())
	}
	if len(texts) == 0 {
		return nil
	}
	return errors.New(strings.Join(texts, "; "))
}
