// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"context"
	"errors"
	"fmt"
	"os"
	osexec "os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"osbuild/runner/spec"
)

// exec runs a program in a container and returns what it printed.
func (r *rig) exec(i Instance, p spec.Process) string {
	r.t.Helper()
	out, exit, err := r.tryExec(i, p, false)
	if err != nil || exit.Status() != 0 {
		r.t.Fatalf("%q ended with %+v, %v\n%s", p.Argv, exit, err, out)
	}
	return out
}

func (r *rig) tryExec(i Instance, p spec.Process, tty bool) (string, spec.Exit, error) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
	defer cancel()
	return capture(r.t, func(out *os.File) (spec.Exit, error) {
		return i.Exec(ctx, p, Stdio{Out: out, Err: out}, tty)
	})
}

func TestExec(t *testing.T) {
	r := newRig(t, nil)
	i, _ := r.background(r.options(""))
	r.exec(i, spec.Process{Argv: []string{"/usr/bin/sh", "-c", `printf 'alice:x:1000:1000::/home/alice:/bin/sh\nmallory:x:-1:-1::/:/bin/sh\n' >/etc/passwd; printf 'alice:x:1000:\nwheel:x:7:bob,alice\n' >/etc/group`}})
	tests := []struct {
		summary string
		process spec.Process
		tty     bool
		out     string
		exit    spec.Exit
	}{
		{"status", sh("exit 42"), false, "", spec.Exit{Code: 42}},
		{"signal", sh("kill -TERM $$"), false, "", spec.Exit{Signal: int(unix.SIGTERM)}},
		{"nothing is inherited", sh("env | grep -v -e PWD -e SHLVL -e ^PATH=; ls /proc/self/fd; umask; id -G; pwd; hostname"), false, "0\n1\n2\n3\n0022\n0\n/\ntestbox\n", spec.Exit{}},
		{"environment and folder", spec.Process{Argv: []string{"/usr/bin/sh", "-c", "echo $A; pwd"}, Env: []string{"A=b"}, Directory: "/tmp"}, false, "b\n/tmp\n", spec.Exit{}},
		{"it sees the container's processes", sh("readlink /proc/1/exe"), false, itemPath("init") + "/bin/osbuild-init\n", spec.Exit{}},
		{"a user by name", spec.Process{Argv: []string{"/usr/bin/id"}, User: "alice"}, false, "uid=1000(alice) gid=1000(alice) groups=7(wheel)\n", spec.Exit{}},
		{"a user by number", spec.Process{Argv: []string{"/usr/bin/id", "-u"}, User: "77"}, false, "77\n", spec.Exit{}},
		{"a program by name", spec.Process{Argv: []string{"echo", "hi"}}, false, "hi\n", spec.Exit{}},
		{"the runner's own program is out of reach", sh(`printf '#!/proc/self/exe\n' >/tmp/evil; chmod 755 /tmp/evil`), false, "", spec.Exit{}},
		{"also by way of a script", spec.Process{Argv: []string{"/tmp/evil"}}, false, "", spec.Exit{Code: 126}},
		{"a terminal", sh("tty; test -t 0 && test -t 1 && test -t 2 && echo yes"), true, "/dev/pts/0\r\nyes\r\n", spec.Exit{}},
		{"a terminal keeps the status", sh("exit 3"), true, "", spec.Exit{Code: 3}},
	}
	for _, tt := range tests {
		t.Run(tt.summary, func(t *testing.T) {
			out, exit, err := r.tryExec(i, tt.process, tt.tty)
			if err != nil || exit != tt.exit || out != tt.out {
				t.Errorf("got %q, %+v, %v\nwant %q, %+v", out, exit, err, tt.out, tt.exit)
			}
		})
	}
	for _, tt := range []struct {
		summary string
		process spec.Process
		want    string
	}{
		{"no such user", spec.Process{Argv: []string{"/usr/bin/id"}, User: "eve"}, "no such user"},
		{"an id that means no change", spec.Process{Argv: []string{"/usr/bin/id"}, User: "4294967295"}, "no such user"},
		{"an id that is too large", spec.Process{Argv: []string{"/usr/bin/id"}, User: "4294967296"}, "no such user"},
		{"a negative id", spec.Process{Argv: []string{"/usr/bin/id"}, User: "-1"}, "no such user"},
		{"a negative group", spec.Process{Argv: []string{"/usr/bin/id"}, Group: "-1"}, "no such group"},
		{"a user with the id -1", spec.Process{Argv: []string{"/usr/bin/id"}, User: "mallory"}, "no id"},
		{"no such program", spec.Process{Argv: []string{"/nonesuch"}}, "cannot execute /nonesuch"},
		{"no such name", spec.Process{Argv: []string{"nonesuch"}}, "cannot run nonesuch"},
	} {
		t.Run(tt.summary, func(t *testing.T) {
			if _, _, err := r.tryExec(i, tt.process, false); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("interrupted", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		exit, err := i.Exec(ctx, spec.Process{Argv: []string{"/usr/bin/sleep", "1000"}}, Stdio{}, false)
		if err != nil || exit.Signal != int(unix.SIGTERM) {
			t.Errorf("got %+v, %v", exit, err)
		}
	})
	t.Run("shell", func(t *testing.T) {
		if path, err := i.Shell(); err != nil || path != "/usr/bin/sh" {
			t.Errorf("got %q, %v", path, err)
		}
	})
}

func sh(script string) spec.Process {
	return spec.Process{Argv: []string{"/usr/bin/sh", "-c", script}}
}

func TestStopWaitRemove(t *testing.T) {
	r := newRig(t, nil)
	o := r.options("")
	if _, err := Find(o.StateRoot, "testbox"); !errors.Is(err, ErrNotFound) {
		t.Errorf("found in an empty registry: %v", err)
	}
	cmd, i := r.asProcess(o)
	o.Name = "testbox"
	if _, err := Run(t.Context(), o); !errors.Is(err, ErrInUse) {
		t.Errorf("a second container of that name: %v", err)
	}
	if err := i.Remove(); !errors.Is(err, ErrInUse) {
		t.Errorf("a running container was removed: %v", err)
	}
	waited := make(chan error, 1)
	go func() { waited <- i.Wait(t.Context()) }()
	if err := i.Stop(t.Context(), time.Minute); err != nil {
		t.Fatal(err)
	}
	if err := <-waited; err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the runner ended with %v", err)
	}
	if list, err := List(o.StateRoot); err != nil || len(list) != 0 {
		t.Errorf("the registry lists %v, %v", list, err)
	}
	if err := i.Stop(t.Context(), time.Minute); !errors.Is(err, ErrNotFound) {
		t.Errorf("stopped twice: %v", err)
	}
}

func TestStopKillsAfterGrace(t *testing.T) {
	r := newRig(t, map[string]any{"deaf": true, "stubborn": true})
	cmd, i := r.asProcess(r.options(""))
	if err := i.Stop(t.Context(), 50*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if startTime(i.PID) != 0 {
		t.Errorf("PID 1 is still there")
	}
}

// The commands that the message names must work as they stand.
func TestNsenterOfTheMessage(t *testing.T) {
	path, err := osexec.LookPath("nsenter")
	if err != nil {
		t.Skip("SKIP-ENV: nsenter is missing: apt-get install util-linux")
	}
	for _, network := range []string{spec.NetworkNone, spec.NetworkHost} {
		t.Run(network, func(t *testing.T) {
			r := newRig(t, nil)
			o := r.options("")
			o.Network = network
			r.background(o)
			var command []string
			eventually(t, "the message is out", func() bool {
				_, rest, ok := strings.Cut(r.said(), "'nsenter ")
				if ok {
					rest, _, ok = strings.Cut(rest, "'")
					command = strings.Fields(rest)
				}
				return ok
			})
			cmd := osexec.Command(path, append(command, "-c", "id -u; hostname; ls /osbuild/store | wc -l")...)
			cmd.Env = []string{"PATH=/usr/bin"}
			out, err := cmd.CombinedOutput()
			if want := fmt.Sprintf("0\ntestbox\n%d\n", len(r.items)); err != nil || string(out) != want {
				t.Errorf("nsenter %v: %q, %v, want %q", command, out, err, want)
			}
		})
	}
}

func TestExecWithHostNetwork(t *testing.T) {
	r := newRig(t, nil)
	o := r.options("")
	o.Network = spec.NetworkHost
	i, _ := r.background(o)
	if got := r.exec(i, sh("hostname; id -u")); got != "testbox\n0\n" {
		t.Errorf("got %q", got)
	}
}
