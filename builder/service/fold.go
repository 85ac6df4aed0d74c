// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package service

import (
	"fmt"
	"reflect"
	"strings"

	"osbuild/builder/derivation"
)

// Folding computes the values that services have once everything that extends
// them has contributed. Each service is computed once, however many ask.
type Folding struct {
	env      *Env
	services []*Service
	back     map[*Service][]edge
	memo     map[*Service]*Service
}

// NewFolding checks the graph of services, which must be complete (see
// [InstantiateMissing]).
func NewFolding(env *Env, services []*Service) (*Folding, error) {
	back, err := backEdges(services)
	if err != nil {
		return nil, err
	}
	return &Folding{env: env, services: services, back: back, memo: map[*Service]*Service{}}, nil
}

// Fold gives the one service of type target with its extended value.
// Contributions arrive in the order of the service list.
func (f *Folding) Fold(target *Type) (*Service, error) {
	sinks := Find(f.services, target)
	switch len(sinks) {
	case 0:
		var names []string
		for _, s := range f.services {
			names = append(names, s.Type.Name)
		}
		return nil, failf(ErrNotFound, target.Pos, "cannot fold services: there is none of type %q%s",
			target.Name, Meant(target.Name, names))
	case 1:
		return f.fold(sinks[0])
	}
	return nil, failf(ErrAmbiguousTarget, sinks[1].Pos, "cannot fold services: there are %d of type %q, one is needed",
		len(sinks), target.Name)
}

// Services gives every service with its extended value, in the list's order.
func (f *Folding) Services() ([]*Service, error) {
	all := make([]*Service, 0, len(f.services))
	for _, s := range f.services {
		folded, err := f.fold(s)
		if err != nil {
			return nil, err
		}
		all = append(all, folded)
	}
	return all, nil
}

// fold ends because backEdges refused cycles.
func (f *Folding) fold(s *Service) (*Service, error) {
	if folded, ok := f.memo[s]; ok {
		return folded, nil
	}
	value, err := s.Get()
	if err != nil {
		return nil, err
	}
	if s.Type.Extend != nil {
		var contributions []any
		for _, e := range f.back[s] {
			got, err := f.contributions(e)
			if err != nil {
				return nil, err
			}
			contributions = append(contributions, got...)
		}
		if value, err = f.extend(s, value, contributions); err != nil {
			return nil, err
		}
	}
	folded := &Service{Type: s.Type, Value: value, HasValue: true, Pos: s.Pos}
	f.memo[s] = folded
	return folded, nil
}

func (f *Folding) extend(s *Service, value any, contributions []any) (any, error) {
	var composed any = contributions
	if s.Type.Compose != nil {
		var err error
		if composed, err = s.Type.Compose(f.env, contributions); err != nil {
			return nil, wrapf(ErrContribution, s.Pos, err, "cannot compose what extends %q", s.Type.Name)
		}
	}
	extended, err := s.Type.Extend(f.env, value, composed)
	if placed(err) {
		return nil, err
	}
	if err != nil {
		return nil, wrapf(ErrContribution, s.Pos, err, "cannot extend %q", s.Type.Name)
	}
	return extended, nil
}

// contributions computes one extension and checks every element at the border.
func (f *Folding) contributions(e edge) ([]any, error) {
	from, err := f.fold(e.from)
	if err != nil {
		return nil, err
	}
	pos := e.extension.Pos
	if pos == (derivation.Position{}) {
		pos = e.from.Pos
	}
	target := e.extension.Target
	list, err := e.extension.Compute(f.env, from.Value)
	if err != nil {
		// What is wrong with a value is seen in the file of the type, and is to
		// be mended where the service was declared.
		declared := ""
		if e.from.Pos.File != "" && e.from.Pos.File != pos.File {
			declared = fmt.Sprintf(" (declared at %s)", e.from.Pos)
		}
		return nil, wrapf(ErrContribution, pos, err, "cannot compute what service %q%s contributes to %q", e.from.Type.Name, declared, target.Name)
	}
	placed := make([]any, len(list))
	for i, v := range list {
		if admits(target.Elements, v) {
			placed[i] = declaredAt(v, e.from.Pos)
			continue
		}
		made := ""
		if at := PositionOf(v); at != (derivation.Position{}) {
			made = fmt.Sprintf(" (made at %s)", at)
		}
		return nil, failf(ErrContribution, pos,
			"cannot use element %d of what service %q contributes to %q: it is %s%s, and %q takes %s",
			i+1, e.from.Type.Name, target.Name, Describe(v), made, target.Name, elementNames(target.Elements))
	}
	return placed, nil
}

// declaredAt gives a record of a type that comes with osbuild, whose file nobody
// can mend, the place where its service was declared.
func declaredAt(v any, at derivation.Position) any {
	ours := func(p derivation.Position) bool { return strings.HasPrefix(p.File, "@") }
	if at.File == "" || ours(at) || !ours(PositionOf(v)) {
		return v
	}
	rv := reflect.ValueOf(v)
	pointer := rv.Kind() == reflect.Pointer
	if pointer {
		rv = rv.Elem()
	}
	if rv.Kind() != reflect.Struct {
		return v
	}
	c := reflect.New(rv.Type())
	c.Elem().Set(rv)
	if f := c.Elem().FieldByName("Pos"); f.CanSet() {
		f.Set(reflect.ValueOf(at))
	}
	if pointer {
		return c.Interface()
	}
	return c.Elem().Interface()
}

func admits(elements []reflect.Type, v any) bool {
	if elements == nil {
		return true
	}
	t := reflect.TypeOf(v)
	if t == nil {
		return false
	}
	if rv := reflect.ValueOf(v); rv.Kind() == reflect.Pointer && rv.IsNil() {
		return false
	}
	for _, e := range elements {
		if t.AssignableTo(e) {
			return true
		}
	}
	return false
}

func elementNames(elements []reflect.Type) string {
	if len(elements) == 0 {
		return "nothing"
	}
	names := make([]string, len(elements))
	for i, e := range elements {
		names[i] = DescribeType(e)
	}
	return strings.Join(names, " or ")
}

// Fold completes a list of services and gives the one of type target with its
// extended value.
func Fold(env *Env, services []*Service, target *Type) (*Service, error) {
	f, err := NewFolding(env, services)
	if err != nil {
		return nil, err
	}
	return f.Fold(target)
}
