// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package supervise

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"osbuild/runner/spec"
)

// TestPIDFileTimeout has daemons go to the background in all the ways there
// are, and never write their PID file: their services fail, and nothing of them
// is left. A stranger that does the same stays.
func TestPIDFileTimeout(t *testing.T) {
	if _, err := exec.LookPath("setsid"); err != nil {
		t.Skipf("SKIP-ENV: no program to start others in a session of their own: %v", err)
	}
	daemon := func(name string, p *spec.Process) spec.Service {
		p.PIDFile = "$DIR/no-" + name
		p.Ready = &spec.Ready{Kind: spec.ReadyPath, Path: "/", TimeoutMS: 400}
		return one(name, p)
	}
	s := boot(t, false,
		daemon("group", sh("(sleep 1001 &); exit 0")),
		daemon("session", sh("setsid sh -c 'sleep 1002 & sleep 1003' & exit 0")),
		daemon("quiet", self("daemon", "1004")),
		daemon("stays", sh("setsid sleep 1005 & exec sleep 1005")),
		daemon("breaks", sh("setsid sleep 1008 & sleep 1008 & exit 3")),
		one("stranger", sh("(sleep 1006 &); exec sleep 1007")),
	)
	got := s.up()
	for _, name := range []string{"group", "session", "quiet", "stays"} {
		if st := got[name]; st.State != spec.StateFailed || !strings.HasPrefix(st.Reason, "it was not ready after 400ms") || st.Next == "" {
			t.Errorf("%s: %+v", name, st)
		}
	}
	if st := got["stranger"]; st.State != spec.StateRunning {
		t.Errorf("%+v", st)
	}
	if st := got["breaks"]; st.State != spec.StateFailed || st.Reason != "it ended before it was ready: exit status 3" {
		t.Errorf("%+v", st)
	}
	s.sleep("1006", "1007") // the stranger's alone
}

// TestDaemonGroup kills a daemon: what it forked goes with it.
func TestDaemonGroup(t *testing.T) {
	daemon := one("daemon", sh("(sleep 1009 & sleep 1010 & echo $! > $DIR/pid.new; mv $DIR/pid.new $DIR/pid); exit 0"))
	daemon.Start.Exec.PIDFile = "$DIR/pid"
	s := boot(t, false, daemon, one("other", sh("exec sleep 1011")))
	if st := s.up()["daemon"]; st.State != spec.StateRunning {
		t.Fatalf("%+v", st)
	}
	s.sleep("1009", "1010", "1011")
	if e := s.run("/bin/sh", "-c", "kill -9 $(cat $DIR/pid)"); e.Status() != 0 {
		t.Fatalf("%+v", e)
	}
	s.sleep("1011")
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		st := s.ask(spec.Request{Op: spec.OpStatus, Service: "daemon"}).Services[0]
		if st.State == spec.StateFailed && strings.HasPrefix(st.Reason, "it ended: killed by SIGKILL") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%+v", st)
		}
	}
}

// sleep waits until these processes sleep, and no others.
func (s *system) sleep(want ...string) {
	s.t.Helper()
	for deadline := time.Now().Add(patience); !slices.Equal(s.sleepers(), want); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("what sleeps: %q, want %q alone", s.sleepers(), want)
		}
	}
}

// sleepers are the arguments of the sleeping processes below the init.
func (s *system) sleepers() (out []string) {
	for _, pid := range descendants(s.cmd.Process.Pid) {
		words := commandLine(pid)
		if len(words) > 1 && (strings.HasSuffix(words[0], "sleep") || slices.Contains(words, "doze")) {
			out = append(out, words[len(words)-1])
		}
	}
	slices.Sort(out)
	return out
}

// TestTrouble boots one service of each kind of trouble beside one that is
// fine, and looks at what their status tells.
func TestTrouble(t *testing.T) {
	ready := func(name string, p *spec.Process, millis int) spec.Service {
		p.Ready = &spec.Ready{Kind: spec.ReadyPath, Path: "$DIR/" + name, TimeoutMS: millis}
		return one(name, p)
	}
	fast := one("fast", sh("echo again; exit 1"))
	fast.Respawn, fast.RespawnLimit, fast.RespawnDelayMS = true, spec.RespawnLimit{Times: 2, Seconds: 60}, 1
	deaf := ready("deaf", sh("trap '' TERM; touch $DIR/deaf; while :; do sleep 1; done"), int(patience/time.Millisecond))
	deaf.Stop = spec.Stop{Kind: spec.StopSignal, Signal: "SIGTERM", GraceMS: 50}
	talks := ready("talks", sh(fmt.Sprintf("yes 0123456789012345678901234567890123456789 | head -c %d; touch $DIR/talks; exec sleep 1000", 2*maxLog+1000)), int(patience/time.Millisecond))
	daemon := one("daemon", sh("(echo daemon here; sleep 1000 & echo $! > $DIR/pid.new; mv $DIR/pid.new $DIR/pid) ; exit 0"))
	daemon.Start.Exec.PIDFile = "$DIR/pid"
	s := boot(t, false,
		one("fine", sh("exec sleep 1000")),
		oneShot("limits", "echo 'warning: cannot limit cpu'; echo done"),
		oneShot("bad", "echo one; echo two >&2; exit 3"),
		one("needy", sh("exec sleep 1000"), "bad"),
		ready("hangs", sh("echo loading; sleep 1000"), 100),
		fast, deaf, talks, daemon,
	)
	got := s.up()
	r := s.ask(spec.Request{Op: spec.OpStop, Service: "deaf"})
	if r.Error != "" {
		t.Fatal(r.Error)
	}
	got["deaf"] = r.Services[0]
	// The reader of a log may be behind its writer.
	for deadline := time.Now().Add(patience); len(got["talks"].Warnings) == 0 && time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		got["talks"] = s.ask(spec.Request{Op: spec.OpStatus, Service: "talks"}).Services[0]
	}
	if r := s.ask(spec.Request{Op: spec.OpStop, Service: "daemon"}); r.Error != "" {
		t.Error(r.Error)
	}
	for _, tt := range []struct {
		name, state, reason string
		warning             string
		log                 []string
		next                string
	}{
		{name: "fine", state: spec.StateRunning},
		{name: "limits", state: spec.StateDone, warning: "cannot limit cpu"},
		{name: "bad", state: spec.StateFailed, reason: "exit status 3: two", log: []string{"one", "two"}, next: "herd start bad"},
		{name: "needy", state: spec.StateFailed, reason: "it requires bad", next: "herd status bad"},
		{name: "hangs", state: spec.StateFailed, reason: "it was not ready after 100ms: loading", log: []string{"loading"}, next: "longer timeout"},
		{name: "fast", state: spec.StateFailed, reason: "it respawned too fast, 2 times", log: []string{"again"}, next: "herd enable fast"},
		{name: "deaf", state: spec.StateStopped, reason: "it did not stop within 50ms and was killed", next: "kill(grace"},
		{name: "talks", state: spec.StateRunning, warning: "its log reached 8 MiB", next: "write less"},
		{name: "daemon", state: spec.StateRunning},
	} {
		st := got[tt.name]
		if st.State != tt.state || !strings.HasPrefix(st.Reason, tt.reason) || (tt.reason == "") != (st.Reason == "") ||
			!slices.Equal(st.Log, tt.log) || !strings.Contains(st.Next, tt.next) || (tt.next == "") != (st.Next == "") {
			t.Errorf("%s: %+v", tt.name, st)
		}
		if warnings := strings.Join(st.Warnings, "\n"); !strings.HasPrefix(warnings, tt.warning) || (tt.warning == "") != (warnings == "") {
			t.Errorf("%s warns of %q, want %q", tt.name, st.Warnings, tt.warning)
		}
	}
	if n := len(s.file("log/talks.log")) + len(s.file("log/talks.log.1")); n > 2*maxLog {
		t.Errorf("the logs of a talkative service have %d bytes", n)
	}
}

// TestHangingActivation asks a system whose activation does not end.
func TestHangingActivation(t *testing.T) {
	web := one("web", sh("exec sleep 1000"))
	web.Documentation = holdActivation
	s := boot(t, false, web)
	r := s.ask(spec.Request{Op: spec.OpWait, TimeoutMS: 200})
	if !r.TimedOut || len(r.Activation) != 1 || r.Activation[0].Name != "step" || !strings.HasPrefix(r.Activation[0].Reason, "its program has not ended after") {
		t.Errorf("%+v", r)
	}
	if st := r.Services[0]; st.State != spec.StateStopped || st.Reason != "it waits for the activation of the system" {
		t.Errorf("%+v", st)
	}
	if err := os.Remove(s.dir + "/hold"); err != nil {
		t.Fatal(err)
	}
	if st := s.up()["web"]; st.State != spec.StateRunning || st.Reason != "" {
		t.Errorf("%+v", st)
	}
	if r := s.ask(spec.Request{Op: spec.OpStatus}); len(r.Activation) != 1 || r.Activation[0].Reason != "exit status 4: activated" {
		t.Errorf("%+v", r.Activation)
	}
}

// TestHangingOneShot breaks off a program that never ends.
func TestHangingOneShot(t *testing.T) {
	s := boot(t, false, oneShot("hangs", "echo begun; sleep 1000"), one("web", sh("exec sleep 1000"), "hangs"))
	for deadline := time.Now().Add(patience); s.file("log/hangs.log") == "" && time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
	}
	for name, want := range map[string]string{"hangs": "its program has not ended after", "web": "it waits for hangs"} {
		if st := s.ask(spec.Request{Op: spec.OpStatus, Service: name}).Services[0]; st.State != spec.StateStarting || !strings.HasPrefix(st.Reason, want) || st.Next == "" {
			t.Errorf("%+v", st)
		}
	}
	if r := s.ask(spec.Request{Op: spec.OpStop, Service: "hangs"}); r.Error != "" || r.Services[len(r.Services)-1].State != spec.StateStopped {
		t.Errorf("%+v", r)
	}
	got := s.up()
	if st := got["web"]; st.State != spec.StateFailed || st.Reason != "it requires hangs, which did not start: it was stopped" {
		t.Errorf("%+v", st)
	}
	if left := s.sleepers(); len(left) > 0 {
		t.Errorf("what is left: %q", left)
	}
}

// TestStartsAndStopsAtOnce asks for everything at once, of a service and of one
// that it needs. Each request is answered, and in the end each service has one
// process.
func TestStartsAndStopsAtOnce(t *testing.T) {
	web := one("web", sh("exec sleep 1002"), "db")
	web.Start.Exec.Ready = &spec.Ready{Kind: spec.ReadyPath, Path: "/", TimeoutMS: int(patience / time.Millisecond)}
	s := boot(t, false, one("db", sh("exec sleep 1001")), web)
	s.up()
	ops := []string{spec.OpStop, spec.OpStart, spec.OpRestart, spec.OpStop, spec.OpStart, spec.OpStatus}
	const n = 60
	for i := range n {
		s.send(fmt.Sprintf(`{"id":%d,"op":%q,"service":%q}`, i, ops[i%len(ops)], []string{"web", "db"}[i/3%2]))
	}
	answers := map[int]int{}
	for range n {
		answers[s.receive().ID]++
	}
	for i := range n {
		if answers[i] != 1 {
			t.Errorf("request %d was answered %d times", i, answers[i])
		}
	}
	if r := s.ask(spec.Request{Op: spec.OpStart, Service: "web"}); r.Error != "" {
		t.Error(r.Error)
	}
	s.sleep("1001", "1002")
}

// TestActions asks real services for what they can do.
func TestActions(t *testing.T) {
	web := one("web", sh("trap 'echo reloaded >> $DIR/web' HUP; touch $DIR/web; while :; do sleep 0.01; done"))
	web.Start.Exec.Ready = &spec.Ready{Kind: spec.ReadyPath, Path: "$DIR/web", TimeoutMS: int(patience / time.Millisecond)}
	check := sh(`echo checks "$@" of $MAINPID; echo aside >&2; exit 4`)
	check.Argv = append(check.Argv, "sh")
	web.Actions = []spec.Action{
		{Name: "reload", Documentation: "Read it again.", Signal: "SIGHUP"},
		{Name: "check", Run: check},
		{Name: "much", Run: sh("yes | head -c 100000")},
		{Name: "gone", Run: &spec.Process{Argv: []string{"/no/such"}}},
	}
	s := boot(t, false, web)
	st := s.up()["web"]
	if want := []spec.ActionDoc{{Name: "reload", Documentation: "Read it again."}, {Name: "check"}, {Name: "much"}, {Name: "gone"}}; !slices.Equal(st.Actions, want) {
		t.Errorf("%+v", st.Actions)
	}
	act := func(name string, args ...string) spec.Reply {
		return s.ask(spec.Request{Op: spec.OpAction, Service: "web", Action: name, Args: args})
	}
	if r := act("reload"); r.Error != "" || r.Exit != nil {
		t.Errorf("%+v", r)
	}
	for deadline := time.Now().Add(patience); s.file("web") == "" && time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
	}
	if got := s.file("web"); got != "reloaded\n" {
		t.Errorf("the service was told to reload, and did %q", got)
	}
	if r := act("check", "two", "words"); r.Exit == nil || r.Exit.Code != 4 || r.Log != fmt.Sprintf("checks two words of %d\naside\n", st.PID) {
		t.Errorf("%+v", r)
	}
	if r := act("much"); r.Exit == nil || r.Exit.Code != 0 || len(r.Log) != logTail || !strings.HasSuffix(r.Log, "y\ny\n") {
		t.Errorf("%d bytes, %+v", len(r.Log), r.Exit)
	}
	if r := act("gone"); !strings.Contains(r.Error, "cannot gone web: cannot start /no/such") {
		t.Errorf("%+v", r)
	}
	if r := act("dance"); !strings.Contains(r.Error, "it has reload, check, much, gone") {
		t.Errorf("%+v", r)
	}
}
