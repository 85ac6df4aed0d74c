// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package supervise

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"osbuild/runner/spec"
)

// Defaults where a plan says nothing.
const (
	defaultReady        = 30 * time.Second
	defaultRespawnTimes = 5
	defaultRespawnTime  = 30 * time.Second
)

var (
	errPoweringOff = errors.New("the system is powering off")
	errDisabled    = errors.New("it is disabled; enable it first")
	errStopped     = errors.New("it was stopped")
	errForgotten   = errors.New("it is transient, and was forgotten when it stopped")
	errUnloaded    = errors.New("the system has no such service any more")
)

// transaction is one wish, from the boot or from a request, with all the
// starts that follow from it: in it each one-shot runs once and each failure
// is tried once.
type transaction struct {
	results map[*service]error
	touched []*service
	seen    map[*service]bool
}

func (tx *transaction) record(s *service, err error) {
	if tx.results == nil {
		tx.results = map[*service]error{}
	}
	tx.results[s] = err
}

func (tx *transaction) touch(s *service) {
	if !tx.seen[s] {
		if tx.seen == nil {
			tx.seen = map[*service]bool{}
		}
		tx.seen[s] = true
		tx.touched = append(tx.touched, s)
	}
}

// start brings s to running, or a one-shot to done, and calls done with nil or
// with the reason why not. Requirements come first, side by side.
func (m *machine) start(s *service, tx *transaction, done func(error)) {
	if err, ok := tx.results[s]; ok {
		done(err)
		return
	}
	tx.touch(s)
	finish := func(err error) {
		if err != nil || s.OneShot {
			tx.record(s, err)
		}
		done(err)
	}
	switch {
	case s.gone && s.Transient:
		finish(errForgotten)
	case s.gone, s.leaving:
		finish(errUnloaded)
	case s.state == spec.StateRunning:
		done(nil)
	case s.state == spec.StateStarting:
		s.onStarted = append(s.onStarted, finish)
	case s.state == spec.StateStopping:
		s.onStopped = append(s.onStopped, func() { m.start(s, tx, done) })
	case m.goingDown:
		finish(errPoweringOff)
	case !s.enabled:
		finish(errDisabled)
	default:
		m.begin(s, tx, finish)
	}
}

// begin starts s, which is at rest.
func (m *machine) begin(s *service, tx *transaction, done func(error)) {
	attempt := s.fresh()
	s.trouble, s.warnings, s.log, s.logs = trouble{}, nil, nil, logTrouble{}
	s.respawning, s.recent, s.respawnCount = false, nil, 0
	s.since, s.step = m.world.now(), 0
	s.onStarted = []func(error){done}
	m.set(s, spec.StateStarting)
	if s.broken != "" {
		m.startFailed(s, advise(errors.New(s.broken), "mend the declaration and build the system again"))
		return
	}
	var failed error
	pending := len(s.Requirement) + 1
	one := func(name string, err error) {
		if s.attempt != attempt {
			return
		}
		if err != nil && failed == nil {
			failed = requires(name, err)
		}
		if pending--; pending > 0 {
			return
		}
		if failed != nil {
			m.startFailed(s, failed)
			return
		}
		m.launch(s)
	}
	for _, name := range s.Requirement {
		r, err := m.find(name)
		if err != nil { // it was transient
			one(name, err)
			continue
		}
		m.start(r, tx, func(err error) { one(name, err) })
	}
	one("", nil)
}

// launch does what the start of s consists of.
func (m *machine) launch(s *service) {
	attempt := s.attempt
	s.launched = true
	finish := func(err error) {
		switch {
		case s.attempt != attempt:
		case err != nil:
			m.startFailed(s, advise(err, "mend the cause, then `herd start %s`", s.name))
		default:
			m.started(s)
		}
	}
	switch {
	case s.Start.Exec != nil && s.OneShot:
		m.runAll(s, []spec.Process{*s.Start.Exec})
	case s.Start.Exec != nil:
		m.exec(s)
	case len(s.Start.Run) > 0:
		m.runAll(s, s.Start.Run)
	case s.Start.Mount != nil:
		mount, mounted := *s.Start.Mount, false
		m.world.do(func() (err error) {
			mounted, err = m.effects.mount(mount)
			return err
		}, func(err error) {
			s.mounted = mounted
			finish(err)
		})
	case s.Start.Homes != nil:
		homes := *s.Start.Homes
		m.world.do(func() error { return m.effects.homes(homes) }, finish)
	case len(s.Start.Directories) > 0:
		m.world.do(func() error { return m.effects.directories(s.Start.Directories) }, finish)
	default:
		m.started(s)
	}
}

// runAll runs programs one after the other to completion.
func (m *machine) runAll(s *service, programs []spec.Process) {
	if len(programs) == 0 {
		m.started(s)
		return
	}
	attempt := s.attempt
	var p process
	p, err := m.world.spawn(job{name: s.name, process: programs[0]}, func(e spec.Exit, out output) {
		if s.attempt != attempt {
			m.ended(s, p, e, out)
			return
		}
		s.proc, s.log = nil, out.tail
		for _, w := range out.warnings {
			s.warnings = append(s.warnings, w)
			m.world.say(s.name + ": warning: " + w)
		}
		if err := exitError(e, out.last); err != nil {
			m.startFailed(s, err)
			return
		}
		s.step++
		m.runAll(s, programs[1:])
	})
	if err != nil {
		m.startFailed(s, cannotRun(s, err))
		return
	}
	s.proc = p
}

// exec starts the program that the service is.
func (m *machine) exec(s *service) {
	attempt := s.attempt
	s.launched = true
	j := job{name: s.name, process: *s.Start.Exec, leader: s.Start.Exec.PIDFile == ""}
	waiting := j.process.Ready != nil || j.process.PIDFile != ""
	var p process
	p, err := m.world.spawn(j, func(e spec.Exit, out output) {
		if s.proc == p && s.attempt == attempt && s.state == spec.StateStarting && j.process.PIDFile != "" && e.Status() == 0 {
			// It went to the background; the PID file will name the daemon.
			s.proc = nil
			return
		}
		if j.process.PIDFile != "" && s.state == spec.StateStarting {
			m.world.sweep(p, j)
		}
		m.ended(s, p, e, out)
	})
	if err != nil {
		m.startFailed(s, cannotRun(s, err))
		return
	}
	s.proc = p
	if !waiting {
		m.started(s)
		return
	}
	timeout := readyTimeout(j.process)
	giveUp := func(why error) {
		if j.process.PIDFile != "" && s.proc == nil {
			m.world.sweep(p, j)
		}
		m.giveUp(s, why)
	}
	stopWatch := m.world.await(p, j, func(pid int, err error) {
		if s.attempt != attempt || s.state != spec.StateStarting {
			return
		}
		if err == nil && pid != 0 && (s.proc == nil || s.proc.pid() != pid) {
			var daemon process
			if daemon, err = m.world.adopt(pid, p, func(e spec.Exit, out output) { m.ended(s, daemon, e, out) }); err == nil {
				s.proc = daemon
			}
		}
		if err != nil {
			giveUp(err)
			return
		}
		s.cancel()
		s.cancel = nil
		m.started(s)
	})
	stopTimer := m.world.after(timeout, func() {
		giveUp(advise(fmt.Errorf("it was not ready after %v", timeout),
			"`herd logs %s` shows what it did; where it only takes longer, give its `ready` a longer timeout; then `herd start %[1]s`", s.name))
	})
	s.cancel = func() { stopWatch(); stopTimer() }
}

// cannotRun is the error of a program that could not be started.
func cannotRun(s *service, err error) error {
	return advise(err, "mend what the message names, in the declaration or in the system, then `herd start %s`", s.name)
}

// readyTimeout is how long a process may take to be ready.
func readyTimeout(p spec.Process) time.Duration {
	if r := p.Ready; r != nil && r.TimeoutMS > 0 {
		return time.Duration(r.TimeoutMS) * time.Millisecond
	}
	return defaultReady
}

// giveUp ends a start that takes too long: nothing of it stays behind.
func (m *machine) giveUp(s *service, why error) {
	s.fresh()
	s.respawning = false
	if s.proc == nil {
		m.startFailed(s, why)
		return
	}
	s.proc.signal(sigkill)
	// ended sees the reason and fails the start.
	s.fail(why)
	s.givenUp = why
	s.cancel = m.world.after(unkillable, func() { m.startFailed(s, why) })
}

// started says that s is where its start was to bring it.
func (m *machine) started(s *service) {
	s.respawning, s.trouble = false, trouble{}
	state := spec.StateRunning
	if s.OneShot {
		state = spec.StateDone
	}
	m.world.say(s.name + ": " + map[bool]string{false: "started", true: "done"}[s.OneShot])
	m.set(s, state)
	callStarted(s, nil)
	if s.OneShot {
		m.leave(s)
	}
}

// startFailed says that s did not get there. A failing respawn is one more
// unexpected end.
func (m *machine) startFailed(s *service, why error) {
	s.fresh()
	s.proc, s.givenUp = nil, nil
	if s.respawning && !m.goingDown {
		m.respawn(s, why.Error())
		return
	}
	s.fail(why)
	m.world.say(s.name + ": failed: " + s.reason)
	m.set(s, spec.StateFailed)
	m.atRest(s)
	callStarted(s, why)
}

func callStarted(s *service, err error) {
	waiting := s.onStarted
	s.onStarted = nil
	for _, f := range waiting {
		f(err)
	}
}

// ended is called when the process p of s is over.
func (m *machine) ended(s *service, p process, e spec.Exit, out output) {
	if s.proc != p {
		return // one that was given up on
	}
	s.proc, s.log = nil, out.tail
	how := describe(e, out.last)
	switch s.state {
	case spec.StateStarting:
		why := errors.New("it ended before it was ready: " + how)
		if s.givenUp != nil {
			why = s.givenUp
			if out.last != "" {
				why = fmt.Errorf("%w: %s", why, out.last)
			}
		}
		s.givenUp = nil
		m.startFailed(s, why)
	case spec.StateStopping:
		m.stopContinues(s)
	case spec.StateRunning:
		s.fresh()
		if s.Respawn && s.enabled && !m.goingDown {
			m.respawn(s, how)
			return
		}
		s.fail(errors.New("it ended: " + how))
		m.world.say(s.name + ": " + s.reason)
		if e.Status() == 0 {
			s.advice = fmt.Sprintf("`herd start %s` starts it again", s.name)
			m.set(s, spec.StateStopped)
		} else {
			m.set(s, spec.StateFailed)
		}
		m.leave(s)
	}
}

// respawn starts s again after a pause, unless it has been doing nothing else.
func (m *machine) respawn(s *service, how string) {
	most, within := s.RespawnLimit.Times, time.Duration(s.RespawnLimit.Seconds)*time.Second
	if most == 0 && within == 0 {
		most, within = defaultRespawnTimes, defaultRespawnTime
	}
	now := m.world.now()
	s.recent = slices.DeleteFunc(s.recent, func(t time.Time) bool { return now.Sub(t) > within })
	if len(s.recent) >= most {
		s.enabled, s.respawning = false, false
		why := advise(fmt.Errorf("it respawned too fast, %s within %v, and is disabled; the last time: %s", times(len(s.recent)), within, how),
			"`herd logs %s` shows all that it wrote; mend the cause, then `herd enable %[1]s` and `herd start %[1]s`", s.name)
		s.fail(why)
		m.world.say(s.name + ": " + s.reason)
		m.set(s, spec.StateFailed)
		m.leave(s)
		callStarted(s, why)
		return
	}
	s.recent = append(s.recent, now)
	s.respawnCount++
	s.respawning = true
	s.trouble = trouble{reason: "it ended and starts again: " + how}
	m.world.say(s.name + ": " + s.reason)
	s.fresh()
	m.set(s, spec.StateStarting)
	s.cancel = m.world.after(time.Duration(s.RespawnDelayMS)*time.Millisecond, func() {
		s.fresh()
		if !s.enabled {
			s.respawning = false
			m.startFailed(s, errDisabled)
			return
		}
		m.exec(s)
	})
}

// exitError is nil for an exit with status 0.
func exitError(e spec.Exit, last string) error {
	if e.Status() == 0 {
		return nil
	}
	return errors.New(describe(e, last))
}
