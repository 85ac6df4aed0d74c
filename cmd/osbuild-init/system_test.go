// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"osbuild/runner/spec"
)

const (
	initPath   = "/osbuild/store/i-osbuild-init/bin/osbuild-init"
	systemPath = "/osbuild/store/s-system"
	patience   = 30 * time.Second
)

// image writes a small system into a folder and returns the folder.
func image(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "osbuild-init")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(os.Chmod(dir, 0o755))
	for _, d := range []string{"proc", "run", "tmp", "dev", "var", "osbuild/store/s-system", "osbuild/store/e-etc/containers", filepath.Dir(initPath)} {
		check(os.MkdirAll(filepath.Join(dir, d), 0o755))
	}
	for _, lib := range libraries {
		check(os.MkdirAll(filepath.Join(dir, lib), 0o755))
	}
	check(os.WriteFile(filepath.Join(dir, "dev/null"), nil, 0o644))
	check(os.WriteFile(filepath.Join(dir, "osbuild/store/e-etc/hosts"), []byte("127.0.0.1 localhost\n"), 0o444))
	check(os.WriteFile(filepath.Join(dir, "osbuild/store/e-etc/containers/policy.json"), []byte("{}"), 0o444))
	exe, err := os.ReadFile("/proc/self/exe")
	check(err)
	check(os.WriteFile(filepath.Join(dir, initPath), exe, 0o755))

	plan := func(name, command string, document any) {
		data, err := json.Marshal(document)
		check(err)
		text := string(data)
		if command != "" {
			text = "#!" + initPath + " " + command + "\n" + text
		}
		check(os.WriteFile(filepath.Join(dir, systemPath, name), []byte(text), 0o755))
	}
	zero := 0
	program := func(args ...string) *spec.Process {
		return &spec.Process{Argv: append([]string{initPath, "helper"}, args...), Env: []string{"A=b"}}
	}
	plan("boot", "init", spec.BootPlan{Version: spec.Version, Activate: systemPath + "/activate", Services: systemPath + "/services"})
	plan("activate", "activate", spec.ActivationPlan{Version: spec.Version, Steps: []spec.Step{
		{Phase: spec.PhaseAccounts, Name: "accounts", Accounts: &spec.Accounts{
			Groups: []spec.Group{{Name: "root", GID: &zero, System: true}, {Name: "users"}},
			Users: []spec.User{
				{Name: "root", UID: &zero, Group: "root", Home: "/root", Shell: "/bin/sh", System: true, CreateHome: true},
				{Name: "alice", Group: "users", Home: "/home/alice", Shell: "/bin/sh", CreateHome: true},
			},
		}},
		{Phase: spec.PhaseEtc, Name: "etc", Etc: &spec.Etc{Tree: "/osbuild/store/e-etc", Copies: map[string]uint32{"hosts": 0o644}}},
		{Phase: spec.PhasePrivileged, Name: "privileged", Privileged: []spec.Privileged{{Program: initPath, Setuid: true}}},
		{Phase: spec.PhaseUser, Name: "greet", Run: program("echo", "hello from a step")},
		{Phase: spec.PhaseUser, Name: "broken", Run: program("fail", "the step is broken")},
	}})
	stop := spec.Stop{Kind: spec.StopSignal, GraceMS: 5000}
	plan("services", "", spec.ServicePlan{Version: spec.Version, Services: []spec.Service{
		{Provision: []string{"user-homes"}, AutoStart: true, OneShot: true, Start: spec.Start{Homes: &spec.Homes{Activate: spec.CurrentSystem + "/activate"}}},
		{Provision: []string{"folders"}, AutoStart: true, OneShot: true, Start: spec.Start{Directories: []spec.Dir{{Path: "/var/lib/web", Mode: 0o750}}}},
		{Provision: []string{"shm"}, AutoStart: true, Start: spec.Start{Mount: &spec.Mount{Kind: spec.MountTmpfs, Target: "/dev/shm", Options: []string{"mode=1777"}}}, Stop: spec.Stop{Kind: spec.StopUnmount}},
		{Provision: []string{"web", "http"}, Requirement: []string{"user-homes", "folders", "shm"}, AutoStart: true, Start: spec.Start{Exec: program("wait")}, Stop: stop, Documentation: "Serve pages.", Configuration: "/osbuild/store/c-web.conf", Actions: []spec.Action{
			{Name: "greet", Documentation: "Say something.", Run: program("greet")},
			{Name: "break", Run: program("fail", "no luck")},
			{Name: "poke", Signal: "SIGCONT"},
		}},
	}})
	return dir
}

// machine is a system that was booted from an image.
type machine struct {
	t       *testing.T
	dir     string
	cmd     *exec.Cmd
	control *os.File
	replies *bufio.Reader
}

// bootImage boots an image as PID 1 of a namespace. bare is how a container engine
// starts it: with no runner behind.
func bootImage(t *testing.T, dir string, bare bool) *machine {
	t.Helper()
	m := &machine{t: t, dir: dir}
	out, err := os.OpenFile(filepath.Join(dir, "stdio"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	m.cmd = exec.Command("/proc/self/exe", "enter-for-test", dir, systemPath+"/boot")
	m.cmd.Stdout, m.cmd.Stderr = out, out
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS}
	if os.Getuid() != 0 {
		m.cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		m.cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		m.cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	if !bare {
		pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		m.control = os.NewFile(uintptr(pair[0]), "control")
		m.replies = bufio.NewReader(m.control)
		theirs := os.NewFile(uintptr(pair[1]), "theirs")
		defer theirs.Close()
		console, err := os.OpenFile(filepath.Join(dir, "console"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		defer console.Close()
		m.cmd.ExtraFiles = []*os.File{theirs, console}
	}
	if err := m.cmd.Start(); err != nil {
		t.Skipf("SKIP-ENV: no namespaces can be made here: %v", err)
	}
	t.Cleanup(func() {
		if m.control != nil {
			m.control.Close()
		}
		_ = m.cmd.Process.Kill()
		_ = m.cmd.Wait()
		if t.Failed() {
			t.Logf("console:\n%s\nstdio:\n%s", m.file("console"), m.file("stdio"))
		}
	})
	return m
}

func (m *machine) ask(r spec.Request) (reply spec.Reply) {
	m.t.Helper()
	if err := json.NewEncoder(m.control).Encode(r); err != nil {
		m.t.Fatal(err)
	}
	line, err := m.replies.ReadBytes('\n')
	if err != nil {
		m.t.Fatal(err)
	}
	if err := json.Unmarshal(line, &reply); err != nil {
		m.t.Fatal(err)
	}
	return reply
}

// run runs osbuild-init in the system and returns its status and output.
func (m *machine) run(args ...string) (int, string) {
	m.t.Helper()
	before := len(m.file("stdio"))
	r := m.ask(spec.Request{Op: spec.OpRun, Process: &spec.Process{Argv: append([]string{initPath}, args...)}})
	if r.Exit == nil {
		m.t.Fatalf("%v: %+v", args, r)
	}
	return r.Exit.Status(), m.file("stdio")[before:]
}

func (m *machine) file(name string) string {
	data, _ := os.ReadFile(filepath.Join(m.dir, name))
	return string(data)
}

func (m *machine) up() spec.Reply {
	m.t.Helper()
	r := m.ask(spec.Request{Op: spec.OpWait, TimeoutMS: int(patience / time.Millisecond)})
	for _, s := range r.Services {
		if s.State != spec.StateRunning && s.State != spec.StateDone {
			m.t.Errorf("%s: %s %s", s.Name, s.State, s.Reason)
		}
	}
	return r
}

func TestSystem(t *testing.T) {
	dir := image(t)
	m := bootImage(t, dir, false)
	r := m.up()
	var broken, other []string
	for _, st := range r.Activation {
		if st.Name == "broken" {
			broken = append(broken, st.Reason)
		} else if !st.Skipped {
			other = append(other, st.Name+": "+st.Reason)
		}
	}
	if len(broken) != 1 || broken[0] != "exit status 3: the step is broken" {
		t.Errorf("the broken step: %q", broken)
	}
	if len(other) > 0 {
		t.Errorf("failed steps: %q", other)
	}
	for name, want := range map[string]string{
		"etc/hosts":                "127.0.0.1 localhost\n",
		"etc/group":                "root:x:0:\nusers:x:1000:\n",
		"etc/passwd":               "root:x:0:0::/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n",
		"var/log/services/web.log": "0 waits in [A=b]\n",
	} {
		for deadline := time.Now().Add(patience); m.file(name) != want && time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		}
		if got := m.file(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if target, _ := os.Readlink(filepath.Join(dir, "etc/containers/policy.json")); target != "/osbuild/store/e-etc/containers/policy.json" {
		t.Errorf("policy.json -> %q", target)
	}
	for name, mode := range map[string]os.FileMode{"home/alice": 0o700, "var/lib/web": 0o750, "root": 0o700} {
		if st, err := os.Stat(filepath.Join(dir, name)); err != nil || st.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", name, st, err)
		}
	}
	if os.Getuid() == 0 {
		var st unix.Stat_t
		if err := unix.Stat(filepath.Join(dir, "home/alice"), &st); err != nil || st.Uid != 1000 {
			t.Errorf("alice's home is %d's", st.Uid)
		}
	}

	for _, tt := range []struct {
		args   string
		status int
		want   string
	}{
		{"herd status", 0, "web         running"},
		{"herd status http", 0, "provides:     web http"},
		{"herd stop web", 0, "web"},
		{"herd disable web", 0, "stopped"},
		{"herd start web", 1, "cannot start web: it is disabled; enable it first"},
		{"herd enable web", 0, ""},
		{"herd start web", 0, "running"},
		{"herd restart web", 0, "running"},
		{"herd logs web", 0, "waits in [A=b]"},
		{"herd start wbe", 1, `there is no service "wbe"`},
		{"herd dance web", 1, `the service web has no action "dance"; it has greet, break, poke`},
		{"herd dance", 2, `"dance" is nothing that herd does by itself`},
		{"herd --dance", 2, `herd has no option "--dance"`},
		{"herd start", 2, "takes the name of a service"},
		{"herd start web shm", 2, `"shm" is too much`},
		{"herd", 2, "usage: osbuild-init herd"},
		{"herd greet http two words", 0, "greets [two words] as [A=b MAINPID="},
		{"herd break web", 3, "no luck\n"},
		{"herd poke web", 0, ""},
		{"herd poke web hard", 1, `it is a signal, which takes no words such as "hard"`},
		{"herd poke folders", 1, `the service folders has no action "poke"; it has none of its own`},
		{"herd actions web", 0, "greet  Say something.\nbreak  (not documented)\n"},
		{"herd actions shm", 0, "shm has no actions of its own"},
		{"herd doc web", 0, "web: Serve pages.\n  greet  Say something.\n"},
		{"herd doc web greet", 0, "greet: Say something.\n"},
		{"herd doc web dance", 1, `the service web has no action "dance"; ` + "`herd actions web` lists them"},
		{"herd doc wbe", 1, `there is no service "wbe"`},
		{"herd configuration web", 0, "/osbuild/store/c-web.conf\n"},
		{"herd configuration shm", 1, "the service shm names no file that configures it"},
		{"herd status root", 0, "of 4 services: 2 running, 2 done"},
		{"herd stop root", 1, "root is PID 1 itself"},
		{"herd status web", 0, "action:       greet  Say something."},
		{"herd --json status web", 0, `"configuration": "/osbuild/store/c-web.conf"`},
		{"herd status --json", 0, `"name": "user-homes"`},
		{"herd --json break web", 3, `"code": 3`},
		{"init", 2, "usage: osbuild-init init"},
		{"activate relative", 2, "usage: osbuild-init activate"},
		{"activate /nowhere", 1, "cannot read a plan"},
	} {
		status, out := m.run(strings.Fields(tt.args)...)
		if status != tt.status || !strings.Contains(out, tt.want) {
			t.Errorf("%s: status %d, want %d; output\n%swant %q", tt.args, status, tt.status, out, tt.want)
		}
	}
	before := len(m.file("stdio"))
	m.ask(spec.Request{Op: spec.OpRun, Process: &spec.Process{Argv: []string{"/run/osbuild/herd", "status", "web"}}})
	if got := m.file("stdio")[before:]; !strings.Contains(got, "provides:     web http") {
		t.Errorf("herd by its own path: %s", got)
	}
	if status, out := m.run("activate", systemPath+"/activate"); status != 1 || !strings.Contains(out, "greet| hello from a step\n") || !strings.Contains(out, "broken failed: exit status 3: the step is broken\n") {
		t.Errorf("activating again: status %d, output\n%s", status, out)
	}

	upgrade(t, m)

	// A changed password is kept although nobody powers off.
	if status, out := m.run("helper", "passwd"); status != 0 {
		t.Fatal(out)
	}
	for deadline := time.Now().Add(patience); !strings.Contains(m.file("var/lib/osbuild/accounts/shadow"), "$6$new"); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the changed password is not saved")
		}
	}
	id := m.file("etc/machine-id")
	m.control.Close()
	m.control = nil
	_ = m.cmd.Wait()

	// The next boot has only /var.
	for _, name := range []string{"etc", "home", "root"} {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	m = bootImage(t, dir, false)
	m.up()
	if got := m.file("etc/shadow"); !strings.Contains(got, "alice:$6$new:") {
		t.Errorf("the password is lost: %s", got)
	}
	if got := m.file("etc/machine-id"); got != id || len(strings.TrimSpace(id)) != 32 {
		t.Errorf("machine id %q, before %q", got, id)
	}
	if r := m.ask(spec.Request{Op: spec.OpPowerOff}); r.Error != "" {
		t.Errorf("power-off: %+v", r)
	}
	if err := m.cmd.Wait(); err != nil {
		t.Errorf("power-off: %v", err)
	}
	console := m.file("console")
	for _, want := range []string{"greet| hello from a step\n", "osbuild-init: web: started\n", "osbuild-init: web: stopped\n", "osbuild-init: shm: stopped\n"} {
		if !strings.Contains(console, want) {
			t.Errorf("the console lacks %q", want)
		}
	}
}

// upgrade activates another system in a running one: its services follow.
func upgrade(t *testing.T, m *machine) {
	const other = "/osbuild/store/t-system"
	if err := os.CopyFS(filepath.Join(m.dir, other), os.DirFS(filepath.Join(m.dir, systemPath))); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(m.dir, other, "services")
	var plan spec.ServicePlan
	data, err := os.ReadFile(name)
	if err == nil {
		err = json.Unmarshal(data, &plan)
	}
	if err != nil {
		t.Fatal(err)
	}
	plan.Services[1] = spec.Service{Provision: []string{"greeting"}, AutoStart: true, OneShot: true, Start: spec.Start{Run: []spec.Process{
		{Argv: []string{initPath, "helper", "echo", "warning: hello once more"}},
	}}}
	web := &plan.Services[3]
	web.Requirement = []string{"user-homes", "greeting", "shm"}
	web.Start.Exec.Env = []string{"A=c"}
	if data, err = json.Marshal(plan); err == nil {
		err = os.WriteFile(name, data, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		args   string
		status int
		want   []string
	}{
		{"activate " + other + "/activate", 1, []string{
			"services started: greeting, user-homes\n",
			"services that run by their old definition: web\n  `herd restart web` gives it the new one\n",
			"1 steps of the activation failed",
		}},
		{"herd status", 0, []string{"web         running, to be replaced", "folders     done", "greeting    done                     -    warning: hello once more"}},
		{"herd status root", 0, []string{"activation: broken failed"}},
		{"herd restart web", 0, []string{"web         running  "}},
		{"herd greet web", 0, []string{"MAINPID="}},
		// Again nothing has changed but that nobody needs the folders any more.
		{"activate " + other + "/activate", 1, []string{"services unloaded: folders\nservices started: user-homes\n"}},
		// Back again; web as it runs still needs the greeting.
		{"activate " + systemPath + "/activate", 1, []string{"services started: folders, user-homes\n", "old definition: web\n"}},
	} {
		status, out := m.run(strings.Fields(step.args)...)
		for _, want := range step.want {
			if status != step.status || !strings.Contains(out, want) {
				t.Errorf("%s: status %d, output\n%swant %q", step.args, status, out, want)
			}
		}
	}
	const log = "var/log/services/web.log"
	for deadline := time.Now().Add(patience); !strings.Contains(m.file(log), "0 waits in [A=c]\n"); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("web's log does not show its new definition:\n%s", m.file(log))
		}
	}
}

// TestUnderAnEngine boots as `podman run` does: no runner, SIGTERM at the end.
func TestUnderAnEngine(t *testing.T) {
	dir := image(t)
	m := bootImage(t, dir, true)
	for deadline := time.Now().Add(patience); !strings.Contains(m.file("stdio"), "web: started"); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it does not boot")
		}
	}
	if err := m.cmd.Process.Signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := m.cmd.Wait(); err != nil {
		t.Errorf("SIGTERM: %v", err)
	}
	if got := m.file("stdio"); !strings.Contains(got, "osbuild-init: SIGTERM: powering off\n") || !strings.Contains(got, "osbuild-init: web: stopped\n") {
		t.Errorf("console:\n%s", got)
	}
}

// TestBrokenPlans boots systems whose plans cannot be read.
func TestBrokenPlans(t *testing.T) {
	dir := image(t)
	for name, text := range map[string]string{
		"activate": "#!x\n{\"version\":9}",
		"services": "nonsense",
	} {
		if err := os.WriteFile(filepath.Join(dir, systemPath, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	m := bootImage(t, dir, false)
	r := m.up()
	var reasons []string
	for _, st := range r.Activation {
		reasons = append(reasons, st.Name+": "+st.Reason)
	}
	all := strings.Join(reasons, "\n")
	for _, want := range []string{"services: cannot read /osbuild/store/s-system/services: it is not a plan", "activation: cannot read /osbuild/store/s-system/activate: it has format version 9"} {
		if !strings.Contains(all, want) {
			t.Errorf("%s\nlacks %q", all, want)
		}
	}
	if status, _ := m.run("herd", "status"); status != 0 {
		t.Errorf("herd status: %d", status)
	}
}
