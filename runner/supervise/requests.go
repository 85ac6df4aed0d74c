// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package supervise

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"osbuild/runner/spec"
)

// rootName is what herd calls PID 1 itself.
const rootName = "root"

// handle does what a request asks for; it is called in the loop.
func (s *supervisor) handle(c *conn, req spec.Request) {
	reply := func(services []*service, err error) {
		r := spec.Reply{ID: req.ID, Services: s.machine.status(services...)}
		if err != nil {
			r.Error = err.Error()
		}
		c.reply(r)
	}
	switch req.Op {
	case spec.OpWait:
		s.machine.wait(time.Duration(req.TimeoutMS)*time.Millisecond, func(timedOut bool) {
			c.reply(spec.Reply{
				ID: req.ID, TimedOut: timedOut, Activation: s.machine.activationStatus(),
				Services: s.machine.status(s.machine.services...),
			})
		})
		return
	case spec.OpStatus:
		switch req.Service {
		case "":
			c.reply(spec.Reply{
				ID: req.ID, Activation: s.machine.activationStatus(),
				Services: s.machine.status(s.machine.services...),
			})
			return
		case rootName:
			c.reply(spec.Reply{ID: req.ID, Activation: s.machine.activationStatus(), Services: []spec.ServiceStatus{s.machine.root()}})
			return
		}
	case spec.OpRun:
		s.runCommand(c, req)
		return
	case spec.OpUpgrade:
		s.upgrade(c, req)
		return
	case spec.OpPowerOff:
		s.machine.powerOff(func() {
			c.reply(spec.Reply{ID: req.ID})
			c.flush()
			s.end(0)
		})
		return
	}
	sv, err := s.machine.find(req.Service)
	if err != nil && req.Service == rootName {
		err = errors.New("root is PID 1 itself, of which only the status can be asked; `osbuild stop NAME` powers the system off")
	}
	if err != nil {
		reply(nil, err)
		return
	}
	tx := &transaction{}
	switch req.Op {
	case spec.OpStatus:
		reply([]*service{sv}, nil)
	case spec.OpStart:
		s.machine.start(sv, tx, func(err error) {
			if err != nil {
				err = fmt.Errorf("cannot start %s: %w", sv.name, err)
			}
			reply(tx.touched, err)
		})
	case spec.OpStop:
		stopped := append(s.machine.dependants(sv), sv)
		s.machine.stop(sv, func() { reply(stopped, nil) })
	case spec.OpRestart:
		s.machine.restart(sv, tx, func(err error) { reply(tx.touched, err) })
	case spec.OpEnable:
		sv.enabled, sv.recent = true, nil
		reply([]*service{sv}, nil)
	case spec.OpDisable:
		sv.enabled = false
		reply([]*service{sv}, nil)
	case spec.OpAction:
		s.machine.act(sv, req.Action, req.Args, func(text string, exit *spec.Exit, err error) {
			r := spec.Reply{ID: req.ID, Log: text, Exit: exit}
			if err != nil {
				r.Error = err.Error()
			}
			c.reply(r)
		})
	case spec.OpLogs:
		text, err := s.tail(sv.name)
		r := spec.Reply{ID: req.ID, Log: text}
		if err != nil {
			r.Error = err.Error()
		}
		c.reply(r)
	default:
		reply(nil, fmt.Errorf("there is no operation %q", req.Op))
	}
}

// runCommand runs the command of `run-container -- CMD`.
func (s *supervisor) runCommand(c *conn, req spec.Request) {
	fail := func(err error) { c.reply(spec.Reply{ID: req.ID, Error: err.Error()}) }
	switch {
	case !c.trusted:
		fail(fmt.Errorf("the operation %q is the runner's alone", req.Op))
		return
	case req.Process == nil:
		fail(errors.New("cannot run a command: none is given"))
		return
	}
	_, err := s.spawn(job{name: "command", process: *req.Process, stdio: true}, func(e spec.Exit, _ output) {
		c.reply(spec.Reply{ID: req.ID, Exit: &e})
	})
	if err != nil {
		// What shells say of a program that is not there, or cannot be run.
		exit := spec.Exit{Code: 126}
		if errors.Is(err, os.ErrNotExist) {
			exit.Code = 127
		}
		c.reply(spec.Reply{ID: req.ID, Error: err.Error(), Exit: &exit})
	}
}

// upgrade reads another service plan beside the loop, then follows it.
func (s *supervisor) upgrade(c *conn, req spec.Request) {
	var plan spec.ServicePlan
	read := func() (err error) {
		plan, err = s.ReadPlan(req.Plan)
		return err
	}
	if s.ReadPlan == nil {
		c.reply(spec.Reply{ID: req.ID, Error: "this init cannot read plans"})
		return
	}
	s.do(read, func(err error) {
		if err != nil {
			c.reply(spec.Reply{ID: req.ID, Error: err.Error()})
			return
		}
		s.machine.activation = req.Activation
		tx := &transaction{}
		s.machine.upgrade(plan, tx, func(up spec.Upgrade, err error) {
			r := spec.Reply{ID: req.ID, Upgrade: &up, Services: s.machine.status(tx.touched...)}
			if err != nil {
				r.Error = err.Error()
			}
			c.reply(r)
		})
	})
}

// root is the status of PID 1 itself.
func (m *machine) root() spec.ServiceStatus {
	st := spec.ServiceStatus{
		Name: rootName, Provision: []string{rootName}, Documentation: "The init, which starts and watches all services.",
		State: spec.StateRunning, Enabled: true, AutoStart: true, PID: os.Getpid(),
	}
	counts := map[string]int{}
	for _, s := range m.services {
		counts[s.state]++
	}
	var parts []string
	for _, state := range []string{
		spec.StateRunning, spec.StateDone, spec.StateStarting, spec.StateStopping, spec.StateStopped, spec.StateFailed,
	} {
		if n := counts[state]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, state))
		}
	}
	st.Reason = fmt.Sprintf("of %d services: %s", len(m.services), strings.Join(parts, ", "))
	switch {
	case m.goingDown:
		st.State = spec.StateStopping
	case !m.isSettled():
		st.State = spec.StateStarting
	}
	if counts[spec.StateFailed] > 0 {
		st.Next = "`herd status` shows what failed and why"
	}
	return st
}

// act does an action of a service and calls done with what was written and how
// it ended.
func (m *machine) act(s *service, name string, args []string, done func(text string, exit *spec.Exit, err error)) {
	i := slices.IndexFunc(s.Actions, func(a spec.Action) bool { return a.Name == name })
	if i < 0 {
		var names []string
		for _, a := range s.Actions {
			names = append(names, a.Name)
		}
		has := "it has none of its own"
		if len(names) > 0 {
			has = "it has " + strings.Join(names, ", ")
		}
		done("", nil, fmt.Errorf("the service %s has no action %q; %s", s.name, name, has))
		return
	}
	a := s.Actions[i]
	if a.Run == nil {
		sig := unix.SignalNum(a.Signal)
		switch {
		case sig == 0:
			done("", nil, fmt.Errorf("cannot %s %s: there is no signal %q", name, s.name, a.Signal))
		case s.proc == nil || s.state != spec.StateRunning:
			done("", nil, fmt.Errorf("cannot %s %s: it is %s and not running; `herd start %[2]s` starts it", name, s.name, s.state))
		case len(args) > 0:
			done("", nil, fmt.Errorf("cannot %s %s: it is a signal, which takes no words such as %q", name, s.name, args[0]))
		default:
			s.proc.signalMain(sig)
			done("", nil, nil)
		}
		return
	}
	p := *a.Run
	p.Argv = slices.Concat(p.Argv, args)
	if s.proc != nil && s.state == spec.StateRunning {
		p.Env = append(slices.Clone(p.Env), fmt.Sprint("MAINPID=", s.proc.pid()))
	}
	_, err := m.world.spawn(job{name: s.name, process: p, capture: true}, func(e spec.Exit, out output) {
		done(out.text, &e, nil)
	})
	if err != nil {
		done("", nil, fmt.Errorf("cannot %s %s: %w", name, s.name, err))
	}
}
