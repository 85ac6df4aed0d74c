// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package lang

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"go.starlark.net/starlark"

	"osbuild/builder/lang/value"
	"osbuild/builder/service"
)

type newType struct {
	Name        string             `star:"name,required" doc:"The name, which messages and graphs show."`
	Extensions  []*value.Extension `star:"extensions" doc:"What each service of the type contributes to others: extension(...) values."`
	Compose     starlark.Callable  `star:"compose" doc:"compose(contributions) makes one value of all that others contribute, in declaration order; the list itself by default."`
	Extend      starlark.Callable  `star:"extend" doc:"extend(value, composed) gives the value of the extended service. A type without it cannot be extended."`
	Default     starlark.Value     `star:"default" doc:"The value of a service that is declared without one."`
	Description string             `star:"description" doc:"What services of the type do."`
}

type newExtension struct {
	Target  *service.Type     `star:"target,required" doc:"The service type to contribute to."`
	Compute starlark.Callable `star:"compute,required" doc:"compute(value) gives the list of contributions of a service with this value."`
}

type newService struct {
	Type  *service.Type  `star:"type,required" doc:"The service type."`
	Value starlark.Value `star:"value" doc:"The value; the type's default without it."`
}

type simpleService struct {
	Name   string         `star:"name,required" doc:"The name, which messages and graphs show."`
	Target *service.Type  `star:"target,required" doc:"The service type to contribute to."`
	Value  starlark.Value `star:"value,required" doc:"The list of contributions."`
}

type removeExtensions struct {
	Type    *service.Type   `star:"type,required" doc:"The service type."`
	Targets []*service.Type `star:"targets,required" doc:"The service types that the copy does not extend."`
}

func (l *loader) declareServices() error {
	l.own, l.records = map[*service.Type]bool{}, map[*service.Type]*value.Schema{}
	l.predeclared["delete"] = deletion{}
	return errors.Join(
		function(l, "service_type", "A kind of service.", newType{}, l.serviceType),
		function(l, "extension", "What the services of a type contribute to another service.", newExtension{}, l.extension),
		function(l, "service", "A service of a type.", newService{}, l.service),
		function(l, "simple_service", "A service that only contributes values to another.", simpleService{}, l.simpleService),
		function(l, "remove_service_extensions", "A copy of a service type that does not extend some others. It is a type of its own.", removeExtensions{}, l.removeExtensions),
		l.add(starlark.NewBuiltin("modify_services", l.modifyServices)),
	)
}

func (l *loader) serviceType(thread *starlark.Thread, a *newType) (starlark.Value, error) {
	t := &service.Type{Name: a.Name, Description: a.Description, Pos: l.caller(thread)}
	if a.Name == "" {
		return nil, value.Argument("name", errors.New("a name is needed"))
	}
	for _, e := range a.Extensions {
		t.Extensions = append(t.Extensions, e.E)
	}
	if a.Compose != nil {
		t.Compose = func(_ *service.Env, contributions []any) (any, error) {
			return l.call(a.Compose, l.registry.FromGo(contributions))
		}
	}
	if a.Extend != nil {
		t.Extend = func(_ *service.Env, v, contributions any) (any, error) {
			return l.call(a.Extend, l.registry.FromGo(v), l.registry.FromGo(contributions))
		}
	}
	if a.Default != nil {
		a.Default.Freeze()
		t.Default, t.HasDefault = a.Default, true
		if r, ok := a.Default.(*value.Record); ok {
			l.records[t] = r.Schema()
		}
	}
	l.own[t] = true
	return l.registry.FromGo(t), nil
}

func (l *loader) extension(thread *starlark.Thread, a *newExtension) (starlark.Value, error) {
	pos := l.caller(thread)
	e := service.Extension{Target: a.Target, Pos: pos}
	e.Compute = func(_ *service.Env, v any) ([]any, error) {
		list, err := l.call(a.Compute, l.registry.FromGo(v))
		if err != nil {
			return nil, err
		}
		at := &value.Site{Pos: pos, Call: l.call}
		contributions, err := l.contributions(at, a.Target, list)
		if err != nil {
			return nil, fmt.Errorf("%s gave a wrong value: %w", functionName(a.Compute), err)
		}
		return contributions, nil
	}
	return &value.Extension{E: e}, nil
}

func functionName(fn starlark.Callable) string {
	if fn.Name() == "lambda" {
		return "the lambda"
	}
	return fn.Name()
}

// contributions turns a list that a file made into what a target takes. For a
// target that is a file's own they stay Starlark values.
func (l *loader) contributions(at *value.Site, target *service.Type, v starlark.Value) ([]any, error) {
	list, ok := v.(starlark.Indexable)
	if _, text := v.(starlark.String); !ok || text {
		return nil, fmt.Errorf("want a list of contributions, got %s (write [...] around it)", value.TypeName(v))
	}
	v.Freeze()
	out := make([]any, list.Len())
	for i := range out {
		var err error
		if out[i], err = l.contribution(at, target, list.Index(i)); err != nil {
			return nil, fmt.Errorf("element %d: %w", i+1, err)
		}
	}
	return out, nil
}

func (l *loader) contribution(at *value.Site, target *service.Type, v starlark.Value) (any, error) {
	if l.own[target] {
		return v, nil
	}
	if target.Elements == nil {
		return l.registry.Plain(v)
	}
	var (
		names []string
		first error
	)
	for _, t := range target.Elements {
		g, err := l.registry.Convert(at, v, t)
		if err == nil {
			return g, nil
		}
		if first == nil {
			first = err
		}
		names = append(names, l.registry.Word(t))
	}
	if len(names) == 1 {
		return nil, first
	}
	return nil, fmt.Errorf("want %s, got %s", strings.Join(names, " or "), value.TypeName(v))
}

// serviceValue gives a value as services of a type keep it.
func (l *loader) serviceValue(at *value.Site, t *service.Type, v starlark.Value) (any, error) {
	v.Freeze()
	if l.own[t] {
		if s := l.records[t]; s != nil {
			return value.RecordOf(s).Accept(at, v)
		}
		return v, nil
	}
	plain, err := l.registry.Plain(v)
	if err != nil {
		return nil, err
	}
	if _, ok := v.(*starlark.List); !ok || t.Elements == nil {
		return plain, nil
	}
	// A value that is a list mostly holds what may be contributed too, so
	// that tuples can stand for records.
	list, err := l.contributions(at, t, v)
	if err == nil {
		return list, nil
	}
	if t.Check != nil {
		if _, refused := t.Check(plain); refused != nil {
			return nil, err
		}
	}
	return plain, nil
}

func (l *loader) service(thread *starlark.Thread, a *newService) (starlark.Value, error) {
	at := l.site(thread)
	if a.Value == nil {
		s, err := service.New(a.Type, at.Pos)
		if err != nil {
			return nil, err
		}
		return l.registry.FromGo(s), nil
	}
	v, err := l.serviceValue(at, a.Type, a.Value)
	if err != nil {
		return nil, fmt.Errorf("cannot declare service %q: %w", a.Type.Name, err)
	}
	s, err := service.WithValue(a.Type, v, at.Pos)
	if err != nil {
		return nil, err
	}
	return l.registry.FromGo(s), nil
}

func (l *loader) simpleService(thread *starlark.Thread, a *simpleService) (starlark.Value, error) {
	at := l.site(thread)
	list, err := l.contributions(at, a.Target, a.Value)
	if err != nil {
		return nil, value.Argument("value", err)
	}
	return l.registry.FromGo(service.Simple(a.Name, a.Target, list, at.Pos)), nil
}

func (l *loader) removeExtensions(thread *starlark.Thread, a *removeExtensions) (starlark.Value, error) {
	t, err := service.RemoveExtensions(a.Type, l.caller(thread), a.Targets...)
	if err != nil {
		return nil, err
	}
	// What the original's values are, the copy's are too.
	if l.own[a.Type] {
		l.own[t] = true
	}
	if s := l.records[a.Type]; s != nil {
		l.records[t] = s
	}
	return l.registry.FromGo(t), nil
}

// deletion is the value `delete`.
type deletion struct{}

func (deletion) String() string        { return "delete" }
func (deletion) Type() string          { return "delete" }
func (deletion) Freeze()               {}
func (deletion) Truth() starlark.Bool  { return true }
func (deletion) Hash() (uint32, error) { return 0, nil }

// modifyServices is modify_services(services, (type, function or delete), …).
func (l *loader) modifyServices(thread *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if len(args) == 0 || len(kwargs) > 0 {
		return nil, fmt.Errorf("%s: want a list of services, then pairs (type, function or delete)", b.Name())
	}
	at := l.site(thread)
	list, err := l.registry.Convert(at, args[0], reflect.TypeFor[[]*service.Service]())
	if err != nil {
		return nil, fmt.Errorf("%s: argument services: %w", b.Name(), err)
	}
	var clauses []service.Clause
	for i, arg := range args[1:] {
		c, err := l.clause(at, arg)
		if err != nil {
			return nil, fmt.Errorf("%s: pair %d: %w", b.Name(), i+1, err)
		}
		c.Pos = at.Pos
		if p, ok := l.calls.argument(callPlace(thread.CallStack()), &value.FieldError{Index: i + 1}); ok {
			c.Pos = p
		}
		clauses = append(clauses, c)
	}
	changed, err := service.Modify(list.([]*service.Service), clauses)
	if err != nil {
		return nil, err
	}
	return l.registry.FromGo(changed), nil
}

func (l *loader) clause(at *value.Site, v starlark.Value) (service.Clause, error) {
	pair, ok := v.(starlark.Tuple)
	if !ok || len(pair) != 2 {
		return service.Clause{}, fmt.Errorf("want a pair (type, function or delete), got %s", value.TypeName(v))
	}
	t, ok := pair[0].(*value.ServiceType)
	if !ok {
		return service.Clause{}, fmt.Errorf("want a service_type first, got %s", value.TypeName(pair[0]))
	}
	switch change := pair[1].(type) {
	case deletion:
		return service.Clause{Type: t.T, Delete: true}, nil
	case starlark.Callable:
		return service.Clause{Type: t.T, Change: func(old any) (any, error) {
			v, err := at.Call(change, l.registry.FromGo(old))
			if err != nil {
				return nil, err
			}
			return l.serviceValue(at, t.T, v)
		}}, nil
	}
	return service.Clause{}, fmt.Errorf("want a function or delete second, got %s", value.TypeName(pair[1]))
}
