// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

// Package supervise is the part of osbuild-init that runs for as long as the
// system does: PID 1 of a container, or a subreaper below an engine's own init.
//
// It owns the processes: who started them, in what state each service is, who
// waits for whom, what is logged, and the one place where children are
// reaped. What the services are comes from a spec.ServicePlan. It never reads
// a declaration and never decides what belongs into /etc: the activation is a
// function that it is given.
//
// One goroutine, the loop, holds all state; everything else sends it
// functions to call. The rules of starting and stopping are in the machine,
// which knows the outside only as the interface world, so that they are tested
// without a process or a clock. Start with [Run], then machine.start.
package supervise

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"osbuild/runner/account"
	"osbuild/runner/spec"
)

// Options are what [Run] needs to know.
type Options struct {
	Plan spec.ServicePlan
	// Activate runs before the services start, outside the loop. exec runs a
	// program to its end, logged under a name.
	Activate func(exec func(name string, p spec.Process) error) []spec.StepStatus
	// Homes and Directories carry out the starts of those kinds.
	Homes       func(spec.Homes) error
	Directories func([]spec.Dir) error
	// ReadPlan reads the service plan of another system, for OpUpgrade.
	ReadPlan func(name string) (spec.ServicePlan, error)
	// Names reads the accounts as they are now.
	Names func() account.Names
	// Control is the connection to the runner, nil where there is none.
	Control *os.File
	// Publish is where the runner asks for connections to ports in here, nil
	// where none are published.
	Publish *os.File
	// Console gets the boot messages and the output of all services.
	Console *os.File
	// LogDir holds the logs, RunDir the sockets; Socket is the one for
	// requests from inside.
	LogDir, RunDir, Socket string
	// Self is the command that runs [ExecMain], for processes with resource
	// limits.
	Self []string
}

// supervisor is the loop and what it holds.
type supervisor struct {
	Options
	events  chan func()
	machine *machine
	console *console
	// children are the processes that were started here or adopted, by pid.
	children map[int]*child
	null     *os.File
	serial   int
	// noGroups says that setgroups(2) is not permitted here.
	noGroups bool
	ended    bool
	status   int
}

// Run activates, starts the services and supervises them until the system is
// powered off. It returns the exit status for the process.
func Run(o Options) int {
	var limit int64
	if o.Control != nil && o.Console != os.Stderr {
		limit = maxLog // the console is the runner's file then, and not anybody's terminal
	}
	s := &supervisor{
		Options:  o,
		events:   make(chan func(), 64),
		children: map[int]*child{},
		console:  newConsole(o.Console, limit),
	}
	s.prepare()
	signals := make(chan os.Signal, 16)
	sigchld := make(chan os.Signal, 1)
	signal.Notify(sigchld, unix.SIGCHLD)
	signal.Notify(signals, powerOffSignals...)
	// Caught so that they neither end PID 1 nor are inherited as ignored.
	signal.Notify(make(chan os.Signal, 1), unix.SIGHUP, unix.SIGPIPE)

	s.machine = newMachine(o.Plan, s, effects{
		homes: o.Homes, directories: o.Directories, mount: mount, unmount: unmount,
	})
	if o.Control != nil {
		go s.serve(o.Control, true)
	}
	if o.Publish != nil {
		go publish(o.Publish)
	}
	go s.activate()
	for !s.ended {
		select {
		case f := <-s.events:
			f()
		case <-sigchld:
			s.reap()
		case sig := <-signals:
			s.say(fmt.Sprintf("%s: powering off", unix.SignalName(sig.(syscall.Signal))))
			s.powerOff()
		}
	}
	s.console.close()
	return s.status
}

// powerOffSignals all mean an ordered power-off. The last is SIGRTMIN+3, which
// systemd taught container managers to send.
var powerOffSignals = []os.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGPWR, syscall.Signal(37)}

// prepare sets up this process.
func (s *supervisor) prepare() {
	// Whatever descriptors were left open for us are not for our children.
	_ = unix.CloseRange(3, 1<<31-1, unix.CLOSE_RANGE_CLOEXEC)
	unix.Umask(defaultUmask)
	if os.Getpid() != 1 {
		if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
			s.say(fmt.Sprintf("cannot become the reaper of orphans: %v", err))
		}
	}
	// Groups of whoever started us are none of the services' business.
	s.noGroups = syscall.Setgroups(nil) != nil
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		// A pipe that nobody writes to reads as empty just as well.
		s.say(fmt.Sprintf("cannot open %s: %v", os.DevNull, err))
		if r, w, err := os.Pipe(); err == nil {
			null = r
			w.Close()
		}
	}
	s.null = null
}

// activate runs the activation, then lets the services start.
func (s *supervisor) activate() {
	var statuses []spec.StepStatus
	if s.Activate != nil {
		statuses = s.Activate(s.runStep)
	}
	s.post(func() {
		for _, st := range statuses {
			s.say(fmt.Sprintf("activation: %s %s: %s", st.Name, st.Outcome(), st.Reason))
		}
		// Not earlier: the activation empties /run.
		if s.Socket != "" {
			if err := s.listen(); err != nil {
				s.say(fmt.Sprintf("cannot take requests from inside: %v", err))
			}
		}
		s.machine.boot(statuses)
	})
}

// runStep runs the program of an activation step to its end.
func (s *supervisor) runStep(name string, p spec.Process) error {
	done := make(chan error, 1)
	s.post(func() {
		end := s.machine.stepBegins(name)
		_, err := s.spawn(job{name: name, process: p}, func(e spec.Exit, out output) {
			end()
			done <- exitError(e, out.last)
		})
		if err != nil {
			end()
			done <- err
		}
	})
	return <-done
}

// powerOff stops everything in order and ends the loop.
func (s *supervisor) powerOff() {
	s.machine.powerOff(func() { s.end(0) })
}

// end ends the loop.
func (s *supervisor) end(status int) {
	s.ended, s.status = true, status
}

// post has f called by the loop.
func (s *supervisor) post(f func()) { s.events <- f }

// now is the time of a clock that nobody sets.
func (s *supervisor) now() time.Time { return time.Now() }

// after has f called by the loop once d has passed, unless it is cancelled.
func (s *supervisor) after(d time.Duration, f func()) (cancel func()) {
	cancelled := false // belongs to the loop
	t := time.AfterFunc(d, func() {
		s.post(func() {
			if !cancelled {
				f()
			}
		})
	})
	return func() {
		cancelled = true
		t.Stop()
	}
}

// do calls f beside the loop, then done in it.
func (s *supervisor) do(f func() error, done func(error)) {
	go func() {
		err := f()
		s.post(func() { done(err) })
	}()
}

// say writes a line of our own to the console.
func (s *supervisor) say(line string) { s.console.print("osbuild-init: " + line) }
