// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package supervise

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"osbuild/runner/spec"
)

// world is all that the machine does outside itself. Every function that it is
// given is called from the loop, never before the call that it was given to
// has returned.
type world interface {
	now() time.Time
	after(d time.Duration, f func()) (cancel func())
	// spawn starts a process; ended is called once when it is over.
	spawn(j job, ended func(e spec.Exit, lastLine string)) (process, error)
	// adopt takes on a process that a service forked by itself.
	adopt(pid int, ended func(e spec.Exit, lastLine string)) (process, error)
	// await watches until the process of a job is ready. done gets the pid
	// from its PID file, or 0.
	await(p process, j job, done func(pid int, err error)) (cancel func())
	// do calls f outside the loop, then done.
	do(f func() error, done func(error))
	// killAll signals every process but this one and says whether there is
	// any; signal 0 only asks.
	killAll(sig syscall.Signal) bool
	say(line string)
}

// process is one that runs, or has ended a moment ago.
type process interface {
	pid() int
	// signal signals the whole process group.
	signal(sig syscall.Signal)
}

// effects are the starts that are no processes.
type effects struct {
	homes       func(spec.Homes) error
	directories func([]spec.Dir) error
	mount       func(spec.Mount) (mounted bool, err error)
	unmount     func(target string) error
}

// service is one service and where it stands.
type service struct {
	spec.Service
	name    string
	state   string
	enabled bool
	// broken says why it can never start, "" if it can.
	broken string
	reason string
	proc   process
	// mounted says that its start made a mount, which its stop takes away.
	mounted bool
	// attempt grows whenever what went before no longer counts; callbacks of
	// an earlier attempt are ignored.
	attempt int
	// cancel ends whatever timer or watch is set for this attempt.
	cancel func()
	// respawning marks a start that follows an unexpected end.
	respawning   bool
	recent       []time.Time // respawns within the limit's time
	respawnCount int
	onStarted    []func(error)
	onStopped    []func()
}

// machine holds the services and the rules between them.
type machine struct {
	world      world
	effects    effects
	services   []*service
	byName     map[string]*service
	activation []spec.StepStatus
	booted     bool
	goingDown  bool
	settled    []func()
}

func newMachine(plan spec.ServicePlan, w world, e effects) *machine {
	m := &machine{world: w, effects: e, byName: map[string]*service{}}
	for _, sp := range plan.Services {
		s := &service{Service: sp, state: spec.StateStopped, enabled: true}
		if len(sp.Provision) == 0 {
			w.say("a service without a name is left out")
			continue
		}
		s.name = sp.Provision[0]
		for _, name := range sp.Provision {
			if other, ok := m.byName[name]; ok {
				s.broken = fmt.Sprintf("%s is provided by %s already", name, other.name)
				continue
			}
			m.byName[name] = s
		}
		m.services = append(m.services, s)
	}
	m.check()
	return m
}

// check finds what the builder should have refused; such a service cannot
// start, but the others can.
func (m *machine) check() {
	const unseen, open, closed = 0, 1, 2
	color := map[*service]int{}
	var path []string
	var visit func(s *service)
	visit = func(s *service) {
		color[s] = open
		path = append(path, s.name)
		for _, name := range s.Requirement {
			r, ok := m.byName[name]
			switch {
			case !ok:
				s.broken = fmt.Sprintf("it requires %s, which no service provides", name)
			case color[r] == open:
				cycle := append(slices.Clone(path[slices.Index(path, r.name):]), r.name)
				s.broken = "its requirements form a circle: " + strings.Join(cycle, " → ")
			case color[r] == unseen:
				visit(r)
			}
		}
		path = path[:len(path)-1]
		color[s] = closed
	}
	for _, s := range m.services {
		if color[s] == unseen {
			visit(s)
		}
	}
}

// find returns the service that provides name.
func (m *machine) find(name string) (*service, error) {
	if s, ok := m.byName[name]; ok {
		return s, nil
	}
	return nil, fmt.Errorf("there is no service %q; herd status lists all", name)
}

// boot starts all services that start by themselves.
func (m *machine) boot(activation []spec.StepStatus) {
	m.activation = activation
	if !m.goingDown {
		tx := &transaction{}
		for _, s := range m.services {
			if s.AutoStart {
				m.start(s, tx, func(error) {})
			}
		}
	}
	m.booted = true
	m.checkSettled()
}

// set changes the state of s; everything that waits for states looks again.
func (m *machine) set(s *service, state string) {
	s.state = state
	m.checkSettled()
}

// isSettled says whether the boot is over: each service that starts by itself
// has got where it gets.
func (m *machine) isSettled() bool {
	return m.booted && !slices.ContainsFunc(m.services, func(s *service) bool {
		return s.AutoStart && (s.state == spec.StateStarting || s.state == spec.StateStopping)
	})
}

func (m *machine) checkSettled() {
	if len(m.settled) > 0 && m.isSettled() {
		waiting := m.settled
		m.settled = nil
		for _, f := range waiting {
			f()
		}
	}
}

// wait calls done once the boot is over, or when d has passed; d 0 waits for
// as long as it takes.
func (m *machine) wait(d time.Duration, done func(timedOut bool)) {
	called := false
	once := func(timedOut bool) {
		if !called {
			called = true
			done(timedOut)
		}
	}
	if m.isSettled() {
		once(false)
		return
	}
	cancel := func() {}
	if d > 0 {
		cancel = m.world.after(d, func() { once(true) })
	}
	m.settled = append(m.settled, func() { cancel(); once(false) })
}

// status describes services for a reply.
func (m *machine) status(services ...*service) []spec.ServiceStatus {
	out := make([]spec.ServiceStatus, 0, len(services))
	for _, s := range services {
		st := spec.ServiceStatus{
			Name: s.name, Provision: s.Provision, Requirement: s.Requirement, Documentation: s.Documentation,
			State: s.state, Enabled: s.enabled, AutoStart: s.AutoStart, OneShot: s.OneShot,
			Respawns: s.respawnCount, Reason: s.reason,
		}
		if s.proc != nil {
			st.PID = s.proc.pid()
		}
		out = append(out, st)
	}
	return out
}

// fresh begins a new attempt: nothing that was under way counts any more.
func (s *service) fresh() int {
	if s.cancel != nil {
		s.cancel()
		s.cancel = nil
	}
	s.attempt++
	return s.attempt
}
