// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package service

import (
	"errors"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
)

type userGroup struct{ Name string }

func TestGraphErrors(t *testing.T) {
	target := sink("account")
	target.Pos = pos(2)
	strict := &Type{Name: "logger", Extend: target.Extend}
	closed := &Type{Name: "closed", HasDefault: true, Pos: pos(4)}
	user := func(line int, target *Type) *Service {
		t := source("nginx", target)
		t.Extensions[0].Pos = pos(line + 100)
		return &Service{Type: t, Value: 1, HasValue: true, Pos: pos(line)}
	}
	double := source("double", target, target)
	double.Extensions[0].Pos, double.Extensions[1].Pos = pos(20), pos(21)
	a, b, c := sink("a"), sink("b"), sink("c")
	a.Extensions = source("", b).Extensions
	b.Extensions = source("", c).Extensions
	c.Extensions = source("", a).Extensions
	c.Extensions[0].Pos = pos(33)
	self := sink("self")
	self.Extensions = source("", self).Extensions
	self.Extensions[0].Pos = pos(40)

	for _, tc := range []struct {
		summary string
		in      []*Service
		kind    error
		want    string
	}{
		{
			"missing target",
			[]*Service{user(7, strict)},
			ErrMissingTarget,
			`system.star:7:5: cannot find what service "nginx" extends: there is no service of type "logger"; declare one with a value`,
		},
		{
			"missing target with a near name",
			[]*Service{user(7, strict), {Type: &Type{Name: "loger", HasDefault: true}}},
			ErrMissingTarget,
			`system.star:7:5: cannot find what service "nginx" extends: there is no service of type "logger"; did you mean "loger"?`,
		},
		{
			"a type of the same name",
			[]*Service{user(7, strict), {Type: &Type{Name: "logger", HasDefault: true, Pos: pos(50)}}},
			ErrMissingTarget,
			`system.star:7:5: cannot find what service "nginx" extends: there is no service of type "logger"; another type of the same name is in use (declared at system.star:50:5), but a type is itself only: load it from one place`,
		},
		{
			"ambiguous target",
			[]*Service{user(7, target), {Type: target, Pos: pos(8)}, {Type: target, Pos: pos(9)}},
			ErrAmbiguousTarget,
			`system.star:9:5: cannot tell which service "nginx" extends: there are 2 services of type "account" (declared at system.star:8:5 and system.star:9:5); keep one, or change it with modify_services`,
		},
		{
			"a target that cannot be extended",
			[]*Service{user(7, closed), {Type: closed}},
			ErrNotExtensible,
			`system.star:107:5: cannot extend "closed" from service type "nginx": the type "closed" has no extend function, so contributions would be lost (declared at system.star:4:5)`,
		},
		{
			"two extensions to one target",
			[]*Service{of(double, 1), {Type: target}},
			ErrDuplicateExtension,
			`system.star:21:5: cannot use service type "double": it extends "account" twice, first at system.star:20:5; let one extension contribute both`,
		},
		{
			"an extension cycle",
			[]*Service{of(a, nil), of(b, nil), of(c, nil)},
			ErrCycle,
			`system.star:33:5: cannot order services: service types extend each other in a cycle: "a" extends "b" extends "c" extends "a"`,
		},
		{
			"a type that extends itself",
			[]*Service{of(self, nil)},
			ErrCycle,
			`system.star:40:5: cannot order services: service types extend each other in a cycle: "self" extends "self"`,
		},
	} {
		t.Run(tc.summary, func(t *testing.T) {
			_, err := NewFolding(&Env{}, tc.in)
			if !errors.Is(err, tc.kind) || err.Error() != tc.want {
				t.Errorf("%v\nwant %s", err, tc.want)
			}
		})
	}
}

func TestFoldErrors(t *testing.T) {
	target := sink("target")
	target.Elements = []reflect.Type{reflect.TypeFor[*UserGroup](), reflect.TypeFor[string]()}
	contribute := func(v ...any) *Service {
		s := of(source("nginx", target), nil)
		s.Type.Extensions[0].Pos = pos(3)
		s.Type.Extensions[0].Compute = func(*Env, any) ([]any, error) { return v, nil }
		return s
	}
	failing := contribute()
	failing.Pos = pos(8)
	failing.Type.Extensions[0].Compute = func(*Env, any) ([]any, error) { return nil, errors.New("no port") }
	far := sink("far")

	for _, tc := range []struct {
		summary string
		in      []*Service
		target  *Type
		kind    error
		want    string
	}{
		{
			"a contribution of a wrong type tells where it was made",
			[]*Service{contribute("fine", &Placed{Pos: pos(12)}), of(target, nil)},
			target, ErrContribution,
			`system.star:3:5: cannot use element 2 of what service "nginx" contributes to "target": it is a placed (made at system.star:12:5), and "target" takes a user_group or a text`,
		},
		{
			"a list in the list",
			[]*Service{contribute([]any{"x"}), of(target, nil)},
			target, ErrContribution,
			`system.star:3:5: cannot use element 1 of what service "nginx" contributes to "target": it is a list, and "target" takes a user_group or a text`,
		},
		{
			"nothing as an element",
			[]*Service{contribute(nil), of(target, nil)},
			target, ErrContribution,
			`system.star:3:5: cannot use element 1 of what service "nginx" contributes to "target": it is None, and "target" takes a user_group or a text`,
		},
		{
			"a nil record",
			[]*Service{contribute((*UserGroup)(nil)), of(target, nil)},
			target, ErrContribution,
			`system.star:3:5: cannot use element 1 of what service "nginx" contributes to "target": it is None, and "target" takes a user_group or a text`,
		},
		{
			"a compute function that fails",
			[]*Service{failing, of(target, nil)},
			target, ErrContribution,
			`system.star:3:5: cannot compute what service "nginx" contributes to "target": no port`,
		},
		{
			"an absent sink",
			[]*Service{of(target, nil)},
			far, ErrNotFound,
			`cannot fold services: there is none of type "far"`,
		},
		{
			"two sinks",
			[]*Service{{Type: far, Pos: pos(5)}, {Type: far, Pos: pos(6)}},
			far, ErrAmbiguousTarget,
			`system.star:6:5: cannot fold services: there are 2 of type "far", one is needed`,
		},
		{
			"no value",
			[]*Service{{Type: source("bare"), Pos: pos(5)}},
			nil, ErrNoValue,
			`system.star:5:5: cannot use service "bare": it has no value and the type has no default`,
		},
	} {
		t.Run(tc.summary, func(t *testing.T) {
			sinkType := tc.target
			if sinkType == nil {
				sinkType = tc.in[0].Type
			}
			_, err := Fold(&Env{}, tc.in, sinkType)
			if !errors.Is(err, tc.kind) || err.Error() != tc.want {
				t.Errorf("%v\nwant %s", err, tc.want)
			}
		})
	}
}

func TestList(t *testing.T) {
	typ := &Type{Name: "web"}
	s := of(typ, 1)
	for _, tc := range []struct {
		summary string
		in      any
		want    string
	}{
		{"services", []any{s, s}, ""},
		{"nothing", nil, ""},
		{"a nested list", []any{s, []any{s}}, `cannot use element 2 of services: it is a list, not a service; join lists with +`},
		{"a type", []any{typ}, `cannot use element 1 of services: it is the service type "web"; write service(web)`},
		{"a record", []any{&Placed{Pos: pos(4)}}, `system.star:4:5: cannot use element 1 of services: it is a placed, not a service`},
		{"no list", "web", `cannot use the text "web" as services: a list of services is needed`},
	} {
		t.Run(tc.summary, func(t *testing.T) {
			_, err := List(tc.in)
			if got := errText(err); got != tc.want {
				t.Errorf("%s\nwant %s", got, tc.want)
			}
			if err != nil && !errors.Is(err, ErrNotAService) {
				t.Errorf("%v is no ErrNotAService", err)
			}
		})
	}
}

func TestSimpleAndRemove(t *testing.T) {
	target := sink("target")
	one, two := Simple("one", target, []any{1}, pos(1)), Simple("two", target, []any{2, 3}, pos(2))
	got, err := Fold(&Env{}, []*Service{one, two, of(target, nil)}, target)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]any{1, 2, 3}, got.Value); diff != "" {
		t.Error(diff)
	}
	if left := Remove([]*Service{one, two}, two.Type, target); len(left) != 1 || left[0] != one {
		t.Errorf("Remove() left %v", names(left))
	}
}

func TestRemoveExtensions(t *testing.T) {
	etc, account := sink("etc"), sink("account")
	web := source("web", etc, account)
	web.Pos, web.Default, web.HasDefault = pos(3), 1, true
	bare, err := RemoveExtensions(web, pos(8), etc)
	if err != nil {
		t.Fatal(err)
	}
	if len(bare.Extensions) != 1 || bare.Extensions[0].Target != account || len(web.Extensions) != 2 {
		t.Errorf("the copy has %d extensions, the type %d", len(bare.Extensions), len(web.Extensions))
	}
	if bare == web || bare.Name != "web" || bare.Pos != pos(8) || !bare.HasDefault {
		t.Errorf("the copy is %+v", bare)
	}
	folded, err := Fold(&Env{}, []*Service{of(bare, 1), of(etc, nil), of(account, nil)}, etc)
	if err != nil || len(folded.Value.([]any)) != 0 {
		t.Errorf("the copy contributes %v, %v", folded, err)
	}
	_, err = RemoveExtensions(web, pos(8), account, sink("ect"))
	const want = `system.star:8:5: cannot remove the extension of "ect" from service type "web": it does not extend that; did you mean "etc"?`
	if !errors.Is(err, ErrNotFound) || err.Error() != want {
		t.Errorf("%v\nwant %s", err, want)
	}
}

func TestNear(t *testing.T) {
	candidates := []string{"networking", "loopback", "user-processes", "udev"}
	for _, tc := range []struct{ name, want string }{
		{"netwroking", "networking"},
		{"networkin", "networking"},
		{"udevd", "udev"},
		{"user_processes", "user-processes"},
		{"zebra", ""},
		{"", ""},
		{"loopback", ""},
	} {
		if got := Near(tc.name, candidates); got != tc.want {
			t.Errorf("Near(%q) = %q, want %q", tc.name, got, tc.want)
		}
	}
}

func TestDescribe(t *testing.T) {
	for _, tc := range []struct {
		in   any
		want string
	}{
		{nil, "None"},
		{true, "a bool"},
		{3, "the number 3"},
		{"x", `the text "x"`},
		{[]any{1}, "a list"},
		{map[string]any{}, "a dict"},
		{&userGroup{}, "a user_group"},
		{(*Service)(nil), "None"},
		{of(&Type{Name: "web"}, 1), `a service of type "web"`},
	} {
		if got := Describe(tc.in); got != tc.want {
			t.Errorf("Describe(%#v) = %s, want %s", tc.in, got, tc.want)
		}
	}
	if got := snake("PAMService"); got != "pam_service" {
		t.Error(got)
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
