// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package supervise

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"osbuild/runner/account"
	"osbuild/runner/spec"
)

// patience is how long these tests wait for something that must happen. It
// bounds a failing test; none asserts how long anything takes.
const patience = 30 * time.Second

// TestMain lets the test binary be an init and the programs that it runs.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "init-for-test" {
		os.Exit(testInit(os.Args[2]))
	}
	if len(os.Args) > 1 && os.Args[1] == "become" {
		os.Exit(ExecMain(os.Args[2:], os.Environ(), os.Stderr))
	}
	if len(os.Args) > 2 && os.Args[1] == "helper" {
		os.Exit(helper(os.Args[2:]))
	}
	os.Exit(m.Run())
}

// holdActivation is the documentation of a single service whose system hangs in
// its activation until the file hold is removed.
const holdActivation = "hold the activation"

// testInit is a system's init over a plan, with its folders below dir.
func testInit(dir string) int {
	if os.Getpid() == 1 {
		// A /proc of the new namespace; what needs it says so otherwise.
		_ = unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
		_ = unix.Mount("proc", "/proc", "proc", 0, "")
	}
	data, err := os.ReadFile(filepath.Join(dir, "plan"))
	if err != nil {
		panic(err)
	}
	var plan spec.ServicePlan
	if err := json.Unmarshal(data, &plan); err != nil {
		panic(err)
	}
	unix.CloseOnExec(spec.ControlFD)
	_ = unix.SetNonblock(spec.ControlFD, true)
	return Run(Options{
		Plan: plan,
		Activate: func(exec func(string, spec.Process) error) []spec.StepStatus {
			err := exec("step", *sh("until ! test -e " + dir + "/hold; do sleep 0.01; done; echo activated; exit 4"))
			return []spec.StepStatus{{Phase: spec.PhaseUser, Name: "step", Reason: fmt.Sprint(err)}}
		},
		Names: func() account.Names {
			return account.ParseNames([]byte("alice:x:1000:100:::\n"), []byte("users:x:100:\nextra:x:200:\n"))
		},
		Control: os.NewFile(spec.ControlFD, "control"),
		Console: os.NewFile(spec.ConsoleFD, "console"),
		LogDir:  filepath.Join(dir, "log"),
		RunDir:  filepath.Join(dir, "run"),
		Socket:  filepath.Join(dir, "run", "control"),
		Self:    []string{"/proc/self/exe", "become"},
	})
}

// system is an init that runs for a test.
type system struct {
	t       *testing.T
	dir     string
	cmd     *exec.Cmd
	control *os.File
	replies chan spec.Reply
	mu      sync.Mutex
	console bytes.Buffer
	ended   chan error
}

// boot starts an init with services, as PID 1 of a namespace unless sub is
// true.
func boot(t *testing.T, sub bool, services ...spec.Service) *system {
	t.Helper()
	s := &system{t: t, dir: t.TempDir(), replies: make(chan spec.Reply, 16), ended: make(chan error, 1)}
	// Services run as other users, and unix sockets have short names.
	if err := os.Chmod(s.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	short, err := os.MkdirTemp("/tmp", "osb")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(short) })
	if err := os.Chmod(short, 0o777); err != nil {
		t.Fatal(err)
	}
	s.dir = short
	for i := range services {
		services[i].AutoStart = true
		if services[i].Stop.Kind == "" {
			services[i].Stop = spec.Stop{Kind: spec.StopSignal, GraceMS: 10000}
		}
		for _, p := range services[i].Start.Run {
			expand(p.Argv, s.dir)
		}
		for _, a := range services[i].Actions {
			if a.Run != nil {
				expand(a.Run.Argv, s.dir)
			}
		}
		if p := services[i].Start.Exec; p != nil {
			expand(p.Argv, s.dir)
			p.PIDFile = strings.ReplaceAll(p.PIDFile, "$DIR", s.dir)
			p.LogFile = strings.ReplaceAll(p.LogFile, "$DIR", s.dir)
			if p.Ready != nil {
				p.Ready.Path = strings.ReplaceAll(p.Ready.Path, "$DIR", s.dir)
				p.Ready.TimeoutMS = max(p.Ready.TimeoutMS, 1)
			}
		}
	}
	data, err := json.Marshal(spec.ServicePlan{Version: spec.Version, Services: services})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.dir, "plan"), data, 0o644); err != nil {
		t.Fatal(err)
	}
	if len(services) == 1 && services[0].Documentation == holdActivation {
		if err := os.WriteFile(filepath.Join(s.dir, "hold"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	// Not blocking, so that closing it does not wait for a read.
	if err := unix.SetNonblock(pair[0], true); err != nil {
		t.Fatal(err)
	}
	s.control = os.NewFile(uintptr(pair[0]), "control")
	theirs := os.NewFile(uintptr(pair[1]), "theirs")
	consoleR, consoleW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	junk, err := os.Open("/")
	if err != nil {
		t.Fatal(err)
	}
	s.cmd = exec.Command("/proc/self/exe", "init-for-test", s.dir)
	s.cmd.Env = []string{"INIT=secret"}
	s.cmd.ExtraFiles = []*os.File{theirs, consoleW, junk}
	// A file, so that all a command wrote is there when its exit is known.
	stdio, err := os.Create(filepath.Join(s.dir, "stdio"))
	if err != nil {
		t.Fatal(err)
	}
	defer stdio.Close()
	s.cmd.Stdout, s.cmd.Stderr = stdio, stdio
	s.cmd.SysProcAttr = &syscall.SysProcAttr{}
	if !sub {
		namespace(s.cmd.SysProcAttr)
	}
	if err := s.cmd.Start(); err != nil {
		if !sub {
			t.Skipf("SKIP-ENV: no pid namespace can be made here: %v", err)
		}
		t.Fatal(err)
	}
	theirs.Close()
	consoleW.Close()
	junk.Close()
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := consoleR.Read(buf)
			s.mu.Lock()
			s.console.Write(buf[:n])
			s.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	go func() {
		lines := bufio.NewScanner(s.control)
		for lines.Scan() {
			var r spec.Reply
			if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
				t.Errorf("reply %q: %v", lines.Text(), err)
			}
			s.replies <- r
		}
		close(s.replies)
	}()
	go func() { s.ended <- s.cmd.Wait() }()
	t.Cleanup(func() {
		s.control.Close()
		s.wait()
		if t.Failed() {
			t.Logf("console:\n%s\nstdout and stderr:\n%s", s.consoleText(), s.file("stdio"))
		}
	})
	return s
}

func expand(words []string, dir string) {
	for i := range words {
		words[i] = strings.ReplaceAll(words[i], "$DIR", dir)
	}
}

// namespace has a command start as PID 1.
func namespace(attr *syscall.SysProcAttr) {
	attr.Cloneflags = unix.CLONE_NEWPID | unix.CLONE_NEWNS
	if os.Getuid() != 0 {
		attr.Cloneflags |= unix.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
}

func (s *system) consoleText() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.console.String()
}

// send sends one line as it is.
func (s *system) send(line string) {
	s.t.Helper()
	if _, err := s.control.WriteString(line + "\n"); err != nil {
		s.t.Fatal(err)
	}
}

// receive gets the next reply.
func (s *system) receive() spec.Reply {
	s.t.Helper()
	select {
	case r, ok := <-s.replies:
		if !ok {
			s.t.Fatalf("the init is gone")
		}
		return r
	case <-time.After(patience):
		s.t.Fatalf("no reply")
	}
	panic("unreachable")
}

// ask sends a request and gets its reply.
func (s *system) ask(r spec.Request) spec.Reply {
	s.t.Helper()
	line, err := json.Marshal(r)
	if err != nil {
		s.t.Fatal(err)
	}
	s.send(string(line))
	return s.receive()
}

// up waits for the boot and returns the services by name.
func (s *system) up() map[string]spec.ServiceStatus {
	s.t.Helper()
	r := s.ask(spec.Request{Op: spec.OpWait, TimeoutMS: int(patience / time.Millisecond)})
	if r.TimedOut {
		s.t.Fatal("the boot does not settle")
	}
	byName := map[string]spec.ServiceStatus{}
	for _, st := range r.Services {
		byName[st.Name] = st
	}
	return byName
}

// run runs a command as the runner does.
func (s *system) run(argv ...string) spec.Exit {
	s.t.Helper()
	expand(argv, s.dir)
	r := s.ask(spec.Request{Op: spec.OpRun, Process: &spec.Process{Argv: argv}})
	if r.Exit == nil {
		s.t.Fatalf("run %v: %+v", argv, r)
	}
	return *r.Exit
}

// off powers off and returns the exit status of the init.
func (s *system) off() int {
	s.t.Helper()
	s.send(`{"id":99,"op":"power-off"}`)
	return s.wait()
}

// wait returns the exit status of the init.
func (s *system) wait() int {
	select {
	case err := <-s.ended:
		s.ended <- err
	case <-time.After(patience):
		s.t.Error("the init does not end")
		_ = s.cmd.Process.Kill()
	}
	return s.cmd.ProcessState.ExitCode()
}

// file reads a file that services wrote.
func (s *system) file(name string) string {
	data, _ := os.ReadFile(filepath.Join(s.dir, name))
	return string(data)
}

// commandLine is that of a process.
func commandLine(pid int) []string {
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return strings.Split(strings.TrimRight(string(data), "\x00"), "\x00")
}

// sh is a process that runs a shell script.
func sh(script string) *spec.Process {
	return &spec.Process{Argv: []string{"/bin/sh", "-c", script}}
}

// self is a process that is this test binary as a helper.
func self(args ...string) *spec.Process {
	exe, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return &spec.Process{Argv: append([]string{exe, "helper"}, args...)}
}

// helper is a program that shows what it was given.
func helper(args []string) int {
	switch args[0] {
	case "show":
		umask := unix.Umask(0)
		var nofile unix.Rlimit
		_ = unix.Getrlimit(unix.RLIMIT_NOFILE, &nofile)
		groups, _ := os.Getgroups()
		wd, _ := os.Getwd()
		sid, _ := unix.Getsid(0)
		var fds []string
		for fd := range 64 {
			var st unix.Stat_t
			if unix.Fstat(fd, &st) == nil && !ownFD(fd) {
				fds = append(fds, fmt.Sprint(fd))
			}
		}
		stdin, _ := os.Readlink("/proc/self/fd/0")
		fmt.Printf("env=%q fds=%v stdin=%s cwd=%s uid=%d gid=%d groups=%v umask=%04o nofile=%d session=%v\n",
			os.Environ(), fds, stdin, wd, os.Getuid(), os.Getgid(), groups, umask, nofile.Max, sid == os.Getpid())
		time.Sleep(time.Hour)
	case "notify":
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM, 0)
		if err == nil {
			err = unix.Sendto(fd, []byte("STATUS=here\nREADY=1\n"), 0, &unix.SockaddrUnix{Name: os.Getenv("NOTIFY_SOCKET")})
		}
		fmt.Println("sent", err)
		time.Sleep(time.Hour)
	case "listen": // unix PATH
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
		if err == nil {
			err = unix.Bind(fd, &unix.SockaddrUnix{Name: args[1]})
		}
		if err == nil {
			err = unix.Listen(fd, 1)
		}
		fmt.Println("listening", err)
		time.Sleep(time.Hour)
	case "listen-tcp": // PORT
		var port int
		fmt.Sscan(args[1], &port)
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
		if err == nil {
			err = unix.Bind(fd, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}})
		}
		if err == nil {
			err = unix.Listen(fd, 1)
		}
		fmt.Println("listening", err)
		time.Sleep(time.Hour)
	case "daemon": // SECONDS, in a session of its own and with nothing of its parent's open
		exe, _ := os.Executable()
		null, _ := os.OpenFile(os.DevNull, os.O_RDWR, 0)
		cmd := exec.Command(exe, "helper", "doze", args[1])
		cmd.Stdin, cmd.Stdout, cmd.Stderr = null, null, null
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		fmt.Println(cmd.Start())
	case "doze":
		time.Sleep(time.Hour)
	case "processes": // the processes of this namespace but PID 1 and itself
		entries, _ := os.ReadDir("/proc")
		for _, e := range entries {
			if data, err := os.ReadFile("/proc/" + e.Name() + "/stat"); err == nil && e.Name()[0] <= '9' {
				fields := strings.Fields(string(data))
				if e.Name() != "1" && e.Name() != fmt.Sprint(os.Getpid()) && !slices.Contains([]string{"self", "thread-self"}, e.Name()) {
					fmt.Println("process", strings.Join(fields[:3], " "))
				}
			}
		}
	}
	return 0
}

// ownFD says whether the Go runtime opened a descriptor for itself.
func ownFD(fd int) bool {
	target, _ := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
	return strings.HasPrefix(target, "anon_inode:") || strings.HasPrefix(target, "/sys/")
}
