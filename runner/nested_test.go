// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"osbuild/runner/cgroup"
	"osbuild/runner/spec"
)

// groups are the control groups of a container that are there now.
func (r *rig) groups(name string) []string {
	r.t.Helper()
	h, err := cgroup.Find()
	if err != nil {
		r.t.Skipf("SKIP-ENV: %v", err)
	}
	dir, err := h.Place(name, runsAsRoot())
	if err != nil {
		r.t.Skipf("SKIP-ENV: %v", err)
	}
	found, err := filepath.Glob(dir + "-*")
	if err != nil {
		r.t.Fatal(err)
	}
	return found
}

// TestNested: what a container needs for containers in it is there, with a
// network of its own and with the host's.
func TestNested(t *testing.T) {
	const script = `
stat -c '%n %a' /proc/sys /sys/fs/cgroup/cgroup.procs >/dev/null || exit 1
echo "group $(grep -o '^0::.*' /proc/self/cgroup)"
grep ' - cgroup2 ' /proc/self/mountinfo | grep -c ' /sys/fs/cgroup rw,'
touch /sys/x 2>/dev/null || echo no file in sysfs
for f in $(find /sys -maxdepth 3 -type f ! -path '/sys/fs/cgroup/*' 2>/dev/null); do
	true 2>/dev/null >>"$f" && echo "$f can be written"
done
grep -c ' /proc/' /proc/self/mounts
grep -o 'NoNewPrivs:.*' /proc/self/status
/usr/bin/busybox unshare -U -r -m -p -f sh -c 'mount -t proc proc /proc && echo proc of its own'
`
	// With the host's network, /sys is the host's, and stays as it is shown.
	const hosts = `mount -o remount,bind,rw /sys 2>/dev/null || echo locked`
	const own = `/usr/bin/busybox unshare -U -r -n -m sh -c 'mount -t sysfs sysfs /sys && echo sysfs of its own'`
	for _, network := range []string{spec.NetworkNone, spec.NetworkHost} {
		t.Run(network, func(t *testing.T) {
			r := newRig(t, nil)
			more, says := hosts, "locked\n"
			if network == spec.NetworkNone {
				more, says = own, "sysfs of its own\n"
			}
			o := r.options(script + more)
			o.Nested, o.Network = true, network
			out := r.script(o)
			want := "group 0::/\n1\nno file in sysfs\n0\nNoNewPrivs:\t0\nproc of its own\n" + says
			if out != want {
				t.Errorf("got %q, want %q", out, want)
			}
		})
	}
	t.Run("without it", func(t *testing.T) {
		r := newRig(t, nil)
		if out := r.script(r.options("grep -c cgroup2 /proc/self/mountinfo; ls /sys/fs/cgroup; true")); out != "0\n" {
			t.Errorf("got %q", out)
		}
	})
}

// TestGroup: container root may divide its group, and not lift its limits;
// programs that come later are in it too; in the end it is gone.
func TestGroup(t *testing.T) {
	r := newRig(t, nil)
	o := r.options("")
	o.Nested, o.Name = true, "grouped"
	if len(r.groups("grouped")) > 0 {
		t.Fatal("an earlier run left a group")
	}
	i, stop := r.background(o)
	found := r.groups("grouped")
	if len(found) != 1 || !strings.HasPrefix(i.Group, found[0]) {
		t.Fatalf("groups %q, the registry says %q", found, i.Group)
	}
	script := `
grep -o '^0::.*' /proc/self/cgroup
cd /sys/fs/cgroup && mkdir -p init user.slice/one && echo 1 >init/cgroup.procs && echo $$ >user.slice/one/cgroup.procs
grep -o '^0::.*' /proc/self/cgroup
`
	want := []string{"0::/\n0::/user.slice/one\n"}
	if runsAsRoot() {
		// In a user's container these are the caller's, and limits stand above.
		script += "echo 0 >cgroup.max.descendants; echo 1 >cgroup.kill; true"
		want = append(want, "cgroup.max.descendants: Permission denied", "cgroup.kill: Permission denied")
	}
	out, exit, err := capture(t, func(out *os.File) (spec.Exit, error) {
		return i.Exec(t.Context(), spec.Process{Argv: []string{"/usr/bin/sh", "-c", script}}, Stdio{Out: out, Err: out}, false)
	})
	if err != nil || exit.Status() != 0 {
		t.Fatalf("%+v, %v\n%s", exit, err, out)
	}
	for _, want := range want {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in:\n%s", want, out)
		}
	}
	// The group of PID 1 is another one now.
	out, _, err = capture(t, func(out *os.File) (spec.Exit, error) {
		return i.Exec(t.Context(), spec.Process{Argv: []string{"/usr/bin/cat", "/proc/self/cgroup"}}, Stdio{Out: out, Err: out}, false)
	})
	if err != nil || !slices.Contains(strings.Split(out, "\n"), "0::/init") {
		t.Errorf("a later program is in %s, %v", out, err)
	}
	// PID 1 goes where no path reaches, which is no way out either.
	deep := `
mkdir /tmp/group && mount -t cgroup2 none /tmp/group && cd /tmp/group || exit
name=$(printf %0200d 0)
for half in 1 2; do
	for i in $(seq 12); do mkdir $name && cd $name || exit; done
	mount --bind . /tmp/group && cd /tmp/group || exit
done
echo 1 >cgroup.procs && cat /proc/1/cgroup
`
	out, _, err = capture(t, func(out *os.File) (spec.Exit, error) {
		return i.Exec(t.Context(), spec.Process{Argv: []string{"/usr/bin/sh", "-c", deep}}, Stdio{Out: out, Err: out}, false)
	})
	if _, at, _ := strings.Cut(out, "0::"); err != nil || len(at) < 4000 {
		t.Fatalf("PID 1 is not hidden: %v\n%s", err, out)
	}
	out, _, err = capture(t, func(out *os.File) (spec.Exit, error) {
		return i.Exec(t.Context(), spec.Process{Argv: []string{"/usr/bin/cat", "/proc/self/cgroup"}}, Stdio{Out: out, Err: out}, false)
	})
	if err != nil || !slices.Contains(strings.Split(out, "\n"), "0::/") {
		t.Errorf("a program of a container that hides is in %s, %v", out, err)
	}
	if _, err := stop(); err != nil {
		t.Error(err)
	}
	if found := r.groups("grouped"); len(found) > 0 {
		t.Errorf("left behind: %q", found)
	}
}

// TestFrozen: a container that stops itself holds nobody who enters it.
func TestFrozen(t *testing.T) {
	r := newRig(t, nil)
	o := r.options("")
	o.Nested, o.Name = true, "frozen"
	i, stop := r.background(o)
	if i.Group == "" {
		t.Skip("SKIP-ENV: this user has no control group")
	}
	enter := func(ctx context.Context, script string) error {
		_, _, err := capture(t, func(out *os.File) (spec.Exit, error) {
			return i.Exec(ctx, spec.Process{Argv: []string{"/usr/bin/sh", "-c", script}}, Stdio{Out: out, Err: out}, false)
		})
		return err
	}
	if err := enter(t.Context(), "cd /sys/fs/cgroup && mkdir ice && echo 1 >ice/cgroup.procs && echo 1 >ice/cgroup.freeze"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := enter(ctx, "true"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if err := os.WriteFile(filepath.Join(i.Group, "ice", "cgroup.freeze"), []byte("0"), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := stop(); err != nil {
		t.Error(err)
	}
}

// TestKilledRunnerLeavesGroup: the group of a container whose runner was killed
// goes with its entry, or before the next container of that name.
func TestKilledRunnerLeavesGroup(t *testing.T) {
	for _, tc := range []struct {
		summary string
		next    func(*testing.T, *rig, Instance)
	}{
		{"remove", func(t *testing.T, _ *rig, i Instance) {
			if err := i.Remove(); err != nil {
				t.Error(err)
			}
		}},
		{"start again", func(_ *testing.T, r *rig, _ Instance) { r.script(r.options("true")) }},
	} {
		t.Run(tc.summary, func(t *testing.T) {
			r := newRig(t, nil)
			o := r.options("")
			o.Nested = true
			before := r.groups("testbox")
			cmd, i := r.asProcess(o)
			group := i.Group
			if group == "" {
				t.Fatal("it has no group")
			}
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait()
			eventually(t, "the container is gone", func() bool { return errors.Is(unix.Kill(i.PID, 0), unix.ESRCH) })
			if _, err := os.Lstat(group); err != nil {
				t.Errorf("the kernel removed it: %v", err)
			}
			tc.next(t, r, i)
			if after := r.groups("testbox"); !slices.Equal(before, after) {
				t.Errorf("before %q, after %q", before, after)
			}
		})
	}
}

// TestLimitsNeedControllers: a limit was asked for, so a container that cannot
// have it does not start. The kernel of this machine says which case it is.
func TestLimitsNeedControllers(t *testing.T) {
	r := newRig(t, nil)
	o := r.options("cat /sys/fs/cgroup/pids.max")
	o.Nested, o.Limits = true, cgroup.Limits{PIDs: 123}
	out, _, err := r.run(o)
	h, ferr := cgroup.Find()
	if data, rerr := os.ReadFile(filepath.Join(h.Root, "cgroup.controllers")); ferr == nil && rerr == nil && slices.Contains(strings.Fields(string(data)), "pids") && runsAsRoot() {
		if err != nil || out != "123\n" {
			t.Errorf("got %q, %v", out, err)
		}
		return
	}
	if err == nil || !strings.HasPrefix(err.Error(), "cannot limit the container") {
		t.Errorf("it started: %v", err)
	}
	if list, _ := List(o.StateRoot); len(list) > 0 {
		t.Errorf("it runs: %v", list)
	}
}

// TestOpenDevices: only what everybody may open is of use in a container.
func TestOpenDevices(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIP-ENV: devices are made by root: run as root")
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "net"), 0o755); err != nil {
		t.Fatal(err)
	}
	node := func(name string, mode uint32) {
		if err := unix.Mknod(filepath.Join(dir, name), unix.S_IFCHR, int(unix.Mkdev(1, 3))); err != nil {
			t.Skipf("SKIP-ENV: no device can be made here: %v", err)
		}
		if err := os.Chmod(filepath.Join(dir, name), os.FileMode(mode)); err != nil {
			t.Fatal(err)
		}
	}
	node("fuse", 0o600)
	if got := openDevices(dir, "fuse", "net/tun"); len(got) > 0 {
		t.Errorf("got %q", got)
	}
	node("net/tun", 0o666)
	if got := openDevices(dir, "fuse", "net/tun"); !slices.Equal(got, []string{"net/tun"}) {
		t.Errorf("got %q", got)
	}
}
