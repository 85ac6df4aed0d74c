// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package supervise

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"osbuild/runner/spec"
)

// successor is a definition of another plan. It takes the place of the live
// services that have its names, which are its holders, once they are at rest.
type successor struct {
	def     spec.Service
	holders int
}

// working says that s runs, or is on its way to or from there.
func (s *service) working() bool {
	switch s.state {
	case spec.StateRunning, spec.StateStarting, spec.StateStopping:
		return true
	}
	return false
}

// atOnce says that the definition of s may change now: s is at rest, or it is a
// name for what it requires, of which nothing runs.
func (s *service) atOnce() bool {
	name := func(def spec.Service) bool { return reflect.DeepEqual(def.Start, spec.Start{}) }
	return !s.working() || s.state == spec.StateRunning && !s.Transient && name(s.Service) &&
		len(s.next) == 1 && s.next[0].holders == 1 && name(s.next[0].def)
}

// leave is called when s has run and is over.
func (m *machine) leave(s *service) {
	if s.Transient && !m.goingDown {
		m.world.say(s.name + ": forgotten, for it is transient")
		m.release(s, false)
		m.forget(s)
		return
	}
	m.atRest(s)
}

// atRest is called when s is at rest: another definition may take its place.
func (m *machine) atRest(s *service) {
	if len(s.next) > 0 && !m.goingDown {
		m.release(s, true)
	}
}

// release gives the names of s, which is at rest, to those that wait for them.
// Where s stays, the first of them takes on its place, with the flag that herd
// disable sets. It says whether that has happened.
func (m *machine) release(s *service, stays bool) (replaced bool) {
	next := s.next
	s.next = nil
	for _, n := range next {
		if n.holders--; n.holders > 0 {
			continue
		}
		if !stays || replaced {
			m.clear(n.def, nil)
			m.add(n.def)
			continue
		}
		replaced = true
		m.clear(n.def, s)
		m.define(s, n.def)
		if s.state == spec.StateDone {
			s.state = spec.StateStopped // this one has not been done
		}
		m.world.say(s.name + ": has a new definition")
	}
	m.check()
	return replaced
}

// clear takes out what has the names of a definition beside keep: services at
// rest that it replaces too.
func (m *machine) clear(def spec.Service, keep *service) {
	var old []*service
	for _, name := range def.Provision {
		if s := m.byName[name]; s != nil && s != keep && !slices.Contains(old, s) {
			old = append(old, s)
		}
	}
	if len(old) > 0 {
		m.forget(old...)
	}
}

// upgrade makes plan the one that is followed, without ending what it keeps:
// services that it lacks are stopped and forgotten unless another one needs
// them, those at rest get their new definition at once and the others when
// they stop, and what is to start by itself starts. done gets what became of
// it.
func (m *machine) upgrade(plan spec.ServicePlan, tx *transaction, done func(spec.Upgrade, error)) {
	if m.goingDown {
		done(spec.Upgrade{}, errPoweringOff)
		return
	}
	if m.upgrading {
		done(spec.Upgrade{}, errors.New("another upgrade is under way"))
		return
	}
	m.upgrading = true
	var up spec.Upgrade
	matched := m.match(plan)
	obsolete := m.obsolete(matched)
	for _, s := range m.services {
		switch {
		case obsolete[s]:
			up.Unloaded = append(up.Unloaded, s.name)
		case len(s.next) > 0 && !s.atOnce():
			up.Restart = append(up.Restart, s.name)
		}
	}
	var names []*service
	for _, s := range m.services {
		if !s.gone && len(s.next) > 0 && s.atOnce() && m.release(s, true) {
			up.Replaced = append(up.Replaced, s.name)
			if s.working() {
				names = append(names, s)
			}
		}
	}
	m.unload(obsolete, func() {
		for _, def := range plan.Services {
			if len(def.Provision) > 0 && matched[def.Provision[0]] == nil {
				m.add(def)
			}
		}
		m.check()
		m.upgrading = false
		m.startNew(plan, names, tx, &up, func(err error) {
			for _, list := range []*[]string{&up.Unloaded, &up.Replaced, &up.Restart, &up.Started} {
				slices.Sort(*list)
			}
			done(up, err)
		})
	})
}

// match finds for each definition the live services that have one of its
// names. Those that are to be replaced get it as their successor. It returns
// the live services by the canonical name of the definition.
func (m *machine) match(plan spec.ServicePlan) map[string][]*service {
	for _, s := range m.services {
		s.next = nil
	}
	matched := map[string][]*service{}
	count := map[*service]int{}
	for _, def := range plan.Services {
		for _, name := range def.Provision {
			s := m.byName[name]
			if s != nil && !slices.Contains(matched[def.Provision[0]], s) {
				matched[def.Provision[0]] = append(matched[def.Provision[0]], s)
				count[s]++
			}
		}
	}
	for _, def := range plan.Services {
		if len(def.Provision) == 0 {
			continue
		}
		live := matched[def.Provision[0]]
		if len(live) == 1 && count[live[0]] == 1 && reflect.DeepEqual(live[0].Service, def) {
			continue // nothing has changed
		}
		n := &successor{def: def, holders: len(live)}
		for _, s := range live {
			s.next = append(s.next, n)
		}
	}
	return matched
}

// obsolete are the live services that the plan lacks and that nothing needs
// which stays. Transient ones stay: they are nobody's but their own.
func (m *machine) obsolete(matched map[string][]*service) map[*service]bool {
	stays := map[*service]bool{}
	var keep func(s *service)
	keep = func(s *service) {
		if s == nil || stays[s] {
			return
		}
		stays[s] = true
		def := s.Service
		if len(s.next) > 0 && s.atOnce() {
			return // what its successors require is in their plan
		}
		for _, name := range def.Requirement {
			keep(m.byName[name])
		}
	}
	for _, live := range matched {
		for _, s := range live {
			keep(s)
		}
	}
	for _, s := range m.services {
		if s.Transient {
			keep(s)
		}
	}
	out := map[*service]bool{}
	for _, s := range m.services {
		if !stays[s] {
			out[s] = true
		}
	}
	return out
}

// unload stops services and forgets them.
func (m *machine) unload(list map[*service]bool, done func()) {
	var all []*service
	for _, s := range m.services {
		if list[s] {
			all = append(all, s)
		}
	}
	pending := len(all) + 1
	one := func() {
		if pending--; pending > 0 {
			return
		}
		m.forget(all...)
		done()
	}
	for _, s := range all {
		s.leaving = true
		m.stop(s, one)
	}
	one()
}

// startNew starts what the plan has start by itself and does not run, and what
// names that run stand for now.
func (m *machine) startNew(plan spec.ServicePlan, names []*service, tx *transaction, up *spec.Upgrade, done func(error)) {
	var starting, candidates []*service
	for _, def := range plan.Services {
		if def.AutoStart && len(def.Provision) > 0 {
			candidates = append(candidates, m.byName[def.Provision[0]])
		}
	}
	for _, n := range names {
		for _, name := range n.Requirement {
			candidates = append(candidates, m.byName[name])
		}
	}
	seen := map[*service]bool{}
	for _, s := range candidates {
		if seen[s] {
			continue
		}
		seen[s] = true
		switch {
		case s == nil || s.working() || !s.enabled || len(s.next) > 0:
		case s.state == spec.StateDone && s.Start.Homes == nil:
			// It has been done as the plan says. Homes look at the accounts,
			// which may be others now.
		default:
			starting = append(starting, s)
			up.Started = append(up.Started, s.name)
		}
	}
	var failed []string
	pending := len(starting) + 1
	one := func(name string, err error) {
		if err != nil {
			failed = append(failed, name)
		}
		if pending--; pending > 0 {
			return
		}
		if len(failed) == 0 {
			done(nil)
			return
		}
		slices.Sort(failed)
		done(fmt.Errorf("these did not start: %s; `herd status` says why", strings.Join(failed, ", ")))
	}
	for _, s := range starting {
		m.start(s, tx, func(err error) { one(s.name, err) })
	}
	one("", nil)
}
