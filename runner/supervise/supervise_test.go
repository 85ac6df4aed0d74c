// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package supervise

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"osbuild/runner/spec"
)

func one(name string, p *spec.Process, requirement ...string) spec.Service {
	return spec.Service{Provision: []string{name}, Requirement: requirement, Start: spec.Start{Exec: p}}
}

func oneShot(name, script string, requirement ...string) spec.Service {
	return spec.Service{
		Provision: []string{name}, Requirement: requirement, OneShot: true,
		Start: spec.Start{Run: []spec.Process{*sh(script)}}, Stop: spec.Stop{Kind: spec.StopNone},
	}
}

// shown waits for the line of the helper "show" in a service's log.
func (s *system) shown(name string) string {
	s.t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if text := s.file("log/" + name + ".log"); strings.Contains(text, "\n") {
			return strings.TrimSpace(text)
		}
	}
	s.t.Fatalf("%s shows nothing", name)
	return ""
}

func TestWhatAProcessGets(t *testing.T) {
	plain := self("show")
	plain.Env = []string{"B=2", "A=1 x"}
	user := self("show")
	user.User, user.SupplementaryGroups, user.Directory = "alice", []string{"extra"}, "/tmp"
	limited := self("show")
	umask := uint32(0o027)
	limited.Umask, limited.Limits = &umask, map[string]spec.Limit{"nofile": {Soft: 100, Hard: 200}}
	both := self("show")
	both.User, both.Limits = "1000", map[string]spec.Limit{"nofile": {Soft: 100, Hard: 300}}
	both.Env = []string{"Z=z"}
	impossible := self("show")
	impossible.Limits = map[string]spec.Limit{"nofile": {Soft: 1 << 40, Hard: 1 << 40}}
	services := []spec.Service{one("plain", plain), one("limited", limited), one("impossible", impossible)}
	root := os.Getuid() == 0
	if root {
		exe, _ := os.Executable()
		reachable(t, exe)
		services = append(services, one("user", user), one("both", both))
	}
	s := boot(t, false, services...)
	s.up()
	nofile := func(line string) string { // whatever this machine permits
		head, rest, _ := strings.Cut(line, "nofile=")
		_, rest, _ = strings.Cut(rest, " ")
		return head + rest
	}
	if got, want := nofile(s.shown("plain")), `env=["B=2" "A=1 x"] fds=[0 1 2] stdin=/dev/null cwd=/ uid=0 gid=0 groups=[] umask=0022 session=true`; got != want && root {
		t.Errorf("plain:\n got %s\nwant %s", got, want)
	}
	if got, want := s.shown("limited"), `env=[] fds=[0 1 2] stdin=/dev/null cwd=/ uid=0 gid=0 groups=[] umask=0027 nofile=200 session=true`; got != want && root {
		t.Errorf("limited:\n got %s\nwant %s", got, want)
	}
	s.shown("impossible")
	st := s.ask(spec.Request{Op: spec.OpStatus, Service: "impossible"}).Services[0]
	if want := "and not 1099511627776, 1099511627776: more may not be had here"; len(st.Warnings) != 1 || !strings.HasSuffix(st.Warnings[0], want) || st.State != spec.StateRunning {
		t.Errorf("impossible: %+v, want a warning that ends with %q", st, want)
	}
	if !root {
		t.Skip("SKIP-ENV: services of other users are tested as root only")
	}
	if got, want := nofile(s.shown("user")), `env=[] fds=[0 1 2] stdin=/dev/null cwd=/tmp uid=1000 gid=100 groups=[200] umask=0022 session=true`; got != want {
		t.Errorf("user:\n got %s\nwant %s", got, want)
	}
	if got, want := s.shown("both"), `env=["Z=z"] fds=[0 1 2] stdin=/dev/null cwd=/ uid=1000 gid=100 groups=[] umask=0022 nofile=300 session=true`; got != want {
		t.Errorf("both:\n got %s\nwant %s", got, want)
	}
}

// reachable opens the folders above a file of this test to other users.
func reachable(t *testing.T, name string) {
	t.Helper()
	for dir := filepath.Dir(name); dir != "/" && dir != os.TempDir(); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

func TestBoot(t *testing.T) {
	respawn := one("crash", sh("echo $$ >> $DIR/crashes; echo no luck; exit 7"))
	respawn.Respawn, respawn.RespawnLimit, respawn.RespawnDelayMS = true, spec.RespawnLimit{Times: 2, Seconds: 60}, 1
	left := one("left", sh("sleep 1000 & sleep 1000"))
	left.Start.Exec.Ready = &spec.Ready{Kind: spec.ReadyPath, Path: "/nonexistent", TimeoutMS: 50}
	reader := one("reader", sh("read x < $DIR/second; echo seen $x > $DIR/seen; : > $DIR/reader-ready; exec sleep 1000"), "second")
	reader.Start.Exec.Ready = &spec.Ready{Kind: spec.ReadyPath, Path: "$DIR/reader-ready", TimeoutMS: int(patience / time.Millisecond)}
	s := boot(t, false,
		oneShot("first", "sleep 0.05; echo 1 > $DIR/first"),
		oneShot("second", "read n < $DIR/first && echo $n second > $DIR/second", "first"),
		reader,
		oneShot("bad", "echo oops >&2; exit 3"),
		one("after-bad", sh("touch $DIR/never"), "bad"),
		one("missing", &spec.Process{Argv: []string{"/no/such/program"}}),
		respawn, left,
	)
	got := s.up()
	want := map[string]string{
		"first":     "done ",
		"second":    "done ",
		"reader":    "running ",
		"bad":       "failed exit status 3: oops",
		"after-bad": "failed it requires bad, which did not start: exit status 3: oops",
		"missing":   "failed cannot start /no/such/program: no such file or directory",
		"crash":     "failed it respawned too fast, 2 times within 1m0s, and is disabled; the last time: exit status 7: no luck",
		"left":      "failed it was not ready after 50ms",
	}
	for name, text := range want {
		if st := got[name]; st.State+" "+st.Reason != text {
			t.Errorf("%s: %s %s\nwant %s", name, st.State, st.Reason, text)
		}
	}
	if n := strings.Count(s.file("crashes"), "\n"); n != 3 {
		t.Errorf("crash ran %d times, want 3", n)
	}
	if s.file("never") != "" {
		t.Error("a service ran though its requirement failed")
	}
	if got := s.file("seen"); got != "seen 1 second\n" {
		t.Errorf("reader saw %q", got)
	}
	// Only reader is left: what was killed is gone, soon if not already.
	out := ""
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		before := len(s.file("stdio"))
		if e := s.run(self("processes").Argv...); e.Status() != 0 {
			t.Fatalf("processes: %+v", e)
		}
		if out = s.file("stdio")[before:]; strings.Count(out, "process ") == 1 {
			break
		}
	}
	if strings.Count(out, "process ") != 1 || strings.Contains(out, " Z") {
		t.Errorf("besides reader there are processes, or dead ones:\n%s", out)
	}
	console := s.consoleText()
	for _, line := range []string{
		"step| activated\n", "osbuild-init: activation: step failed: exit status 4: activated\n",
		"bad| oops\n", "osbuild-init: second: done\n", "osbuild-init: reader: started\n",
	} {
		if !strings.Contains(console, line) {
			t.Errorf("the console lacks %q", line)
		}
	}
	if got := s.ask(spec.Request{ID: 5, Op: spec.OpLogs, Service: "bad"}); got.Log != "oops\n" || got.ID != 5 {
		t.Errorf("log of bad: %+v", got)
	}
	if status := s.off(); status != 0 {
		t.Errorf("exit status %d", status)
	}
}

// TestParallelStart has two services each of which is ready only once the
// other runs.
func TestParallelStart(t *testing.T) {
	each := func(name, other string) spec.Service {
		sv := one(name, sh("touch $DIR/"+name+"-runs; until test -e $DIR/"+other+"-runs; do sleep 0.01; done; touch $DIR/"+name+"-ready; exec sleep 1000"))
		sv.Start.Exec.Ready = &spec.Ready{Kind: spec.ReadyPath, Path: "$DIR/" + name + "-ready", TimeoutMS: int(patience / time.Millisecond)}
		return sv
	}
	s := boot(t, false, each("a", "b"), each("b", "a"))
	for name, st := range s.up() {
		if st.State != spec.StateRunning {
			t.Errorf("%s: %s %s", name, st.State, st.Reason)
		}
	}
}

func TestReadiness(t *testing.T) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	port, _ := localPort(fd)
	unix.Close(fd)

	long := int(patience / time.Millisecond)
	tcp := one("tcp", self("listen-tcp", fmt.Sprint(port)))
	tcp.Start.Exec.Ready = &spec.Ready{Kind: spec.ReadyTCP, Port: port, TimeoutMS: long}
	sock := one("unix", self("listen", "$DIR/sock"))
	sock.Start.Exec.Ready = &spec.Ready{Kind: spec.ReadyUnix, Path: "$DIR/sock", TimeoutMS: long}
	notify := one("notify", self("notify"))
	notify.Start.Exec.Ready = &spec.Ready{Kind: spec.ReadyNotify, TimeoutMS: long}
	daemon := one("daemon", sh("(sleep 1000 & echo $! > $DIR/pid.new; mv $DIR/pid.new $DIR/pid) ; exit 0"))
	daemon.Start.Exec.PIDFile = "$DIR/pid"
	stranger := one("stranger", sh("echo 1 > $DIR/init-pid; exit 0"))
	stranger.Start.Exec.PIDFile = "$DIR/init-pid"
	stranger.Start.Exec.Ready = &spec.Ready{Kind: spec.ReadyPath, Path: "/", TimeoutMS: 300}
	s := boot(t, false, tcp, sock, notify, daemon, stranger)
	got := s.up()
	for _, name := range []string{"tcp", "unix", "notify", "daemon"} {
		if st := got[name]; st.State != spec.StateRunning || st.PID <= 1 {
			t.Errorf("%s: %+v", name, st)
		}
	}
	if st := got["stranger"]; st.State != spec.StateFailed {
		t.Errorf("a PID file that names the init is believed: %+v", st)
	}
	if pid := strings.TrimSpace(s.file("pid")); pid != fmt.Sprint(got["daemon"].PID) {
		t.Errorf("daemon is %d, its PID file says %s", got["daemon"].PID, pid)
	}
	if r := s.ask(spec.Request{Op: spec.OpStop, Service: "daemon"}); r.Error != "" || r.Services[0].State != spec.StateStopped {
		t.Errorf("stop daemon: %+v", r)
	}
	if e := s.run("/bin/sh", "-c", "kill -0 "+strings.TrimSpace(s.file("pid"))+" 2>/dev/null"); e.Status() == 0 {
		t.Error("the daemon lives on after its stop")
	}
}

func TestStop(t *testing.T) {
	trap := func(name string) *spec.Process {
		return sh("trap 'echo " + name + " >> $DIR/order; kill $!; exit 0' TERM; touch $DIR/" + name + "; sleep 1000 & wait")
	}
	ready := func(name string, sv spec.Service) spec.Service {
		sv.Start.Exec.Ready = &spec.Ready{Kind: spec.ReadyPath, Path: "$DIR/" + name, TimeoutMS: int(patience / time.Millisecond)}
		return sv
	}
	stubborn := one("stubborn", sh("trap '' TERM; touch $DIR/stubborn; while :; do sleep 1; done"))
	stubborn.Stop = spec.Stop{Kind: spec.StopSignal, Signal: "SIGTERM", GraceMS: 50}
	all := spec.Service{Provision: []string{"user-processes"}, Stop: spec.Stop{Kind: spec.StopKillAll, GraceMS: 10000}}
	s := boot(t, false,
		all,
		ready("db", one("db", trap("db"), "user-processes")),
		ready("web", one("web", trap("web"), "db")),
		ready("proxy", one("proxy", trap("proxy"), "web")),
		ready("stubborn", stubborn),
		oneShot("orphans", "(trap 'echo orphan >> $DIR/order; exit' TERM; touch $DIR/orphan; while :; do sleep 0.01; done) & until test -e $DIR/orphan; do sleep 0.01; done", "user-processes"),
	)
	for name, st := range s.up() {
		if st.State != spec.StateRunning && st.State != spec.StateDone {
			t.Fatalf("%s: %s %s", name, st.State, st.Reason)
		}
	}
	r := s.ask(spec.Request{Op: spec.OpStop, Service: "stubborn"})
	if r.Error != "" || r.Services[0].State != spec.StateStopped || !strings.Contains(s.consoleText(), "did not stop within 50ms and is killed") {
		t.Errorf("stop stubborn: %+v", r)
	}
	if status := s.off(); status != 0 {
		t.Errorf("exit status %d", status)
	}
	if got, want := s.file("order"), "proxy\nweb\ndb\norphan\n"; got != want {
		t.Errorf("stopped in the order\n%swant\n%s", got, want)
	}
}

func TestOrphansAreReaped(t *testing.T) {
	for _, sub := range []bool{false, true} {
		t.Run(map[bool]string{false: "as PID 1", true: "as subreaper"}[sub], func(t *testing.T) {
			s := boot(t, sub, one("forker", sh("for i in 1 2 3 4 5; do (sleep 0.01 &) ; done; (sleep 1000 &); exec sleep 1000")))
			if st := s.up()["forker"]; st.State != spec.StateRunning {
				t.Fatalf("%+v", st)
			}
			// The orphans are ours: they turn into nothing, not into zombies.
			for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
				dead, alive := 0, 0
				for _, pid := range descendants(s.cmd.Process.Pid) {
					data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
					switch {
					case strings.Contains(string(data), ") Z "):
						dead++
					case len(data) > 0:
						alive++
					}
				}
				if dead == 0 && alive == 2 {
					break
				}
				if time.Now().After(deadline) {
					t.Fatalf("%d dead and %d living descendants, want 0 and 2", dead, alive)
				}
			}
			if status := s.off(); status != 0 {
				t.Errorf("exit status %d", status)
			}
		})
	}
}

func TestSignalPowersOff(t *testing.T) {
	for _, sig := range powerOffSignals {
		t.Run(fmt.Sprint(sig), func(t *testing.T) {
			s := boot(t, false, one("web", sh("trap 'echo bye > $DIR/bye; exit' TERM; touch $DIR/up; while :; do sleep 0.01; done")))
			for deadline := time.Now().Add(patience); s.file("up") == "" && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
				if _, err := os.Stat(filepath.Join(s.dir, "up")); err == nil {
					break
				}
			}
			if err := s.cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			if status := s.wait(); status != 0 || s.file("bye") != "bye\n" {
				t.Errorf("exit status %d, %q", status, s.file("bye"))
			}
		})
	}
}
