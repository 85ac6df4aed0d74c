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
	spawn(j job, ended func(e spec.Exit, out output)) (process, error)
	// adopt takes on a process that one of a service's forked by itself.
	adopt(pid int, from process, ended func(e spec.Exit, out output)) (process, error)
	// sweep kills what a process that was to go to the background has left.
	sweep(p process, j job)
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
	// signalMain signals the process alone.
	signalMain(sig syscall.Signal)
	// output is what is known of what it wrote so far.
	output() output
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
	// gone says that the machine has forgotten it, leaving that it will.
	gone, leaving bool
	// twin says which of its names another service has, broken why it can
	// never start; "" if all is well.
	twin, broken string
	trouble
	warnings []string
	log      []string
	// givenUp is why a start was given up whose process has still to end.
	givenUp error
	logs    logTrouble
	proc    process
	// mounted says that its start made a mount, which its stop takes away.
	mounted bool
	// attempt grows whenever what went before no longer counts; callbacks of
	// an earlier attempt are ignored.
	attempt int
	// since is when this attempt began, launched says that its requirements
	// have started, step counts the programs of its start that have.
	since    time.Time
	launched bool
	step     int
	// cancel ends whatever timer or watch is set for this attempt.
	cancel func()
	// respawning marks a start that follows an unexpected end.
	respawning   bool
	recent       []time.Time // respawns within the limit's time
	respawnCount int
	onStarted    []func(error)
	onStopped    []func()
	// counted says that the boot waits for it.
	counted bool
	// dependants are those that require it.
	dependants []*service
	// next are the definitions that take its place when it is at rest.
	next []*successor
}

// machine holds the services and the rules between them.
type machine struct {
	world      world
	effects    effects
	services   []*service
	byName     map[string]*service
	activation []spec.StepStatus
	// steps are the programs of the activation that run, and since when.
	steps     map[string]time.Time
	booted    bool
	goingDown bool
	upgrading bool
	// unsettled is how many services the boot still waits for.
	unsettled int
	settled   []func()
}

func newMachine(plan spec.ServicePlan, w world, e effects) *machine {
	m := &machine{world: w, effects: e, byName: map[string]*service{}, steps: map[string]time.Time{}}
	for _, sp := range plan.Services {
		m.add(sp)
	}
	m.check()
	return m
}

// add takes on a service; check has to follow.
func (m *machine) add(sp spec.Service) {
	if len(sp.Provision) == 0 {
		m.world.say("a service without a name is left out")
		return
	}
	s := &service{state: spec.StateStopped, enabled: true}
	m.define(s, sp)
	m.services = append(m.services, s)
}

// define gives s its definition and names.
func (m *machine) define(s *service, sp spec.Service) {
	for _, name := range s.Provision {
		if m.byName[name] == s {
			delete(m.byName, name)
		}
	}
	s.Service, s.name, s.twin = sp, sp.Provision[0], ""
	for _, name := range sp.Provision {
		if other, ok := m.byName[name]; ok && other != s {
			s.twin = fmt.Sprintf("%s is provided by %s already", name, other.name)
			continue
		}
		m.byName[name] = s
	}
}

// forget takes services out, which are at rest.
func (m *machine) forget(list ...*service) {
	for _, s := range list {
		s.gone = true
		for _, name := range s.Provision {
			if m.byName[name] == s {
				delete(m.byName, name)
			}
		}
	}
	// A new list: somebody may be walking through the old one.
	var left []*service
	for _, s := range m.services {
		if !s.gone {
			left = append(left, s)
		}
	}
	m.services = left
	m.check()
}

// check notes who needs whom, and finds what the builder should have refused;
// such a service cannot start, but the others can.
func (m *machine) check() {
	const unseen, open, closed = 0, 1, 2
	color := map[*service]int{}
	for _, s := range m.services {
		s.broken, s.dependants = s.twin, nil
	}
	var path []string
	var visit func(s *service)
	visit = func(s *service) {
		color[s] = open
		path = append(path, s.name)
		for _, name := range s.Requirement {
			r, ok := m.byName[name]
			if ok && !slices.Contains(tail(r.dependants, 1), s) {
				r.dependants = append(r.dependants, s)
			}
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

// tail is the end of a list, up to n elements.
func tail[T any](list []T, n int) []T { return list[max(0, len(list)-n):] }

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
	counts := s.AutoStart && (state == spec.StateStarting || state == spec.StateStopping)
	if counts != s.counted {
		s.counted = counts
		m.unsettled += map[bool]int{true: 1, false: -1}[counts]
	}
	m.checkSettled()
}

// isSettled says whether the boot is over: each service that starts by itself
// has got where it gets.
func (m *machine) isSettled() bool { return m.booted && m.unsettled == 0 }

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

// fresh begins a new attempt: nothing that was under way counts any more.
func (s *service) fresh() int {
	if s.cancel != nil {
		s.cancel()
		s.cancel = nil
	}
	s.attempt++
	s.launched = false
	return s.attempt
}
