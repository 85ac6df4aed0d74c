// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package supervise

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"osbuild/runner/spec"
)

// TestRandom has many requests come at any time, in any order, while processes
// end, become ready or hang as they like, and checks what must hold whatever
// happens: a service has one process at most, nothing that is needed stops
// first, each request is answered once, and in the end all come to rest.
func TestRandom(t *testing.T) {
	const rounds = 1500
	for seed := range uint64(rounds) {
		r := &randomRun{r: rand.New(rand.NewPCG(seed, 7)), answers: map[string]int{}}
		r.f = &fake{t: t, clock: time.Unix(1000, 0)}
		r.f.m = newMachine(r.f.services(r.plan()), r.f, effects{mount: func(spec.Mount) (bool, error) { return true, nil }, unmount: func(string) error { return nil }})
		if problem := r.run(); problem != "" {
			t.Fatalf("seed %d: %s\n%s", seed, problem, strings.Join(r.f.transcript, "\n"))
		}
	}
}

type randomRun struct {
	r       *rand.Rand
	f       *fake
	asked   int
	answers map[string]int
	problem string
	pid     int
}

// plan is a random one without circles.
func (r *randomRun) plan() string {
	var b strings.Builder
	n := 2 + r.r.IntN(6)
	for i := range n {
		fmt.Fprintf(&b, "s%d", i)
		if r.r.IntN(6) == 0 {
			fmt.Fprintf(&b, " alias%d", i)
		}
		b.WriteString(":")
		for j := range i {
			if r.r.IntN(3) == 0 {
				fmt.Fprintf(&b, " s%d", j)
			}
		}
		kinds := []string{"exec", "exec respawn", "exec ready respawn", "run oneshot", "run run oneshot", "mount", "exec stoprun", "", "exec transient", "exec ready pidfile"}
		b.WriteString(" | " + kinds[r.r.IntN(len(kinds))])
		for _, word := range []string{"manual", "new"} {
			if r.r.IntN(4) == 0 {
				b.WriteString(" " + word)
			}
		}
		b.WriteString("\n")
	}
	return b.String()
}

func (r *randomRun) run() string {
	r.f.m.boot(nil)
	for range 60 {
		r.step()
		if r.check(); r.problem != "" {
			return r.problem
		}
	}
	// Everything that was asked comes to an end once processes do.
	off := false
	if r.r.IntN(2) == 0 {
		r.f.note("> poweroff")
		r.f.m.powerOff(func() { off = true })
	} else {
		off = true
	}
	for range 400 {
		r.finish()
		if r.check(); r.problem != "" {
			return r.problem
		}
		r.f.pass(time.Second)
	}
	for _, s := range r.f.m.services {
		if s.state == spec.StateStopping || s.state == spec.StateStarting {
			return s.name + " is " + s.state + " for ever"
		}
	}
	if !off {
		return "the system does not power off"
	}
	if r.f.m.goingDown && len(r.f.procs) > 0 {
		return "processes outlive the power-off"
	}
	for i := range r.asked {
		if n := r.answers[fmt.Sprint(i)]; n != 1 {
			return fmt.Sprintf("request %d was answered %d times", i, n)
		}
	}
	return ""
}

// answer is the callback of a new request.
func (r *randomRun) answer(line string) func() {
	id := fmt.Sprint(r.asked)
	r.asked++
	r.f.note("> %s (%s)", line, id)
	return func() {
		r.answers[id]++
		r.f.note("answer %s", id)
	}
}

// step is one thing that may happen.
func (r *randomRun) step() {
	m := r.f.m
	pick := func() *service {
		if len(m.services) == 0 {
			return nil
		}
		return m.services[r.r.IntN(len(m.services))]
	}
	s := pick()
	if s == nil {
		return
	}
	switch r.r.IntN(12) {
	case 0:
		done := r.answer("start " + s.name)
		m.start(s, &transaction{}, func(error) { done() })
	case 1:
		done := r.answer("stop " + s.name)
		m.stop(s, done)
	case 2:
		done := r.answer("restart " + s.name)
		m.restart(s, &transaction{}, func(error) { done() })
	case 3:
		s.enabled = !s.enabled
	case 4:
		done := r.answer("upgrade")
		m.upgrade(r.f.services(r.plan()), &transaction{}, func(spec.Upgrade, error) { done() })
	case 5:
		r.f.note("> pass")
		r.f.pass(time.Duration(r.r.IntN(8000)) * time.Millisecond)
	case 6, 7:
		r.ready()
	case 8:
		r.effect()
	default:
		r.exit()
	}
}

// finish lets all that is under way come to its end.
func (r *randomRun) finish() {
	for len(r.f.pending) > 0 {
		r.effect()
	}
	for len(r.f.watches) > 0 {
		r.ready()
	}
	for _, p := range slices.Clone(r.f.procs) {
		s := r.f.m.byName[p.name]
		if s == nil || s.proc == nil || s.state != spec.StateRunning || r.r.IntN(3) == 0 {
			r.end(p, r.r.IntN(2))
		}
	}
}

func (r *randomRun) exit() {
	if len(r.f.procs) > 0 {
		r.end(r.f.procs[r.r.IntN(len(r.f.procs))], r.r.IntN(2))
	}
}

func (r *randomRun) end(p *fakeProc, status int) {
	r.f.note("> %s (%d) ends with %d", p.name, p.id, status)
	i := slices.Index(r.f.procs, p)
	if i < 0 {
		return
	}
	r.f.procs = slices.Delete(r.f.procs, i, i+1)
	p.ended(spec.Exit{Code: status}, output{})
}

func (r *randomRun) ready() {
	if len(r.f.watches) == 0 {
		return
	}
	w := r.f.watches[0]
	r.f.watches = r.f.watches[1:]
	pid := 0
	if r.r.IntN(2) == 0 {
		r.pid++
		pid = 1000 + r.pid
	}
	r.f.note("> %s is ready as %d", w.name, pid)
	w.done(pid, nil)
}

func (r *randomRun) effect() {
	if len(r.f.pending) > 0 {
		r.f.note("> an effect ends")
		e := r.f.pending[0]
		r.f.pending = r.f.pending[1:]
		e.done(e.f())
	}
}

// check is what holds at any time.
func (r *randomRun) check() {
	m := r.f.m
	fail := func(format string, args ...any) {
		if r.problem == "" {
			r.problem = fmt.Sprintf(format, args...)
		}
	}
	unsettled := 0
	for _, s := range m.services {
		if s.AutoStart && (s.state == spec.StateStarting || s.state == spec.StateStopping) {
			unsettled++
		}
		for _, name := range s.Provision {
			if m.byName[name] != s && s.twin == "" {
				fail("%s is not found by its name %s", s.name, name)
			}
		}
		atRest := s.state == spec.StateStopped || s.state == spec.StateFailed || s.state == spec.StateDone
		if atRest && s.proc != nil {
			fail("%s is %s and has process %d", s.name, s.state, s.proc.pid())
		}
		if atRest && len(s.onStarted)+len(s.onStopped) > 0 {
			fail("%s is %s and somebody waits for it", s.name, s.state)
		}
		if atRest && len(s.next) > 0 && !m.goingDown {
			fail("%s is %s and was not replaced", s.name, s.state)
		}
		if p, ok := s.proc.(*fakeProc); ok && p.signalled && s.state == spec.StateStopping && len(s.Start.Run) == 0 {
			for _, d := range s.dependants {
				if d.proc != nil && d.state != spec.StateStarting {
					fail("%s was told to stop and %s, which needs it, is alive", s.name, d.name)
				}
			}
		}
		if s.gone {
			fail("%s was forgotten and is there", s.name)
		}
	}
	if unsettled != m.unsettled {
		fail("%d services are counted as unsettled, and %d are", m.unsettled, unsettled)
	}
	for name, s := range m.byName {
		if !slices.Contains(m.services, s) {
			fail("the name %s leads to a service that is gone", name)
		}
	}
	count := map[string]int{}
	for _, s := range m.services {
		if s.proc != nil {
			count[fmt.Sprint(s.proc.pid())]++
			if count[fmt.Sprint(s.proc.pid())] > 1 {
				fail("two services have process %d", s.proc.pid())
			}
		}
	}
}
