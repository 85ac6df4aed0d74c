// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package service

import (
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"

	"osbuild/builder/derivation"
)

func pos(line int) derivation.Position {
	return derivation.Position{File: "system.star", Line: line, Col: 5}
}

// sink is a type that adds contributions to a list.
func sink(name string) *Type {
	return &Type{
		Name: name, HasDefault: true, Default: []any(nil),
		Extend: func(_ *Env, value, contributions any) (any, error) {
			own, _ := value.([]any)
			return append(append([]any(nil), own...), contributions.([]any)...), nil
		},
	}
}

// source is a type whose instances contribute their values to targets.
func source(name string, targets ...*Type) *Type {
	t := &Type{Name: name}
	for _, target := range targets {
		t.Extensions = append(t.Extensions, Extension{
			Target: target, Compute: func(_ *Env, v any) ([]any, error) { return []any{v}, nil },
		})
	}
	return t
}

func of(t *Type, value any) *Service { return &Service{Type: t, Value: value, HasValue: true} }

func TestValues(t *testing.T) {
	withDefault, without := &Type{Name: "with", HasDefault: true, Default: false}, &Type{Name: "without", Pos: pos(3)}
	t.Run("the default, which may be false", func(t *testing.T) {
		s, err := New(withDefault, pos(1))
		if err != nil {
			t.Fatal(err)
		}
		if v, err := s.Get(); err != nil || v != false {
			t.Errorf("Get() = %v, %v", v, err)
		}
	})
	t.Run("a given value beats the default", func(t *testing.T) {
		for _, given := range []any{"given", nil, true} {
			s, err := WithValue(withDefault, given, pos(1))
			if err != nil {
				t.Fatal(err)
			}
			if v, err := s.Get(); err != nil || v != given {
				t.Errorf("Get() = %v, %v; want %v", v, err, given)
			}
		}
	})
	t.Run("neither", func(t *testing.T) {
		_, err := New(without, pos(2))
		const want = `system.star:2:5: cannot declare service "without": no value is given and the type has no default (declared at system.star:3:5)`
		if !errors.Is(err, ErrNoValue) || err.Error() != want {
			t.Errorf("%v\nwant %s", err, want)
		}
		if _, err := (&Service{Type: without}).Get(); !errors.Is(err, ErrNoValue) {
			t.Errorf("Get(): %v", err)
		}
	})
	checked := &Type{Name: "checked", Check: func(v any) (any, error) {
		if n, ok := v.(int); ok {
			return n + 1, nil
		}
		return nil, errors.New("want a number")
	}}
	t.Run("a value that the type converts", func(t *testing.T) {
		if s, err := WithValue(checked, 1, pos(1)); err != nil || s.Value != 2 {
			t.Errorf("WithValue() = %v, %v", s, err)
		}
	})
	t.Run("a value that the type refuses", func(t *testing.T) {
		if _, err := WithValue(checked, "x", pos(9)); err == nil || err.Error() != `system.star:9:5: cannot declare service "checked": want a number` {
			t.Errorf("WithValue(): %v", err)
		}
	})
}

// names are the type names of services.
func names(services []*Service) []string {
	var out []string
	for _, s := range services {
		out = append(out, s.Type.Name)
	}
	return out
}

func TestBackEdges(t *testing.T) {
	// t1 extends t2 and t3, t2 extends t3: as in the reference's own test.
	t3 := sink("t3")
	t2 := sink("t2")
	t2.Extensions = source("", t3).Extensions
	t1 := source("t1", t2, t3)
	s1, s2, s3 := of(t1, 1), of(t2, nil), of(t3, nil)
	back, err := BackEdges([]*Service{s1, s2, s3})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		summary string
		of      *Service
		want    []*Service
	}{
		{"of one that nobody extends", s1, nil},
		{"of one that one extends", s2, []*Service{s1}},
		{"of one that two extend, in order", s3, []*Service{s1, s2}},
	} {
		t.Run(tc.summary, func(t *testing.T) {
			if got := back[tc.of]; !reflect.DeepEqual(got, tc.want) {
				t.Errorf("%s is extended by %v, want %v", tc.of.Type.Name, names(got), names(tc.want))
			}
		})
	}
}

func TestFoldOrder(t *testing.T) {
	target := sink("target")
	middle := &Type{
		Name: "middle",
		Compose: func(_ *Env, contributions []any) (any, error) {
			sum := 0
			for _, c := range contributions {
				sum += c.(int)
			}
			return sum, nil
		},
		Extend:     func(_ *Env, value, sum any) (any, error) { return value.(int) * sum.(int), nil },
		Extensions: source("", target).Extensions,
	}
	direct := source("direct", target)
	addend := source("addend", middle)
	list := []*Service{
		of(target, []any{"initial"}),
		of(direct, 1), of(direct, 2), of(direct, 3), of(direct, 4), of(direct, 5),
		of(middle, 10),
		of(addend, 1), of(addend, 2), of(addend, 3),
		of(direct, "xyz"),
	}
	got, err := Fold(&Env{}, list, target)
	if err != nil {
		t.Fatal(err)
	}
	want := []any{"initial", 1, 2, 3, 4, 5, 60, "xyz"}
	if diff := cmp.Diff(want, got.Value); diff != "" {
		t.Errorf("contributions come in declaration order (-want +got):\n%s", diff)
	}
	if list[0].Value.([]any)[0] != "initial" || len(list[0].Value.([]any)) != 1 {
		t.Error("folding changed the declared service")
	}
}

func TestFoldOnce(t *testing.T) {
	calls := 0
	left, right, top := sink("left"), sink("right"), sink("top")
	left.Extensions = source("", top).Extensions
	right.Extensions = source("", top).Extensions
	bottom := sink("bottom")
	bottom.Extend = func(_ *Env, value, _ any) (any, error) { calls++; return value, nil }
	bottom.Extensions = source("", left, right).Extensions
	f, err := NewFolding(&Env{}, []*Service{of(bottom, 1), of(left, nil), of(right, nil), of(top, nil)})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := f.Fold(top); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Services(); err != nil {
			t.Fatal(err)
		}
	}
	if calls != 1 {
		t.Errorf("the shared service was computed %d times", calls)
	}
}

func TestComposeOfNothing(t *testing.T) {
	called := false
	lonely := sink("lonely")
	lonely.Compose = func(_ *Env, contributions []any) (any, error) { called = true; return contributions, nil }
	if _, err := Fold(&Env{}, []*Service{of(lonely, nil)}, lonely); err != nil || !called {
		t.Errorf("a sink that nobody extends: composed %v, %v", called, err)
	}
}

func TestManyInstances(t *testing.T) {
	target := sink("target")
	terminal := source("terminal", target)
	var list []*Service
	for i := range 6 {
		list = append(list, of(terminal, i))
	}
	list = append(list, of(target, nil))
	got, err := Fold(&Env{}, list, target)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]any{0, 1, 2, 3, 4, 5}, got.Value); diff != "" {
		t.Error(diff)
	}
}

func TestInstantiateMissing(t *testing.T) {
	last := sink("last")
	indirect := sink("indirect")
	indirect.Extensions = source("", last).Extensions
	first := source("first", indirect)
	other := source("other", last)
	strict := source("needs-strict", &Type{Name: "strict", Extend: last.Extend})

	explicit := of(indirect, []any{"mine"})
	for _, tc := range []struct {
		summary string
		in      []*Service
		want    []string
	}{
		{"adds a default instance", []*Service{of(other, 1)}, []string{"other", "last"}},
		{"adds what is needed indirectly, last", []*Service{of(first, 1)}, []string{"first", "indirect", "last"}},
		{"goes on from a part of it", []*Service{of(first, 1), of(indirect, nil)}, []string{"first", "indirect", "last"}},
		{"goes on from another part of it", []*Service{of(last, nil), of(first, 1)}, []string{"last", "first", "indirect"}},
		{"leaves an explicit instance", []*Service{explicit, of(first, 1)}, []string{"indirect", "first", "last"}},
		{"adds one instance for many", []*Service{of(first, 1), of(other, 2), of(first, 3)}, []string{"first", "other", "first", "indirect", "last"}},
		{"adds nothing to a complete list", []*Service{of(last, nil), of(other, 1)}, []string{"last", "other"}},
		{"takes an empty list", nil, nil},
	} {
		t.Run(tc.summary, func(t *testing.T) {
			before := len(tc.in)
			got, err := InstantiateMissing(tc.in)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, names(got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			for i, s := range tc.in {
				if got[i] != s {
					t.Errorf("service %d was replaced", i+1)
				}
			}
			for _, s := range got[before:] {
				if s.HasValue {
					t.Errorf("%s was added with a value", s.Type.Name)
				}
			}
		})
	}
	t.Run("fails without a default", func(t *testing.T) {
		_, err := InstantiateMissing([]*Service{of(strict, 1)})
		const want = `cannot find what service "needs-strict" extends: there is no service of type "strict"; declare one with a value`
		if !errors.Is(err, ErrMissingTarget) || err.Error() != want {
			t.Errorf("%v\nwant %s", err, want)
		}
	})
}

// Two foldings of one declaration give the same order, whatever runs beside.
func TestFoldIsDeterministic(t *testing.T) {
	build := func() string {
		target := sink("target")
		var list []*Service
		for i := range 50 {
			mid := sink(fmt.Sprint("mid", i%7))
			mid.Extensions = source("", target).Extensions
			list = append(list, of(source(fmt.Sprint("source", i), mid, target), i))
		}
		all, err := InstantiateMissing(list)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Fold(&Env{}, all, target)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(got.Value, names(all))
	}
	want := build()
	for _, procs := range []int{1, 2, 8} {
		old := runtime.GOMAXPROCS(procs)
		for range 5 {
			if got := build(); got != want {
				t.Errorf("GOMAXPROCS=%d: %s\nwant %s", procs, got, want)
			}
		}
		runtime.GOMAXPROCS(old)
	}
}

// UserGroup and Placed stand for records of a library.
type UserGroup struct{ Name string }

// Placed knows where it was made.
type Placed struct{ Pos derivation.Position }
