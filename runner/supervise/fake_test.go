// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package supervise

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"osbuild/runner/spec"
)

// fake is a world in which nothing happens by itself: a script says when a
// process ends, when one is ready and how much time passes. It writes down
// all that the machine does.
type fake struct {
	t          *testing.T
	m          *machine
	clock      time.Time
	transcript []string
	procs      []*fakeProc
	timers     []*fakeTimer
	pending    []fakeEffect
	watches    []*fakeWatch
	strays     int
	lastPID    int
	plans      map[string]string
}

type fakeProc struct {
	f     *fake
	name  string
	id    int
	ended func(spec.Exit, output)
	// signalled says that it was told to stop.
	signalled bool
	out       output
}

type fakeTimer struct {
	at   time.Time
	call func()
}

type fakeEffect struct {
	f    func() error
	done func(error)
}

type fakeWatch struct {
	name string
	done func(int, error)
}

func (p *fakeProc) pid() int { return p.id }

func (p *fakeProc) signal(sig syscall.Signal) {
	p.signalled = true
	p.f.note("%s gets %s", p.name, signalName(sig))
}

func (p *fakeProc) signalMain(sig syscall.Signal) {
	p.f.note("%s alone gets %s", p.name, signalName(sig))
}

func (p *fakeProc) output() output { return p.out }

func (f *fake) sweep(_ process, j job) { f.note("what %s left is swept up", j.name) }

func (f *fake) note(format string, args ...any) {
	f.transcript = append(f.transcript, fmt.Sprintf(format, args...))
}

func (f *fake) now() time.Time { return f.clock }

func (f *fake) say(line string) { f.note("%s", line) }

func (f *fake) after(d time.Duration, call func()) func() {
	timer := &fakeTimer{f.clock.Add(d), call}
	f.timers = append(f.timers, timer)
	return func() { f.timers = slices.DeleteFunc(f.timers, func(t *fakeTimer) bool { return t == timer }) }
}

func (f *fake) spawn(j job, ended func(spec.Exit, output)) (process, error) {
	if j.process.Argv[0] == "/missing" {
		return nil, fmt.Errorf("cannot start /missing: no such file or directory")
	}
	f.lastPID++
	name := j.name
	if j.capture {
		name += "-action"
	}
	p := &fakeProc{f: f, name: name, id: f.lastPID, ended: ended}
	f.procs = append(f.procs, p)
	f.note("%s runs %s", j.name, strings.Join(j.process.Argv, " "))
	return p, nil
}

func (f *fake) adopt(pid int, _ process, ended func(spec.Exit, output)) (process, error) {
	p := &fakeProc{f: f, name: fmt.Sprint("daemon-", pid), id: pid, ended: ended}
	f.procs = append(f.procs, p)
	return p, nil
}

func (f *fake) await(_ process, j job, done func(int, error)) func() {
	w := &fakeWatch{j.name, done}
	f.watches = append(f.watches, w)
	return func() { f.watches = slices.DeleteFunc(f.watches, func(x *fakeWatch) bool { return x == w }) }
}

func (f *fake) do(effect func() error, done func(error)) {
	f.pending = append(f.pending, fakeEffect{effect, done})
}

func (f *fake) killAll(sig syscall.Signal) bool {
	if sig != 0 {
		f.note("all get %s", signalName(sig))
	}
	return f.strays > 0
}

// services reads a plan: a line each, "name: requirements | words".
func (f *fake) services(text string) (plan spec.ServicePlan) {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		head, words, _ := strings.Cut(line, "|")
		names, requirements, _ := strings.Cut(head, ":")
		s := spec.Service{
			Provision: strings.Fields(names), Requirement: strings.Fields(requirements), AutoStart: true,
			RespawnLimit: spec.RespawnLimit{Times: 2, Seconds: 10}, RespawnDelayMS: 100,
			Stop: spec.Stop{Kind: spec.StopSignal, Signal: "SIGTERM", GraceMS: 5000},
		}
		for word := range strings.FieldsSeq(words) {
			switch word {
			case "exec":
				s.Start.Exec = &spec.Process{Argv: []string{"/bin/" + s.Provision[0]}}
			case "missing":
				s.Start.Exec = &spec.Process{Argv: []string{"/missing"}}
			case "ready":
				s.Start.Exec.Ready = &spec.Ready{Kind: spec.ReadyNotify, TimeoutMS: 3000}
			case "pidfile":
				s.Start.Exec.PIDFile = "/run/pid"
			case "run":
				s.Start.Run = append(s.Start.Run, spec.Process{Argv: []string{fmt.Sprint("/bin/step", len(s.Start.Run)+1)}})
			case "mount":
				s.Start.Mount = &spec.Mount{Target: "/mnt"}
				s.Stop.Kind = spec.StopUnmount
			case "homes":
				s.Start.Homes = &spec.Homes{}
			case "oneshot":
				s.OneShot = true
				s.Stop.Kind = spec.StopNone
			case "respawn":
				s.Respawn = true
			case "manual":
				s.AutoStart = false
			case "killall":
				s.Stop = spec.Stop{Kind: spec.StopKillAll, GraceMS: 4000}
			case "stoprun":
				s.Stop = spec.Stop{Kind: spec.StopRun, GraceMS: 2000, Process: &spec.Process{Argv: []string{"/bin/stop"}}}
			case "transient":
				s.Transient = true
			case "reload":
				s.Actions = append(s.Actions, spec.Action{Name: "reload", Signal: "SIGHUP"})
			case "check":
				s.Actions = append(s.Actions, spec.Action{Name: "check", Run: &spec.Process{Argv: []string{"/bin/check"}}})
			case "new":
				s.Documentation = "another definition"
			case "hup":
				s.Stop.Signal = "SIGHUP"
			default:
				f.t.Fatalf("unknown word %q", word)
			}
		}
		plan.Services = append(plan.Services, s)
	}
	return plan
}

// play carries out one line of a script.
func (f *fake) play(line string) {
	words := strings.Fields(line)
	f.note("> %s", line)
	arg := func(i int) string {
		if i < len(words) {
			return words[i]
		}
		return ""
	}
	sv := func() *service {
		s, err := f.m.find(arg(1))
		if err != nil {
			f.t.Fatal(err)
		}
		return s
	}
	result := func(what string) func(error) {
		return func(err error) {
			if err != nil {
				f.note("%s: error: %v", what, err)
				return
			}
			f.note("%s: ok", what)
		}
	}
	switch words[0] {
	case "boot":
		f.m.boot(nil)
	case "start":
		f.m.start(sv(), &transaction{}, result(line))
	case "stop":
		f.m.stop(sv(), func() { result(line)(nil) })
	case "restart":
		f.m.restart(sv(), &transaction{}, result(line))
	case "enable":
		sv().enabled, sv().recent = true, nil
	case "disable":
		sv().enabled = false
	case "act": // act NAME ACTION [WORD...]
		f.m.act(sv(), arg(2), words[3:], func(text string, exit *spec.Exit, err error) {
			if text != "" || exit != nil {
				f.note("wrote %q, %+v", text, exit)
			}
			result(line)(err)
		})
	case "upgrade": // upgrade PLAN
		f.m.upgrade(f.services(f.plans[arg(1)]), &transaction{}, func(up spec.Upgrade, err error) {
			f.note("unloaded %v, replaced %v, restart %v, started %v", up.Unloaded, up.Replaced, up.Restart, up.Started)
			result(line)(err)
		})
	case "logfull":
		f.m.logFull(arg(1))
	case "loglost":
		f.m.logLost(arg(1), errors.New("no space left on device"))
	case "explain": // explain NAME: all that its status tells beyond its state
		st := f.m.describe(sv())
		f.note("  %s %s, enabled %v, replacement %v: %s", st.Name, st.State, st.Enabled, st.Replacement, st.Reason)
		for _, w := range st.Warnings {
			f.note("  warning: %s", w)
		}
		for _, l := range st.Log {
			f.note("  | %s", l)
		}
		if st.Next != "" {
			f.note("  next: %s", st.Next)
		}
	case "wait":
		d, _ := time.ParseDuration(arg(1))
		f.m.wait(d, func(timedOut bool) { f.note("settled, timed out %v", timedOut) })
	case "poweroff":
		f.m.powerOff(func() { f.note("off") })
	case "exit": // exit NAME STATUS|SIGNAL [last line]
		i := slices.IndexFunc(f.procs, func(p *fakeProc) bool { return p.name == arg(1) })
		if i < 0 {
			f.t.Fatalf("%s: no such process", line)
		}
		p := f.procs[i]
		f.procs = slices.Delete(f.procs, i, i+1)
		var e spec.Exit
		if n, err := strconv.Atoi(arg(2)); err == nil {
			e.Code = n
		} else {
			e.Signal = 9
		}
		// Lines are parted by a slash.
		var k keeper
		k.all = true
		for line := range strings.SplitSeq(strings.Join(words[min(3, len(words)):], " "), " / ") {
			if line != "" {
				k.add([]byte(line))
			}
		}
		p.ended(e, k.output())
	case "own": // own NAME WARNING: before its program runs
		for _, p := range f.procs {
			if p.name == arg(1) {
				p.out.own = append(p.out.own, strings.Join(words[2:], " "))
			}
		}
	case "ready": // ready NAME [PID]
		i := slices.IndexFunc(f.watches, func(w *fakeWatch) bool { return w.name == arg(1) })
		if i < 0 {
			f.t.Fatalf("%s: nobody waits", line)
		}
		w := f.watches[i]
		f.watches = slices.Delete(f.watches, i, i+1)
		pid, _ := strconv.Atoi(arg(2))
		w.done(pid, nil)
	case "effect": // finish the oldest effect
		e := f.pending[0]
		f.pending = f.pending[1:]
		e.done(e.f())
	case "strays":
		f.strays, _ = strconv.Atoi(arg(1))
	case "pass":
		d, err := time.ParseDuration(arg(1))
		if err != nil {
			f.t.Fatal(err)
		}
		f.pass(d)
	case "status":
		for _, st := range f.m.status(f.m.services...) {
			text := st.Name + " " + st.State
			if !st.Enabled {
				text += " disabled"
			}
			if st.PID != 0 {
				text += fmt.Sprint(" pid ", st.PID)
			}
			if st.Reason != "" {
				text += ": " + st.Reason
			}
			f.note("  %s", text)
		}
	default:
		f.t.Fatalf("unknown line %q", line)
	}
}

// pass lets time go by, timer by timer.
func (f *fake) pass(d time.Duration) {
	end := f.clock.Add(d)
	for {
		i := -1
		for j, t := range f.timers {
			if !t.at.After(end) && (i < 0 || t.at.Before(f.timers[i].at)) {
				i = j
			}
		}
		if i < 0 {
			break
		}
		t := f.timers[i]
		f.timers = slices.Delete(f.timers, i, i+1)
		f.clock = t.at
		t.call()
	}
	f.clock = end
}
