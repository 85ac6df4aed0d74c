// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package supervise

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"osbuild/runner/spec"
)

// trouble is why a service is not where it should be, and what to do about it.
type trouble struct{ reason, advice string }

// advisedError is an error that knows what to do about it.
type advisedError struct {
	error
	advice string
}

func (e *advisedError) Unwrap() error { return e.error }

// advise adds to an error what to do about it.
func advise(err error, format string, args ...any) error {
	return &advisedError{err, fmt.Sprintf(format, args...)}
}

// requirementError says that a requirement did not start; root is the one at
// the bottom of it.
type requirementError struct {
	name, root string
	err        error
}

func (e *requirementError) Error() string {
	return fmt.Sprintf("it requires %s, which did not start: %v", e.name, e.err)
}

func (e *requirementError) Unwrap() error { return e.err }

func requires(name string, err error) error {
	e := &requirementError{name: name, root: name, err: err}
	if inner, ok := errors.AsType[*requirementError](err); ok {
		e.root = inner.root
	}
	return e
}

// fail notes why s is in trouble.
func (s *service) fail(why error) {
	s.trouble = trouble{reason: why.Error(), advice: s.adviceOn(why)}
}

func (s *service) adviceOn(why error) string {
	if r, ok := errors.AsType[*requirementError](why); ok {
		return fmt.Sprintf("see what is wrong with `herd status %s` and mend that, then `herd start %s`", r.root, s.name)
	}
	if a, ok := errors.AsType[*advisedError](why); ok {
		return a.advice
	}
	return fmt.Sprintf("`herd logs %s` shows all that it wrote; mend the cause, then `herd start %[1]s`", s.name)
}

// logTrouble is what went wrong with a service's log.
type logTrouble struct {
	full int
	lost string
}

// logFull notes that the log of a service reached its limit and began again.
func (m *machine) logFull(name string) {
	if s := m.byName[name]; s != nil {
		s.logs.full++
	}
}

// logLost notes that a log cannot be written.
func (m *machine) logLost(name string, err error) {
	if s := m.byName[name]; s != nil {
		s.logs.lost = err.Error()
		m.world.say(fmt.Sprintf("%s: its log cannot be written: %v", name, err))
	}
}

// stepBegins notes that the program of an activation step runs, until end is
// called.
func (m *machine) stepBegins(name string) (end func()) {
	m.steps[name] = m.world.now()
	return func() { delete(m.steps, name) }
}

// activationStatus is how the activation went, with what of it still runs.
func (m *machine) activationStatus() []spec.StepStatus {
	out := m.activation
	for _, name := range slices.Sorted(maps.Keys(m.steps)) {
		out = append(out[:len(out):len(out)], spec.StepStatus{
			Phase: spec.PhaseUser, Name: name,
			Reason: fmt.Sprintf("its program has not ended after %v; until it ends no service starts", m.took(m.steps[name])),
		})
	}
	return out
}

func (m *machine) took(since time.Time) time.Duration {
	return m.world.now().Sub(since).Round(time.Second)
}

// status describes services for a reply.
func (m *machine) status(services ...*service) []spec.ServiceStatus {
	out := make([]spec.ServiceStatus, 0, len(services))
	for _, s := range services {
		out = append(out, m.describe(s))
	}
	return out
}

func (m *machine) describe(s *service) spec.ServiceStatus {
	st := spec.ServiceStatus{
		Name: s.name, Provision: s.Provision, Requirement: s.Requirement, Documentation: s.Documentation,
		State: s.state, Enabled: s.enabled, AutoStart: s.AutoStart, OneShot: s.OneShot,
		Respawns: s.respawnCount, Reason: s.reason, Next: s.advice, Warnings: slices.Clone(s.warnings),
		Transient: s.Transient, Replacement: len(s.next) > 0, Configuration: s.Configuration,
	}
	for _, a := range s.Actions {
		st.Actions = append(st.Actions, spec.ActionDoc{Name: a.Name, Documentation: a.Documentation})
	}
	if s.proc != nil {
		st.PID = s.proc.pid()
		if len(s.Start.Run) == 0 {
			st.Warnings = append(st.Warnings, s.proc.output().own...)
		}
	}
	switch s.state {
	case spec.StateFailed:
		st.Log = s.log
	case spec.StateStarting:
		if st.Reason == "" {
			st.Reason, st.Next = m.progress(s)
		}
	case spec.StateStopped:
		if !m.booted && s.AutoStart && st.Reason == "" {
			st.Reason = "it waits for the activation of the system"
		}
	}
	switch {
	case s.logs.lost != "":
		st.Warnings = append(st.Warnings, "its log cannot be written: "+s.logs.lost)
		if st.Next == "" {
			st.Next = "make room where the logs are, or have the other services write less"
		}
	case s.logs.full > 0:
		st.Warnings = append(st.Warnings, fmt.Sprintf("its log reached %d MiB %s; what is older than the log before it is gone", maxLog>>20, times(s.logs.full)))
		if st.Next == "" {
			st.Next = "have it write less, or to a log_file that somebody looks after"
		}
	}
	if !s.enabled && st.Next == "" {
		st.Next = fmt.Sprintf("`herd enable %s`, then `herd start %[1]s`", s.name)
		if s.state == spec.StateRunning {
			st.Next = fmt.Sprintf("`herd enable %s` to have it started again when it ends", s.name)
		}
	}
	return st
}

// progress says what a start waits for.
func (m *machine) progress(s *service) (reason, next string) {
	took := m.took(s.since)
	switch {
	case !s.launched:
		var waits []string
		for _, name := range s.Requirement {
			if r := m.byName[name]; r != nil && (r.state == spec.StateStarting || r.state == spec.StateStopping) {
				waits = append(waits, r.name)
			}
		}
		if len(waits) == 0 {
			return "", ""
		}
		return "it waits for " + strings.Join(waits, ", "), fmt.Sprintf("`herd status %s` shows what that waits for", waits[0])
	case len(s.Start.Run) > 0:
		which := "its program"
		if n := len(s.Start.Run); n > 1 {
			which = fmt.Sprintf("its program %d of %d", s.step+1, n)
		}
		return fmt.Sprintf("%s has not ended after %v", which, took),
			fmt.Sprintf("`herd logs %s` shows what it wrote; `herd stop %[1]s` ends it", s.name)
	case s.Start.Exec != nil:
		return fmt.Sprintf("it is not ready after %v", took),
			fmt.Sprintf("`herd logs %s` shows what it wrote; the start has failed after %v", s.name, readyTimeout(*s.Start.Exec))
	}
	return fmt.Sprintf("its start has not ended after %v", took), ""
}

// times is a number in words of a sentence.
func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}
