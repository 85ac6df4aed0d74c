// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package supervise

import (
	"fmt"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"osbuild/runner/spec"
)

const (
	sigkill = syscall.SIGKILL
	// defaultGrace is the time between the stop signal and SIGKILL where a
	// plan names none.
	defaultGrace = 5 * time.Second
	// unkillable is how long a process may take to die of SIGKILL, as one in
	// an uninterruptible call does, before it is left to itself.
	unkillable = 5 * time.Second
	// pollAll is how often a kill-all looks whether all have gone.
	pollAll = 20 * time.Millisecond
)

// stop brings s to rest, those that depend on it first, and calls done.
func (m *machine) stop(s *service, done func()) {
	switch {
	case s.state == spec.StateStopping:
		s.onStopped = append(s.onStopped, done)
	case s.state == spec.StateStarting && s.respawning && s.proc == nil:
		// It waits for the next try; that will not come.
		m.abandon(s, errStopped)
		done()
	case s.state == spec.StateStarting && !s.launched && s.proc == nil:
		// It waits for what it requires, which may take for ever.
		m.abandon(s, errStopped)
		done()
	case s.state == spec.StateStarting && s.proc != nil && len(s.Start.Run) > 0:
		// Its program may run for ever, and nothing is to be had of its end.
		s.fresh()
		s.onStopped = []func(){done}
		m.set(s, spec.StateStopping)
		callStarted(s, errStopped)
		s.proc.signal(stopSignal(s.Stop))
		m.killAfter(s, grace(s))
	case s.state == spec.StateStarting:
		s.onStarted = append(s.onStarted, func(error) { m.stop(s, done) })
	case s.state == spec.StateRunning:
		m.beginStop(s, done)
	default:
		done()
	}
}

// abandon ends a start that has no process.
func (m *machine) abandon(s *service, why error) {
	s.fresh()
	s.respawning, s.recent, s.trouble = false, nil, trouble{}
	m.set(s, spec.StateStopped)
	m.leave(s)
	callStarted(s, why)
}

// beginStop stops s, which runs.
func (m *machine) beginStop(s *service, done func()) {
	s.fresh()
	s.recent = nil
	s.onStopped = []func(){done}
	m.set(s, spec.StateStopping)
	dependants := m.dependants(s)
	pending := len(dependants) + 1
	one := func() {
		if pending--; pending == 0 {
			m.stopNow(s)
		}
	}
	for _, d := range dependants {
		m.stop(d, one)
	}
	one()
}

// dependants are the services at work that need s, also by way of a one-shot
// that is done or a service that has stopped by itself since.
func (m *machine) dependants(s *service) (out []*service) {
	seen := map[*service]bool{s: true}
	var visit func(s *service)
	visit = func(s *service) {
		for _, d := range s.dependants {
			if seen[d] {
				continue
			}
			seen[d] = true
			switch d.state {
			case spec.StateRunning, spec.StateStarting, spec.StateStopping:
				out = append(out, d)
			default:
				visit(d)
			}
		}
	}
	visit(s)
	return out
}

// grace is how long s may take to stop.
func grace(s *service) time.Duration {
	if s.Stop.GraceMS <= 0 {
		return defaultGrace
	}
	return time.Duration(s.Stop.GraceMS) * time.Millisecond
}

// stopNow does what the stop of s consists of; its dependants have stopped.
func (m *machine) stopNow(s *service) {
	grace := grace(s)
	switch s.Stop.Kind {
	case spec.StopNone:
		if s.OneShot && s.proc != nil {
			// A run that is broken off, not a service that is to be left.
			s.proc.signal(unix.SIGTERM)
			m.killAfter(s, grace)
			return
		}
		s.proc = nil
		m.stopped(s)
	case spec.StopKillAll:
		m.killAll(unix.SIGTERM, grace, func() { m.stopped(s) })
	case spec.StopUnmount:
		m.unmount(s, grace)
	case spec.StopRun:
		m.stopByProgram(s, grace)
	default:
		if s.proc == nil {
			m.stopped(s)
			return
		}
		s.proc.signal(stopSignal(s.Stop))
		m.killAfter(s, grace)
	}
}

// stopSignal is the signal that a stop sends; a name that is unknown means
// SIGTERM, for a service must be stopped somehow.
func stopSignal(stop spec.Stop) syscall.Signal {
	if sig := unix.SignalNum(stop.Signal); sig != 0 {
		return sig
	}
	return unix.SIGTERM
}

// killAfter kills what still runs of s after the grace.
func (m *machine) killAfter(s *service, grace time.Duration) {
	s.cancel = m.world.after(grace, func() {
		if s.proc == nil {
			return
		}
		m.world.say(fmt.Sprintf("%s: it did not stop within %v and is killed", s.name, grace))
		s.trouble = trouble{
			fmt.Sprintf("it did not stop within %v and was killed", grace),
			"where it only takes longer, give it more time with kill(grace = ...), or another signal",
		}
		s.proc.signal(sigkill)
		s.cancel = m.world.after(unkillable, func() {
			s.trouble = trouble{
				fmt.Sprintf("process %d does not die of SIGKILL", s.proc.pid()),
				"the kernel holds it, mostly for a file system that does not answer; it ends when that does",
			}
			m.world.say(s.name + ": " + s.reason)
			s.proc = nil
			m.stopped(s)
		})
	})
}

// stopContinues is called when the main process of a stopping service has
// ended: by the stop, or by itself while its dependants were being stopped.
func (m *machine) stopContinues(s *service) {
	if s.cancel != nil {
		m.stopped(s)
	}
}

// stopByProgram runs the stop program, then waits as for a signal.
func (m *machine) stopByProgram(s *service, grace time.Duration) {
	main := s.proc
	finish := func() {
		if main == nil || s.proc == nil {
			m.stopped(s)
			return
		}
		m.killAfter(s, grace)
	}
	if s.Stop.Process == nil {
		finish()
		return
	}
	attempt := s.attempt
	over := false
	cancel := func() {}
	p, err := m.world.spawn(job{name: s.name, process: *s.Stop.Process}, func(e spec.Exit, out output) {
		over = true
		cancel()
		if s.attempt != attempt || s.state != spec.StateStopping {
			return
		}
		if err := exitError(e, out.last); err != nil {
			m.stopFailed(s, err)
		}
		finish()
	})
	if err != nil {
		m.stopFailed(s, err)
		finish()
		return
	}
	cancel = m.world.after(grace, func() {
		if !over {
			p.signal(sigkill)
		}
	})
}

// stopFailed notes that the stop program of s failed. What it should have ended
// is killed after the grace.
func (m *machine) stopFailed(s *service, err error) {
	s.trouble = trouble{
		fmt.Sprintf("its stop program failed: %v", err),
		fmt.Sprintf("`herd logs %s` shows what it wrote; mend the stop of the service", s.name),
	}
	m.world.say(s.name + ": " + s.reason)
}

// unmount takes away the mount that the start of s made.
func (m *machine) unmount(s *service, grace time.Duration) {
	if !s.mounted || s.Start.Mount == nil {
		m.stopped(s)
		return
	}
	target, attempt := s.Start.Mount.Target, s.attempt
	finish := func(err error) {
		if s.attempt != attempt {
			return
		}
		if err != nil {
			s.trouble = trouble{err.Error(), "end what still uses it, then `umount` it"}
			m.world.say(s.name + ": " + s.reason)
		}
		s.mounted = false
		m.stopped(s)
	}
	m.world.do(func() error { return m.effects.unmount(target) }, finish)
	s.cancel = m.world.after(grace, func() { finish(fmt.Errorf("cannot unmount %s: it takes longer than %v", target, grace)) })
}

// killAll ends every process but this one: politely, then by force.
func (m *machine) killAll(sig syscall.Signal, grace time.Duration, done func()) {
	deadline := m.world.now().Add(grace)
	if !m.world.killAll(sig) {
		done()
		return
	}
	var poll func()
	poll = func() {
		switch {
		case !m.world.killAll(0):
			done()
		case m.world.now().Before(deadline):
			m.world.after(pollAll, poll)
		case sig != sigkill:
			m.killAll(sigkill, unkillable, done)
		default:
			m.world.say("some processes do not die of SIGKILL")
			done()
		}
	}
	m.world.after(pollAll, poll)
}

// stopped says that s is at rest.
func (m *machine) stopped(s *service) {
	s.fresh()
	s.respawning = false
	m.world.say(s.name + ": stopped")
	m.set(s, spec.StateStopped)
	waiting := s.onStopped
	s.onStopped = nil
	m.leave(s)
	for _, f := range waiting {
		f()
	}
}

// restart stops s with all that depend on it, then starts all of them.
func (m *machine) restart(s *service, tx *transaction, done func(error)) {
	var again []*service
	seen := map[*service]bool{}
	var collect func(s *service)
	collect = func(s *service) {
		if seen[s] {
			return
		}
		seen[s] = true
		again = append(again, s)
		for _, d := range m.dependants(s) {
			collect(d)
		}
	}
	collect(s)
	asked := s
	m.stop(s, func() {
		again = slices.DeleteFunc(again, func(s *service) bool { return s.gone && s != asked })
		pending := len(again)
		var failed error
		for _, s := range again {
			m.start(s, tx, func(err error) {
				if err != nil && failed == nil {
					failed = fmt.Errorf("cannot start %s: %w", s.name, err)
				}
				if pending--; pending == 0 {
					done(failed)
				}
			})
		}
	})
}

// powerOff stops everything, each service after those that depend on it, and
// calls done. Nothing starts any more; what is starting is broken off.
func (m *machine) powerOff(done func()) {
	if m.goingDown {
		return
	}
	m.goingDown = true
	for _, s := range m.services {
		if s.state == spec.StateStarting {
			m.breakOff(s)
		}
	}
	var running []*service
	for _, s := range m.services {
		if s.state == spec.StateRunning || s.state == spec.StateStopping {
			running = append(running, s)
		}
	}
	pending := len(running) + 1
	one := func() {
		if pending--; pending == 0 {
			// What services and commands left behind.
			m.killAll(unix.SIGTERM, time.Second, done)
		}
	}
	for _, s := range running {
		m.stop(s, one)
	}
	one()
}

// breakOff ends a start that is under way: a process of it is stopped like a
// running service, the rest no longer counts.
func (m *machine) breakOff(s *service) {
	s.fresh()
	s.respawning = false
	if s.proc != nil {
		s.trouble = trouble{reason: errPoweringOff.Error()}
		m.set(s, spec.StateRunning)
	} else {
		m.set(s, spec.StateStopped)
	}
	callStarted(s, errPoweringOff)
}
