// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package service

import (
	"strings"
)

// InstantiateMissing appends a default instance of every type that is extended
// but of which there is no service, until nothing is missing.
func InstantiateMissing(services []*Service) ([]*Service, error) {
	have := map[*Type]bool{}
	for _, s := range services {
		have[s.Type] = true
	}
	all := append([]*Service(nil), services...)
	// all grows while it is walked: what an added service extends counts too.
	for i := 0; i < len(all); i++ {
		s := all[i]
		for _, e := range s.Type.Extensions {
			if have[e.Target] {
				continue
			}
			if !e.Target.HasDefault {
				return nil, missing(s, e, all)
			}
			have[e.Target] = true
			all = append(all, &Service{Type: e.Target})
		}
	}
	return all, nil
}

// edge is one extension of one service.
type edge struct {
	from      *Service
	extension *Extension
}

// BackEdges gives, for every service, those that extend it, in the order of
// the list. It is where a wrong graph is found: see the errors of this package.
func BackEdges(services []*Service) (map[*Service][]*Service, error) {
	edges, err := backEdges(services)
	if err != nil {
		return nil, err
	}
	back := make(map[*Service][]*Service, len(edges))
	for target, list := range edges {
		for _, e := range list {
			back[target] = append(back[target], e.from)
		}
	}
	return back, nil
}

func backEdges(services []*Service) (map[*Service][]edge, error) {
	instances := map[*Type][]*Service{}
	for _, s := range services {
		instances[s.Type] = append(instances[s.Type], s)
	}
	if err := checkTypes(services); err != nil {
		return nil, err
	}
	back := map[*Service][]edge{}
	for _, s := range services {
		for i := range s.Type.Extensions {
			e := &s.Type.Extensions[i]
			targets := instances[e.Target]
			switch len(targets) {
			case 0:
				return nil, missing(s, *e, services)
			case 1:
				back[targets[0]] = append(back[targets[0]], edge{s, e})
			default:
				return nil, ambiguous(s, e.Target, targets)
			}
		}
	}
	return back, nil
}

// checkTypes finds what is wrong with the types themselves.
func checkTypes(services []*Service) error {
	const fresh, open, done = 0, 1, 2
	state := map[*Type]int{}
	var path []*Type
	var visit func(t *Type) error
	visit = func(t *Type) error {
		switch state[t] {
		case done:
			return nil
		case open:
			return cycle(path, t)
		}
		state[t] = open
		path = append(path, t)
		seen := map[*Type]Extension{}
		for _, e := range t.Extensions {
			if first, twice := seen[e.Target]; twice {
				return failf(ErrDuplicateExtension, e.Pos,
					"cannot use service type %q: it extends %q twice%s; let one extension contribute both",
					t.Name, e.Target.Name, firstAt(first))
			}
			seen[e.Target] = e
			if e.Target.Extend == nil {
				pos := e.Pos
				return failf(ErrNotExtensible, pos,
					"cannot extend %q from service type %q: the type %q has no extend function, so contributions would be lost%s",
					e.Target.Name, t.Name, e.Target.Name, declared(e.Target.Pos))
			}
			if err := visit(e.Target); err != nil {
				return err
			}
		}
		path = path[:len(path)-1]
		state[t] = done
		return nil
	}
	for _, s := range services {
		if err := visit(s.Type); err != nil {
			return err
		}
	}
	return nil
}

func firstAt(e Extension) string {
	if at := declared(e.Pos); at != "" {
		return ", first" + strings.TrimSuffix(strings.TrimPrefix(at, " (declared"), ")")
	}
	return ""
}

// cycle names the types from the first visit of t to its second.
func cycle(path []*Type, t *Type) error {
	start := 0
	for path[start] != t {
		start++
	}
	var names []string
	for _, p := range append(path[start:], t) {
		names = append(names, `"`+p.Name+`"`)
	}
	// The extension that closes the cycle is the one to look at.
	last := path[len(path)-1]
	pos := last.Pos
	for _, e := range last.Extensions {
		if e.Target == t {
			pos = e.Pos
		}
	}
	return failf(ErrCycle, pos, "cannot order services: service types extend each other in a cycle: %s",
		strings.Join(names, " extends "))
}

func missing(s *Service, e Extension, services []*Service) error {
	hint := "; declare one with a value"
	names := make([]string, 0, len(services))
	for _, other := range services {
		if other.Type.Name == e.Target.Name {
			hint = "; another type of the same name is in use" + declared(other.Type.Pos) +
				", but a type is itself only: load it from one place"
			return failf(ErrMissingTarget, s.Pos, "cannot find what service %q extends: there is no service of type %q%s",
				s.Type.Name, e.Target.Name, hint)
		}
		names = append(names, other.Type.Name)
	}
	if near := Meant(e.Target.Name, names); near != "" {
		hint = near
	}
	return failf(ErrMissingTarget, s.Pos, "cannot find what service %q extends: there is no service of type %q%s",
		s.Type.Name, e.Target.Name, hint)
}

func ambiguous(s *Service, target *Type, targets []*Service) error {
	var at []string
	for _, t := range targets {
		if d := declared(t.Pos); d != "" {
			at = append(at, strings.TrimSuffix(strings.TrimPrefix(d, " (declared at "), ")"))
		}
	}
	where := ""
	if len(at) > 0 {
		where = " (declared at " + strings.Join(at, " and ") + ")"
	}
	pos := targets[len(targets)-1].Pos
	return failf(ErrAmbiguousTarget, pos,
		"cannot tell which service %q extends: there are %d services of type %q%s; keep one, or change it with modify_services",
		s.Type.Name, len(targets), target.Name, where)
}
