// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"osbuild/runner/cgroup"
	"osbuild/runner/spec"
)

// marked counts the processes whose command line holds a mark.
func marked(t *testing.T, mark string) int {
	t.Helper()
	dirs, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, d := range dirs {
		if pid, err := strconv.Atoi(d.Name()); err == nil && pid != os.Getpid() {
			data, _ := os.ReadFile(filepath.Join("/proc", d.Name(), "cmdline"))
			if strings.Contains(string(data), mark) {
				n++
			}
		}
	}
	return n
}

// eventually waits for a condition that another process brings about.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for range 2000 {
		if f() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Errorf("still not so: %s", what)
}

func TestKilledRunnerLeavesNothing(t *testing.T) {
	tests := []struct {
		summary string
		doc     map[string]any
	}{
		{"PID 1 listens", nil},
		{"PID 1 ignores the end of the control socket", map[string]any{"stubborn": true}},
	}
	for _, tt := range tests {
		t.Run(tt.summary, func(t *testing.T) {
			r := newRig(t, tt.doc)
			cmd, i := r.asProcess(r.options(""))
			mark := strconv.Itoa(100000 + os.Getpid())
			r.exec(i, sh("sleep "+mark+" >/dev/null 2>&1 & sleep "+mark+" >/dev/null 2>&1 &"))
			eventually(t, "the processes run", func() bool { return marked(t, mark) >= 2 })
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait()
			eventually(t, "PID 1 is gone", func() bool { return startTime(i.PID) == 0 })
			eventually(t, "its processes are gone", func() bool { return marked(t, mark) == 0 })
			root := filepath.Dir(filepath.Dir(i.dir))
			if list, err := List(root); err != nil || len(list) != 0 {
				t.Errorf("the registry lists %v, %v", list, err)
			}
			stale, err := Find(root, "testbox")
			if err != nil || stale.Running {
				t.Errorf("the stale entry: %+v, %v", stale, err)
			}
			if err := stale.Remove(); err != nil {
				t.Error(err)
			}
			if entries, _ := os.ReadDir(filepath.Dir(i.dir)); len(entries) != 0 {
				t.Errorf("the registry still holds %v", entries)
			}
		})
	}
}

func TestSignalsPowerOff(t *testing.T) {
	for _, sig := range []unix.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP} {
		t.Run(sig.String(), func(t *testing.T) {
			r := newRig(t, map[string]any{"exit": 5})
			cmd, i := r.asProcess(r.options(""))
			if err := cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait()
			// PID 1 ends with 5 only when it is asked to power off.
			if got := cmd.ProcessState.ExitCode(); got != 5 {
				t.Errorf("the runner ended with %d", got)
			}
			if startTime(i.PID) != 0 {
				t.Error("PID 1 is still there")
			}
		})
	}
}

func TestInterruptedCommand(t *testing.T) {
	r := newRig(t, nil)
	mark := strconv.Itoa(400000 + os.Getpid())
	cmd, i := r.asProcess(r.options("sleep " + mark))
	eventually(t, "the command runs", func() bool { return marked(t, "sleep\x00"+mark) >= 1 })
	if err := cmd.Process.Signal(unix.SIGINT); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if got := cmd.ProcessState.ExitCode(); got != 128+int(unix.SIGINT) {
		t.Errorf("the runner ended with %d", got)
	}
	if startTime(i.PID) != 0 || marked(t, "sleep\x00"+mark) != 0 {
		t.Error("something is still there")
	}
}

func TestSecondSignalKills(t *testing.T) {
	r := newRig(t, map[string]any{"deaf": true, "stubborn": true})
	cmd, i := r.asProcess(r.options(""))
	if err := cmd.Process.Signal(unix.SIGINT); err != nil {
		t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond)
	if startTime(i.PID) == 0 {
		t.Error("the first signal killed PID 1")
	}
	if err := cmd.Process.Signal(unix.SIGINT); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if got := cmd.ProcessState.ExitCode(); got != 128+int(unix.SIGKILL) {
		t.Errorf("the runner ended with %d", got)
	}
}

func TestContextPowersOff(t *testing.T) {
	r := newRig(t, map[string]any{"exit": 6})
	_, stop := r.background(r.options(""))
	exit, err := stop()
	if err != nil || exit.Code != 6 {
		t.Errorf("got %+v, %v", exit, err)
	}
}

func TestPIDFileAndMessage(t *testing.T) {
	r := newRig(t, nil)
	o := r.options("")
	o.PIDFile = filepath.Join(r.dir, "pid")
	i, stop := r.background(o)
	eventually(t, "the pid file is written", func() bool {
		data, _ := os.ReadFile(o.PIDFile)
		return strings.TrimSpace(string(data)) == strconv.Itoa(i.PID)
	})
	eventually(t, "the message is out", func() bool {
		return strings.Contains(r.said(), "is running as PID "+strconv.Itoa(i.PID)) &&
			strings.Contains(r.said(), "osbuild exec testbox") && strings.Contains(r.said(), "nsenter")
	})
	if _, err := stop(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(o.PIDFile); err == nil {
		t.Error("the pid file outlived the container")
	}
}

func TestState(t *testing.T) {
	r := newRig(t, nil)
	dir := filepath.Join(r.dir, "kept")
	o := r.options(`mkdir /home/alice; echo hello >/var/note; echo x >/etc/note; stat -c %u:%g:%a / /var /home /root /srv`)
	o.StateDir = dir
	if got, want := r.script(o), strings.Repeat("0:0:755\n", 3)+"0:0:700\n0:0:755\n"; got != want {
		t.Errorf("owners: %q", got)
	}
	if st, err := os.Stat(dir); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("the folder's mode is %v, %v", st.Mode(), err)
	}
	o.Command = []string{"/usr/bin/sh", "-c", `cat /var/note; ls /home /etc; stat -c %u /var/note`}
	if got := r.script(o); got != "hello\n/etc:\n\n/home:\nalice\n0\n" {
		t.Errorf("second run: %q", got)
	}
	o.Command = nil
	o.Name = "holder"
	first, stop := r.background(o)
	o.Name = "other"
	if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "in use by a running container") {
		t.Errorf("two containers on one state: %v", err)
	}
	if _, err := stop(); err != nil {
		t.Error(err)
	}
	// Files belong to ids of the range, so it must be the same again.
	if os.Geteuid() == 0 {
		o.Name = "again"
		again, _ := r.background(o)
		if again.FirstID != first.FirstID {
			t.Errorf("ids from %d, then from %d", first.FirstID, again.FirstID)
		}
	}
}

func TestStateRefusesOtherFolders(t *testing.T) {
	r := newRig(t, nil)
	dir := r.folder("photos")
	if err := os.WriteFile(filepath.Join(dir, "cat"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	o := r.options("true")
	o.StateDir = dir
	if _, _, err := r.run(o); err == nil || !strings.Contains(err.Error(), "holds cat and is no state folder") {
		t.Errorf("got %v", err)
	}
}

func TestPlanStartsNothing(t *testing.T) {
	r := newRig(t, nil)
	o := r.options("")
	o.StateDir = filepath.Join(r.dir, "kept")
	o.Limits = cgroup.Limits{Memory: 1 << 20, PIDs: 7, CPUs: 0.5}
	o.Publish = []Port{{netip.MustParseAddrPort("[::1]:8080"), 80}}
	before := sums(t, r.dir)
	plan, err := Plan(o)
	if err != nil {
		t.Fatal(err)
	}
	if after := sums(t, r.dir); after != before {
		t.Errorf("the plan changed files:\n%s", after)
	}
	for _, want := range []string{
		spec.StoreDir, "\nlimit cpu.max 50000 100000\nlimit memory.max 1048576\nlimit pids.max 7\nopen  [::1]:8080:80\n",
	} {
		if !strings.Contains(plan.String(), want) {
			t.Errorf("%q is missing in:\n%s", want, plan)
		}
	}
}
