// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package supervise

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"osbuild/runner/account"
	"osbuild/runner/spec"
)

// A file mode mask and resource limits belong to a whole process and must be
// set between fork and exec, where Go runs nothing of ours. So a process that
// has any is started by way of this same program, which sets them on itself,
// takes on the user, and becomes the process.

// launch is what [ExecMain] is told.
type launch struct {
	Argv      []string              `json:"argv"`
	Directory string                `json:"directory"`
	Umask     *uint32               `json:"umask,omitempty"`
	Limits    map[string]spec.Limit `json:"limits,omitempty"`
	Cred      *syscall.Credential   `json:"cred,omitempty"`
}

const defaultUmask = 0o022

// limited returns what to execute for p: itself, or the way round.
func (s *supervisor) limited(p spec.Process, attr *syscall.ProcAttr) (path string, argv []string, err error) {
	if len(p.Limits) == 0 && (p.Umask == nil || *p.Umask == defaultUmask) {
		return p.Argv[0], p.Argv, nil
	}
	if argv, err = become(p, attr.Dir, attr.Sys.Credential, s.Self); err != nil {
		return "", nil, err
	}
	attr.Sys.Credential = nil
	attr.Dir = "/"
	return argv[0], argv, nil
}

// become is the command that sets limits and becomes p. self is the command
// that runs ExecMain.
func become(p spec.Process, dir string, cred *syscall.Credential, self []string) ([]string, error) {
	for name := range p.Limits {
		if _, ok := resources[strings.ToLower(name)]; !ok {
			return nil, fmt.Errorf("cannot start %s: there is no resource limit %q", p.Argv[0], name)
		}
	}
	if len(self) == 0 {
		return nil, fmt.Errorf("cannot start %s: this program cannot set limits", p.Argv[0])
	}
	text, err := json.Marshal(launch{Argv: p.Argv, Directory: dir, Umask: p.Umask, Limits: p.Limits, Cred: cred})
	if err != nil {
		return nil, err
	}
	return append(slices.Clone(self), string(text)), nil
}

// Command is a command line that becomes p, for whoever runs one without
// supervising it. self is the command that runs [ExecMain].
func Command(p spec.Process, names account.Names, self []string) ([]string, error) {
	if len(p.Argv) == 0 {
		return nil, errors.New("no program is given")
	}
	cred, err := credential(p, func() account.Names { return names }, false)
	if err != nil {
		return nil, err
	}
	return become(p, cmp.Or(p.Directory, "/"), cred, self)
}

// ExecMain sets limits and becomes a service's process. It returns only when
// that failed, with the status to exit with.
func ExecMain(args, env []string, stderr io.Writer) int {
	err := errors.New("wrong use")
	if len(args) == 1 {
		var l launch
		if err = json.Unmarshal([]byte(args[0]), &l); err == nil {
			err = l.become(env, stderr)
		}
	}
	fmt.Fprintf(stderr, "osbuild-init: %v\n", err)
	return 126
}

func (l launch) become(env []string, stderr io.Writer) error {
	if len(l.Argv) == 0 {
		return errors.New("no program is given")
	}
	for _, name := range slices.Sorted(maps.Keys(l.Limits)) {
		warning, err := setLimit(strings.ToLower(name), l.Limits[name])
		if err != nil {
			return err
		}
		if warning != "" {
			fmt.Fprintln(stderr, ownPrefix+warning)
		}
	}
	umask := defaultUmask
	if l.Umask != nil {
		umask = int(*l.Umask)
	}
	unix.Umask(umask)
	if c := l.Cred; c != nil {
		if !c.NoSetGroups {
			groups := make([]int, 0, len(c.Groups))
			for _, g := range c.Groups {
				groups = append(groups, int(g))
			}
			if err := syscall.Setgroups(groups); err != nil {
				return fmt.Errorf("cannot set the groups: %w", err)
			}
		}
		if err := syscall.Setresgid(int(c.Gid), int(c.Gid), int(c.Gid)); err != nil {
			return fmt.Errorf("cannot become group %d: %w", c.Gid, err)
		}
		if err := syscall.Setresuid(int(c.Uid), int(c.Uid), int(c.Uid)); err != nil {
			return fmt.Errorf("cannot become user %d: %w", c.Uid, err)
		}
	}
	if err := unix.Chdir(l.Directory); err != nil {
		return fmt.Errorf("cannot enter %s: %w", l.Directory, err)
	}
	return fmt.Errorf("cannot start %s: %w", l.Argv[0], unix.Exec(l.Argv[0], l.Argv, env))
}

// setLimit sets a limit of this process. One above what may be had here, as in
// a container whose root is nobody outside, becomes the highest possible: the
// service can do without, and its status says so.
func setLimit(name string, limit spec.Limit) (warning string, err error) {
	want := unix.Rlimit{Cur: uint64(limit.Soft), Max: uint64(limit.Hard)}
	err = unix.Setrlimit(resources[name], &want)
	if err == nil {
		return "", nil
	}
	var now unix.Rlimit
	if unix.Getrlimit(resources[name], &now) == nil && errors.Is(err, unix.EPERM) {
		lower := unix.Rlimit{Cur: min(want.Cur, now.Max), Max: min(want.Max, now.Max)}
		if lower != want && unix.Setrlimit(resources[name], &lower) == nil {
			return fmt.Sprintf("the limit %s is %s, %s and not %s, %s: more may not be had here",
				name, limitText(lower.Cur), limitText(lower.Max), limitText(want.Cur), limitText(want.Max)), nil
		}
	}
	return "", fmt.Errorf("cannot set the limit %s to %s, %s (it is %s, %s): %w",
		name, limitText(want.Cur), limitText(want.Max), limitText(now.Cur), limitText(now.Max), err)
}

func limitText(n uint64) string {
	if n == unix.RLIM_INFINITY {
		return "unlimited"
	}
	return strconv.FormatUint(n, 10)
}

// resources are the names of setrlimit(2).
var resources = map[string]int{
	"as": unix.RLIMIT_AS, "core": unix.RLIMIT_CORE, "cpu": unix.RLIMIT_CPU, "data": unix.RLIMIT_DATA,
	"fsize": unix.RLIMIT_FSIZE, "locks": unix.RLIMIT_LOCKS, "memlock": unix.RLIMIT_MEMLOCK,
	"msgqueue": unix.RLIMIT_MSGQUEUE, "nice": unix.RLIMIT_NICE, "nofile": unix.RLIMIT_NOFILE,
	"nproc": unix.RLIMIT_NPROC, "rss": unix.RLIMIT_RSS, "rtprio": unix.RLIMIT_RTPRIO,
	"rttime": unix.RLIMIT_RTTIME, "sigpending": unix.RLIMIT_SIGPENDING, "stack": unix.RLIMIT_STACK,
}
