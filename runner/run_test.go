// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"osbuild/runner/idmap"
	"osbuild/runner/spec"
)

func TestRunCommandStatus(t *testing.T) {
	tests := []struct {
		summary string
		script  string
		want    spec.Exit
	}{
		{"success", "exit 0", spec.Exit{}},
		{"a status is kept", "exit 42", spec.Exit{Code: 42}},
		{"a signal is kept", "kill -SEGV $$", spec.Exit{Signal: int(unix.SIGSEGV)}},
	}
	for _, tt := range tests {
		t.Run(tt.summary, func(t *testing.T) {
			r := newRig(t, nil)
			out, exit, err := r.run(r.options(tt.script))
			if err != nil || exit != tt.want {
				t.Errorf("got %+v, %v, want %+v\n%s", exit, err, tt.want, out)
			}
			if list, err := List(r.options("").StateRoot); err != nil || len(list) != 0 {
				t.Errorf("the registry still lists %v, %v", list, err)
			}
		})
	}
}

func TestRunWhatIsInside(t *testing.T) {
	r := newRig(t, nil)
	o := r.options(`
		echo store $(ls /osbuild/store)
		echo owner $(stat -c %u:%g:%a / /usr /usr/bin/busybox /osbuild/store /osbuild/store/*-system /etc /root /tmp /run)
		echo groups $(id -G)
		echo lo $(ip -o link | wc -l) $(ip -o addr show lo | grep -c 127.0.0.1)
		echo hostname $(hostname)
		echo umask $(umask) core $(ulimit -c)
		echo fds $(ls /proc/self/fd)
		echo file $(cat /osbuild/store/*-plain.txt) $(cat /osbuild/store/*-alias)
		touch /etc/x /var/x /home/x /root/x /srv/x /run/x /tmp/x /x && echo writable
		echo env $(cat /proc/1/environ | tr '\0' ' ')`)
	out := r.script(o)
	want := []string{
		fmt.Sprintf("store %s", strings.Join(names(r.items), " ")),
		"owner 0:0:755 0:0:755 0:0:555 0:0:755 0:0:755 0:0:755 0:0:700 0:0:1777 0:0:755",
		"groups 0", "lo 1 1", "hostname testbox", "umask 0022 core 0", "fds 0 1 2 3",
		"file a file item a file item", "writable",
		"env HOME=/root PATH=" + searchPath + " TMPDIR=/tmp container=osbuild",
	}
	if got := strings.TrimSpace(out); got != strings.Join(want, "\n") {
		t.Errorf("got:\n%s\nwant:\n%s", got, strings.Join(want, "\n"))
	}
}

func names(items []spec.Item) []string {
	var out []string
	for _, i := range items {
		out = append(out, filepath.Base(i.Logical))
	}
	return out
}

// hostMap is a process's uid_map as the host sees it.
func hostMap(t *testing.T, pid int) string {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/uid_map", pid))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(strings.Fields(string(data)), " ")
}

func TestRunIDs(t *testing.T) {
	r := newRig(t, nil)
	o := r.options("")
	o.Name = "one"
	one, _ := r.background(o)
	o.Name = "two"
	two, _ := r.background(o)
	total := 0
	for _, i := range []Instance{one, two} {
		text := hostMap(t, i.PID)
		var f [][3]int
		for fields := strings.Fields(text); len(fields) >= 3; fields = fields[3:] {
			var e [3]int
			if _, err := fmt.Sscan(strings.Join(fields[:3], " "), &e[0], &e[1], &e[2]); err != nil {
				t.Fatal(err)
			}
			f = append(f, e)
		}
		total = 0
		for _, e := range f {
			total += e[2]
			if e[0] == e[1] {
				t.Errorf("%s maps %d to itself: %s", i.Name, e[0], text)
			}
		}
		if total != spec.Ids {
			t.Errorf("%s has %d ids: %s", i.Name, total, text)
		}
	}
	if os.Geteuid() == 0 && (one.FirstID == two.FirstID || one.FirstID < 65536) {
		t.Errorf("ranges are not apart: %d, %d", one.FirstID, two.FirstID)
	}
}

func TestRunMappings(t *testing.T) {
	r := newRig(t, nil)
	share, expose := r.folder("share"), r.folder("expose")
	for _, f := range []string{"share/a", "expose/b", "single"} {
		if err := os.WriteFile(filepath.Join(r.dir, f), []byte(f), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	socket := filepath.Join(r.dir, "sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err == nil {
			fmt.Fprint(c, "hello from the host\n")
			c.Close()
		}
	}()
	o := r.options(`cat /data/a /data/deep/b /etc/single; echo; echo new >/data/new; nc local:/run/sock </dev/null
		touch /data/deep/x 2>&1; stat -c %u /data/a`)
	if err := os.Mkdir(filepath.Join(share, "deep"), 0o755); err != nil {
		t.Fatal(err)
	}
	o.Mappings = []spec.Mapping{
		{Source: expose, Target: "/data/deep"}, // before what it lies in
		{Source: share, Target: "/data", Writable: true},
		{Source: filepath.Join(r.dir, "single"), Target: "/etc/single"},
		{Source: socket, Target: "/run/sock", Writable: true},
	}
	out, _, err := r.run(o)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"share/aexpose/bsingle\n", "Read-only file system", "\n0\n", "hello from the host"} {
		if want == "hello from the host" && !strings.Contains(out, want) {
			t.Logf("this busybox cannot open unix sockets: %s", out)
			continue
		}
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in:\n%s", want, out)
		}
	}
	if data, err := os.ReadFile(filepath.Join(share, "new")); err != nil || string(data) != "new\n" {
		t.Errorf("the share did not get the file: %q, %v", data, err)
	}
	var st unix.Stat_t
	if err := unix.Stat(filepath.Join(share, "new"), &st); err != nil || int(st.Uid) != os.Geteuid() {
		t.Errorf("the new file belongs to %d, %v", st.Uid, err)
	}
}

func TestRunErrors(t *testing.T) {
	r := newRig(t, nil)
	a, b := r.folder("a"), r.folder("b")
	tests := []struct {
		summary string
		change  func(o *Options)
		want    []string
	}{
		{"a share that does not exist", func(o *Options) {
			o.Mappings = []spec.Mapping{{Source: a + "/none", Target: "/x"}}
		}, []string{"cannot share " + a + "/none", "no such file or directory"}},
		{"two shares on one target", func(o *Options) {
			o.Mappings = []spec.Mapping{{Source: a, Target: "/x"}, {Source: b, Target: "/x"}}
		}, []string{a, b, "/x", "another target"}},
		{"a share on the store", func(o *Options) {
			o.Mappings = []spec.Mapping{{Source: a, Target: spec.StoreDir}}
		}, []string{"cannot mount on /osbuild/store", "choose another"}},
		{"a share in a folder of a share that lacks it", func(o *Options) {
			o.Mappings = []spec.Mapping{{Source: a, Target: "/x"}, {Source: b, Target: "/x/y"}}
		}, []string{"cannot show " + b + " as /x/y", "no such file or directory"}},
		{"a system that requires nested", func(o *Options) {
			o.Container.Requires = []string{"nested"}
		}, []string{`requires "nested"`, "--nested"}},
		{"a container.json of the future", func(o *Options) { o.Container.Version = 99 }, []string{"version 99"}},
		{"a name of digits", func(o *Options) { o.Name = "123" }, []string{`cannot name a container "123"`}},
		{"a command that is not there", func(o *Options) {
			o.Command = []string{"nonesuch"}
		}, []string{"cannot run nonesuch", "absolute path"}},
		{"a secret that is not there", func(o *Options) {
			o.Secrets = map[string]string{"key": a + "/key"}
		}, []string{"cannot read secret key from " + a + "/key"}},
		{"a network of another world", func(o *Options) { o.Network = "moon" }, []string{`network "moon"`, "none or host"}},
	}
	for _, tt := range tests {
		t.Run(tt.summary, func(t *testing.T) {
			o := r.options("true")
			tt.change(&o)
			_, _, err := r.run(o)
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is missing in: %v", want, err)
				}
			}
		})
	}
}

func TestRunServicesThatFail(t *testing.T) {
	r := newRig(t, map[string]any{"reply": spec.Reply{
		TimedOut: true,
		Services: []spec.ServiceStatus{
			{Name: "web", State: spec.StateFailed, Reason: "exit status 3: no such config\x1b[2J"},
			{Name: "slow", State: spec.StateStarting, AutoStart: true},
			{Name: "fine", State: spec.StateRunning, AutoStart: true},
		},
		Activation: []spec.StepStatus{{Phase: "etc", Name: "motd", Reason: "no space"}},
	}})
	r.script(r.options("true"))
	for _, want := range []string{"service web failed: exit status 3: no such config", "service slow is starting", "activation step etc/motd failed: no space"} {
		if !strings.Contains(r.said(), want) {
			t.Errorf("%q is missing in:\n%s", want, r.said())
		}
	}
	if strings.Contains(r.said(), "\x1b") {
		t.Errorf("the container wrote to the terminal: %q", r.said())
	}
}

func TestRegistryOfSomebodyElse(t *testing.T) {
	r := newRig(t, nil)
	o := r.options("true")
	if err := os.Mkdir(o.StateRoot, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(o.StateRoot, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.run(o); err == nil || !strings.Contains(err.Error(), "only this user can write to") {
		t.Errorf("got %v", err)
	}
	if _, err := List(o.StateRoot); err == nil {
		t.Error("it was listed")
	}
}

func TestRunWithoutSubids(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root needs no subordinate ids")
	}
	r := newRig(t, nil)
	files := idmap.SystemFiles
	t.Cleanup(func() { idmap.SystemFiles = files })
	idmap.SystemFiles.Subuid = "/nonesuch"
	_, _, err := r.run(r.options("true"))
	if !errors.Is(err, idmap.ErrNoSubids) || !strings.Contains(err.Error(), "as root, run: usermod --add-subuids") || !strings.Contains(err.Error(), "--single-id") {
		t.Errorf("got %v", err)
	}
	idmap.SystemFiles = files
	t.Setenv("PATH", "/nonesuch")
	if _, _, err := r.run(r.options("true")); !errors.Is(err, idmap.ErrNoHelper) || !strings.Contains(err.Error(), "apt-get install uidmap") {
		t.Errorf("got %v", err)
	}
}

func TestRunWithoutUserNamespaces(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root's limit is the machine's")
	}
	unshare, err := exec.LookPath("unshare")
	if err != nil {
		t.Skip("SKIP-ENV: unshare is missing: apt-get install util-linux")
	}
	r := newRig(t, nil)
	o := r.options("true")
	o.SingleID = true
	inner := runOptions{Container: &o}.command(t)
	cmd := exec.Command(unshare, "-Ur", "/bin/sh", "-c", `echo 0 >/proc/sys/user/max_user_namespaces && exec "$0"`, inner.Path)
	cmd.Env = inner.Env
	out, err := cmd.CombinedOutput()
	for _, want := range []string{"cannot make namespaces", "user namespaces are disabled; as root, run: sysctl user.max_user_namespaces="} {
		if err == nil || !strings.Contains(string(out), want) {
			t.Errorf("%q is missing in %q, %v", want, out, err)
		}
	}
}

// A store whose file system cannot map owners works, with one warning.
func TestRunFromStoreWithoutIDMaps(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("a user's containers never map owners")
	}
	r := newRig(t, nil)
	lower, upper, work, merged := r.dir, r.folder("upper"), r.folder("work"), r.folder("merged")
	err := unix.Mount("overlay", merged, "overlay", 0, fmt.Sprintf("lowerdir=%s/store,upperdir=%s,workdir=%s", lower, upper, work))
	if err != nil {
		t.Skip("SKIP-ENV: no overlay: " + err.Error())
	}
	t.Cleanup(func() { _ = unix.Unmount(merged, unix.MNT_DETACH) })
	for i := range r.items {
		r.items[i].Physical = filepath.Join(merged, filepath.Base(r.items[i].Logical))
	}
	o := r.options("stat -c %u /usr/bin /usr/bin/busybox; touch /etc/x && stat -c %u /etc/x")
	if got := r.script(o); got != "65534\n65534\n0\n" {
		t.Errorf("got %q", got)
	}
	if n := strings.Count(r.said(), "shown as nobody's"); n != 1 {
		t.Errorf("%d warnings: %s", n, r.said())
	}
}

func TestRunBootThatFails(t *testing.T) {
	r := newRig(t, map[string]any{"die": true, "exit": 7})
	_, _, err := r.run(r.options("true"))
	if !errors.Is(err, ErrBoot) || !strings.Contains(err.Error(), "status 7") || !strings.Contains(err.Error(), consoleFile) {
		t.Fatalf("got %v", err)
	}
	// The name is free again although the console was kept.
	data, rerr := os.ReadFile(filepath.Join(r.options("").StateRoot, "containers/testbox", consoleFile))
	if rerr != nil || !strings.Contains(string(data), "fake init: up") {
		t.Errorf("the console was not kept: %q, %v", data, rerr)
	}
	if _, _, err := r.run(r.options("true")); !errors.Is(err, ErrBoot) {
		t.Errorf("second start: %v", err)
	}
}

func TestRunSecrets(t *testing.T) {
	r := newRig(t, nil)
	file := filepath.Join(r.dir, "key")
	if err := os.WriteFile(file, []byte("hunter2"), 0o600); err != nil {
		t.Fatal(err)
	}
	o := r.options(`cat /run/secrets/token; stat -c " %a %u:%g" /run/secrets/token; grep -c " /run/secrets .*tmpfs" /proc/self/mountinfo`)
	o.Secrets = map[string]string{"token": file}
	if got := r.script(o); got != "hunter2 400 0:0\n1\n" {
		t.Errorf("got %q", got)
	}
	plan, err := Plan(o)
	if err != nil || strings.Contains(plan.String(), "hunter2") {
		t.Errorf("the plan tells the secret, or %v", err)
	}
}

func TestRunMergedUsr(t *testing.T) {
	r := newRig(t, nil)
	r.write("more/bin/extra", []byte("#!/bin/sh\necho extra\n"), 0o555)
	r.write("more/share/doc", []byte("x"), 0o444)
	r.items = append(r.items, spec.Item{Logical: itemPath("more"), Physical: r.physical("more")})
	o := r.options(`extra; ls /usr; stat -c %u /usr/share/doc; touch /usr/x 2>&1; mount -o remount,rw /usr 2>&1; touch /usr/y 2>&1; true`)
	o.Container.Root.Usr = append(o.Container.Root.Usr, spec.Lower{Item: itemPath("more")})
	out := r.script(o)
	if !strings.HasPrefix(out, "extra\nbin\nshare\n0\n") || strings.Count(out, "Read-only") < 2 {
		t.Errorf("got:\n%s", out)
	}
	for _, p := range []string{"x", "y"} {
		for _, item := range []string{"more", "busybox"} {
			if _, err := os.Stat(filepath.Join(r.physical(item), p)); err == nil {
				t.Errorf("%s/%s was written", item, p)
			}
		}
	}
}

// Many layers do not fit into one option string.
func TestRunUsrOfManyLowers(t *testing.T) {
	r := newRig(t, nil)
	o := r.options(`ls /usr/bin | grep -c ^many`)
	for n := range 120 {
		name := fmt.Sprintf("layer-with-a-rather-long-name-%03d", n)
		r.write(fmt.Sprintf("%s/bin/many-%03d", name, n), nil, 0o555)
		r.items = append(r.items, spec.Item{Logical: itemPath(name), Physical: r.physical(name)})
		o.Container.Root.Usr = append(o.Container.Root.Usr, spec.Lower{Item: itemPath(name)})
	}
	o.Items = r.items
	out, exit, err := r.run(o)
	if errors.Is(err, unix.EINVAL) {
		t.Skip("SKIP-ENV: this kernel takes no more than a page of overlay options")
	}
	if err != nil || strings.TrimSpace(out) != "120" {
		t.Errorf("got %q, %+v, %v", out, exit, err)
	}
}

func TestRunHostNetwork(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			fmt.Fprintln(c, "reached")
			c.Close()
		}
	}()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	for _, tt := range []struct{ network, want string }{
		{spec.NetworkHost, "reached"},
		{spec.NetworkNone, ""},
	} {
		t.Run(tt.network, func(t *testing.T) {
			r := newRig(t, nil)
			o := r.options("nc 127.0.0.1 " + port + " </dev/null 2>/dev/null; true")
			o.Network = tt.network
			if got := strings.TrimSpace(r.script(o)); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// A declared file system that the kernel refuses is skipped if that is declared
// too, and is an error that names it if not.
func TestRunOptionalMount(t *testing.T) {
	for _, optional := range []bool{true, false} {
		r := newRig(t, nil)
		o := r.options("touch /tmp/x /zzz/x && stat -f -c %T /zzz")
		o.Container.Mounts = []spec.Mount{
			{Kind: spec.MountTmpfs, Target: "/aaa", Options: []string{"nonesuch=1"}, Optional: optional},
			{Kind: spec.MountMqueue, Target: "/bbb", Options: []string{"nonesuch=1"}, Optional: optional},
			{Kind: spec.MountTmpfs, Target: "/zzz"},
		}
		out, exit, err := r.run(o)
		if optional && (err != nil || out != "tmpfs\n") {
			t.Errorf("got %q, %+v, %v", out, exit, err)
		}
		if !optional && (err == nil || !strings.Contains(err.Error(), "cannot mount tmpfs on /aaa: invalid argument")) {
			t.Errorf("got %v", err)
		}
	}
}

func TestRunSingleID(t *testing.T) {
	r := newRig(t, nil)
	o := r.options(`cat /proc/self/uid_map | wc -l; id -u; touch /etc/x && stat -c %u /etc/x`)
	o.SingleID = true
	if got := r.script(o); got != "1\n0\n0\n" {
		t.Errorf("got %q", got)
	}
}

func TestRunDeclaredFolders(t *testing.T) {
	r := newRig(t, nil)
	o := r.options(`stat -c "%n %u:%g:%a" /srv /opt /opt/data /var/empty`)
	o.Container.Root.Dirs = []spec.Dir{
		{Path: "/srv", Mode: 0o750, User: "12", Group: "34"},
		{Path: "/opt/data", Mode: 0o2775, User: "1000"},
		{Path: "/var/empty", Mode: 0o555},
	}
	want := "/srv 12:34:750\n/opt 0:0:755\n/opt/data 1000:0:2775\n/var/empty 0:0:555\n"
	if got := r.script(o); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestRunManyIDs(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("a user has as many ids as were given to it")
	}
	r := newRig(t, nil)
	o := r.options(`touch /tmp/x && busybox chown 131071 /tmp/x && stat -c %u /tmp/x`)
	o.IDs = 131072
	if got := r.script(o); got != "131071\n" {
		t.Errorf("got %q", got)
	}
}

// TestExplainIsHarmless: what a container says of its services is no command to
// the caller's terminal.
func TestExplainIsHarmless(t *testing.T) {
	var got strings.Builder
	c := &container{o: Options{Message: func(text string) { got.WriteString(text + "\n") }}}
	c.explain(spec.ServiceStatus{Name: "a\x1b[2J", Log: []string{"b\x1b]0;c\a"}, Next: "d\x9be"})
	if text := got.String(); strings.ContainsAny(text, "\x1b\a") || strings.Count(text, "\n") != 2 {
		t.Errorf("got %q", text)
	}
}
