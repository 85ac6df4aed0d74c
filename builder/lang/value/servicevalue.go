// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package value

import (
	"fmt"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"osbuild/builder/derivation"
	"osbuild/builder/service"
)

// ServiceType is a service type in Starlark. Types are the same when they are
// the same object of Go.
type ServiceType struct {
	T        *service.Type
	registry *Registry
}

var (
	_ starlark.HasAttrs   = (*ServiceType)(nil)
	_ starlark.Comparable = (*ServiceType)(nil)
)

func (t *ServiceType) goValue() any { return t.T }

// String implements [starlark.Value].
func (t *ServiceType) String() string { return "<service_type " + t.T.Name + ">" }

// Type implements [starlark.Value].
func (t *ServiceType) Type() string { return "service_type" }

// Freeze implements [starlark.Value].
func (t *ServiceType) Freeze() {}

// Truth implements [starlark.Value].
func (t *ServiceType) Truth() starlark.Bool { return true }

// Hash implements [starlark.Value].
func (t *ServiceType) Hash() (uint32, error) { return starlark.String(t.T.Name).Hash() }

// CompareSameType implements [starlark.Comparable].
func (t *ServiceType) CompareSameType(op syntax.Token, other starlark.Value, _ int) (bool, error) {
	return identity(op, t.T == other.(*ServiceType).T, t)
}

func identity(op syntax.Token, same bool, v starlark.Value) (bool, error) {
	switch op {
	case syntax.EQL:
		return same, nil
	case syntax.NEQ:
		return !same, nil
	}
	return false, fmt.Errorf("cannot order %s values: %s has no meaning for them", v.Type(), op)
}

// Attr implements [starlark.HasAttrs].
func (t *ServiceType) Attr(name string) (starlark.Value, error) {
	switch name {
	case "name":
		return starlark.String(t.T.Name), nil
	case "description":
		return starlark.String(t.T.Description), nil
	case "default":
		if !t.T.HasDefault {
			return nil, fmt.Errorf("the service type %s has no default value", t.T.Name)
		}
		return t.registry.FromGo(t.T.Default), nil
	}
	return nil, nil
}

// AttrNames implements [starlark.HasAttrs].
func (t *ServiceType) AttrNames() []string { return []string{"default", "description", "name"} }

// Service is an instance of a service type in Starlark.
type Service struct {
	S        *service.Service
	registry *Registry
}

var (
	_ starlark.HasAttrs   = (*Service)(nil)
	_ starlark.Comparable = (*Service)(nil)
)

func (s *Service) goValue() any { return s.S }

// Position is where the service was declared.
func (s *Service) Position() derivation.Position { return s.S.Pos }

// String implements [starlark.Value].
func (s *Service) String() string {
	if !s.S.HasValue {
		return "service(" + s.S.Type.Name + ")"
	}
	return "service(" + s.S.Type.Name + ", " + s.registry.FromGo(s.S.Value).String() + ")"
}

// Type implements [starlark.Value].
func (s *Service) Type() string { return "service" }

// Freeze implements [starlark.Value].
func (s *Service) Freeze() {}

// Truth implements [starlark.Value].
func (s *Service) Truth() starlark.Bool { return true }

// Hash implements [starlark.Value].
func (s *Service) Hash() (uint32, error) { return starlark.String(s.S.Type.Name).Hash() }

// CompareSameType implements [starlark.Comparable]: services are equal when
// they are of one type and their values are equal.
func (s *Service) CompareSameType(op syntax.Token, other starlark.Value, depth int) (bool, error) {
	o := other.(*Service)
	same := s.S == o.S
	if !same && s.S.Type == o.S.Type && s.S.HasValue == o.S.HasValue {
		var err error
		same, err = starlark.EqualDepth(s.registry.FromGo(s.S.Value), s.registry.FromGo(o.S.Value), depth-1)
		if err != nil {
			return false, err
		}
	}
	return identity(op, same, s)
}

// Attr implements [starlark.HasAttrs].
func (s *Service) Attr(name string) (starlark.Value, error) {
	switch name {
	case "type":
		return &ServiceType{s.S.Type, s.registry}, nil
	case "value":
		v, err := s.S.Get()
		if err != nil {
			return nil, err
		}
		return s.registry.FromGo(v), nil
	}
	return nil, nil
}

// AttrNames implements [starlark.HasAttrs].
func (s *Service) AttrNames() []string { return []string{"type", "value"} }

// Extension is what a service type contributes to another.
type Extension struct{ E service.Extension }

// String implements [starlark.Value].
func (e *Extension) String() string { return "<extension to " + e.E.Target.Name + ">" }

// Type implements [starlark.Value].
func (e *Extension) Type() string { return "extension" }

// Freeze implements [starlark.Value].
func (e *Extension) Freeze() {}

// Truth implements [starlark.Value].
func (e *Extension) Truth() starlark.Bool { return true }

// Hash implements [starlark.Value].
func (e *Extension) Hash() (uint32, error) { return 0, fmt.Errorf("unhashable: extension") }
