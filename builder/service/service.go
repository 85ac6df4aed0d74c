// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

// Package service is the framework in which a system is put together: service
// types, their instances, and the extensions by which one service contributes
// to the value of another.
//
// It owns the graph: who extends whom, in which order contributions arrive,
// and every way in which a declaration of services can be wrong. It knows no
// concrete service, makes no file and never looks at a value: values belong to
// the types (builder/services, or a user's own). Start with [Folding.Fold].
package service

import (
	"reflect"

	"osbuild/builder/derivation"
)

// Env is what computing a service may use besides values.
type Env struct {
	// Graph takes the files and derivations that services declare.
	Graph *derivation.Graph
	// Init is the path (or placeholder) of the osbuild-init item.
	Init string
	// System is the platform, such as "x86_64-linux".
	System string
	// Packages gives packages by name; nil where there is no source of them.
	Packages Packages
}

// Packages is a source of packages by name; builder/debian's Source is one.
type Packages interface {
	// Package gives the path (or placeholder) of the package item for a name.
	Package(name string, pos derivation.Position) (string, error)
	// Is says whether a path is that of a package item.
	Is(path string) bool
	// Use tells how a system wants its packages chosen, and gives the items of
	// those that every such system has. All systems of an evaluation want the
	// same.
	Use(policy PackagePolicy) (items []string, err error)
	// Root gives the path of the tree that the packages in the closure of
	// these items make together; "" when no package is among what they are
	// made from. A quiet one tells nobody what its packages' scripts would do
	// besides: what a build program sees lives as long as the build.
	Root(items []string, quiet bool, pos derivation.Position) (string, error)
}

// PackagePolicy says how packages are chosen.
type PackagePolicy struct {
	// Suite is the one suite that packages come from; "" means all that the
	// host knows.
	Suite string
	// Essential is "none", "minimal" or "full": which of the packages that a
	// distribution installs without being asked come along.
	Essential string
	// Ignore are packages whose scripts cause no warning.
	Ignore []string
	Pos    derivation.Position
}

// Func is a function of the declaration's language, as Go code sees it.
type Func interface {
	Call(args ...any) (any, error)
}

// Type is a kind of service. Two types are the same when they are the same
// object; names only serve messages.
type Type struct {
	Name        string
	Description string
	// Extensions are what each instance contributes to other services.
	Extensions []Extension
	// Elements are the Go types a contribution to this type may have; nil
	// admits anything. A front end converts towards them, the fold checks.
	Elements []reflect.Type
	// Compose makes one value of all contributions, which arrive as one list
	// in declaration order, also when the list is empty. nil keeps the list.
	Compose func(env *Env, contributions []any) (any, error)
	// Extend joins an instance's own value and the composed contributions.
	// A type without it cannot be extended.
	Extend func(env *Env, value, contributions any) (any, error)
	// Default is the value of an instance declared without one, if HasDefault.
	Default    any
	HasDefault bool
	// Check validates, and may convert, a value given to an instance. It sees
	// plain Go: nil, bool, int, string, []any, map[string]any, records.
	Check func(value any) (any, error)
	// Pos is where the type was declared; unknown for built-in types.
	Pos derivation.Position

	// The rest is documentation, printed by `osbuild doc`.

	// ValueDoc says what a value is.
	ValueDoc string
	// ContributionDoc says what others may contribute; empty: nothing.
	ContributionDoc string
	// ProducesDoc says what comes of it in a system.
	ProducesDoc string
}

// Extension is a contribution of every instance of a type to the one instance
// of Target.
type Extension struct {
	Target *Type
	// Compute gives the contributions of an instance with this (already
	// extended) value. It is called once a fold, single-threaded.
	Compute func(env *Env, value any) ([]any, error)
	Pos     derivation.Position
}

// Service is an instance of a type.
type Service struct {
	Type     *Type
	Value    any
	HasValue bool
	Pos      derivation.Position
}

// New declares an instance with the type's default value.
func New(t *Type, pos derivation.Position) (*Service, error) {
	if !t.HasDefault {
		return nil, failf(ErrNoValue, pos,
			"cannot declare service %q: no value is given and the type has no default%s", t.Name, declared(t.Pos))
	}
	return &Service{Type: t, Pos: pos}, nil
}

// WithValue declares an instance with a value.
func WithValue(t *Type, value any, pos derivation.Position) (*Service, error) {
	if t.Check != nil {
		checked, err := t.Check(value)
		if err != nil {
			return nil, wrapf(ErrBadValue, pos, err, "cannot declare service %q", t.Name)
		}
		value = checked
	}
	return &Service{Type: t, Value: value, HasValue: true, Pos: pos}, nil
}

// Get is the service's own value: the given one, or the type's default.
func (s *Service) Get() (any, error) {
	switch {
	case s.HasValue:
		return s.Value, nil
	case s.Type.HasDefault:
		return s.Type.Default, nil
	}
	return nil, failf(ErrNoValue, s.Pos,
		"cannot use service %q: it has no value and the type has no default%s", s.Type.Name, declared(s.Type.Pos))
}

// Simple is a service of a type of its own that does nothing but contribute
// values to target.
func Simple(name string, target *Type, contributions []any, pos derivation.Position) *Service {
	t := &Type{
		Name:        name,
		Description: "Contribute to " + target.Name + ".",
		Pos:         pos,
	}
	t.Extensions = []Extension{{
		Target: target,
		Pos:    pos,
		Compute: func(_ *Env, value any) ([]any, error) {
			list, ok := value.([]any)
			if !ok {
				return nil, failf(ErrBadValue, pos, "cannot use %s: the value of a simple service is a list", Describe(value))
			}
			return list, nil
		},
	}}
	return &Service{Type: t, Value: contributions, HasValue: true, Pos: pos}
}

// List makes a list of services of a value that a declaration gave, and says
// which element is not a service; a list within a list is the usual slip.
func List(v any) ([]*Service, error) {
	switch list := v.(type) {
	case nil:
		return nil, nil
	case []*Service:
		for i, s := range list {
			if s == nil {
				return nil, notAService(i, nil)
			}
		}
		return list, nil
	case []any:
		services := make([]*Service, 0, len(list))
		for i, e := range list {
			s, ok := e.(*Service)
			if !ok || s == nil {
				return nil, notAService(i, e)
			}
			services = append(services, s)
		}
		return services, nil
	}
	return nil, failf(ErrNotAService, PositionOf(v), "cannot use %s as services: a list of services is needed", Describe(v))
}

func notAService(i int, v any) error {
	pos := PositionOf(v)
	switch v := v.(type) {
	case []any, []*Service:
		return failf(ErrNotAService, pos,
			"cannot use element %d of services: it is a list, not a service; join lists with +", i+1)
	case *Type:
		return failf(ErrNotAService, pos,
			"cannot use element %d of services: it is the service type %q; write service(%s)", i+1, v.Name, v.Name)
	}
	return failf(ErrNotAService, pos,
		"cannot use element %d of services: it is %s, not a service", i+1, Describe(v))
}

// Find gives the services of a type, in order.
func Find(services []*Service, t *Type) []*Service {
	var found []*Service
	for _, s := range services {
		if s.Type == t {
			found = append(found, s)
		}
	}
	return found
}

// Remove gives the services that are of none of the types. A type of which
// there is no service is no error.
func Remove(services []*Service, types ...*Type) []*Service {
	kept := make([]*Service, 0, len(services))
next:
	for _, s := range services {
		for _, t := range types {
			if s.Type == t {
				continue next
			}
		}
		kept = append(kept, s)
	}
	return kept
}

// RemoveExtensions is a copy of a type, a type of its own declared at pos,
// that does not extend the given targets. Each must be a target: a copy that
// differs in nothing is a slip.
func RemoveExtensions(t *Type, pos derivation.Position, targets ...*Type) (*Type, error) {
	c := *t
	c.Extensions, c.Pos = nil, pos
	removed := map[*Type]bool{}
next:
	for _, e := range t.Extensions {
		for _, target := range targets {
			if e.Target == target {
				removed[target] = true
				continue next
			}
		}
		c.Extensions = append(c.Extensions, e)
	}
	for _, target := range targets {
		if removed[target] {
			continue
		}
		var names []string
		for _, e := range t.Extensions {
			names = append(names, e.Target.Name)
		}
		return nil, failf(ErrNotFound, pos, "cannot remove the extension of %q from service type %q: it does not extend that%s",
			target.Name, t.Name, Meant(target.Name, names))
	}
	return &c, nil
}
