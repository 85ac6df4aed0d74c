// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package value

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"osbuild/builder/derivation"
	"osbuild/builder/service"
)

type point struct {
	Pos derivation.Position `star:"-"`
	X   int                 `star:"x,required" doc:"Right."`
	Y   *int8               `star:"y"`
}

func (p *point) Validate() error {
	if p.X < 0 {
		return errors.New("field x: it is negative")
	}
	if p.X == 13 {
		return errors.New("13 is no coordinate")
	}
	if p.Y == nil {
		y := int8(p.X)
		p.Y = &y
	}
	return nil
}

// made is what shape converts to; nothing of it shows.
type made struct{ text string }

type shape struct {
	Name    string            `star:"name,required"`
	Points  []*point          `star:"points"`
	Origin  point             `star:"origin"`
	Labels  map[string]string `star:"labels"`
	Ratio   uint16            `star:"ratio"`
	Any     any               `star:"any"`
	Type    *service.Type     `star:"type"`
	List    []*service.Service
	Made    *made        `star:"made"`
	Visible *bool        `star:"visible"`
	Paint   service.Func `star:"paint"`
}

var pos = derivation.Position{File: "f.star", Line: 1, Col: 2}

func newRegistry(t *testing.T) *Registry {
	t.Helper()
	var r *Registry
	call := func(fn starlark.Callable, args ...starlark.Value) (starlark.Value, error) {
		return starlark.Call(new(starlark.Thread), fn, args, nil)
	}
	r = NewRegistry(func(*starlark.Thread) *Site { return &Site{pos, call} }, call)
	for _, rec := range []struct {
		name    string
		proto   any
		convert func(any) (any, error)
	}{
		{"shape", &shape{Ratio: 2, Origin: point{X: 1}}, nil},
		{"point", &point{}, nil},
		{"make", &struct {
			Text string `star:"text,required"`
		}{}, func(v any) (any, error) {
			text := reflect.ValueOf(v).Elem().Field(0).String()
			if text == "" {
				return nil, errors.New("field text: it is empty")
			}
			return &made{text}, nil
		}},
	} {
		if _, err := r.Register(rec.name, rec.proto, "", rec.convert); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// eval evaluates an expression with the constructors of a registry.
func eval(r *Registry, expr string) (starlark.Value, error) {
	env := starlark.StringDict{"t": r.FromGo(&service.Type{Name: "t"})}
	for name, s := range r.names {
		env[name] = s
	}
	return starlark.EvalOptions(&syntax.FileOptions{}, new(starlark.Thread), "f.star", expr, env)
}

func TestBothWays(t *testing.T) {
	r := newRegistry(t)
	v, err := eval(r, `shape("s", points = [point(3), (4, 5)], labels = {"b": "2", "a": "1"}, any = {"k": [1, "x", None]},
		type = t, made = make("m"), visible = True, paint = lambda x: x * 2)`)
	if err != nil {
		t.Fatal(err)
	}
	g, err := r.Plain(v)
	if err != nil {
		t.Fatal(err)
	}
	s := g.(*shape)
	three, five, yes := int8(3), int8(5), true
	if diff := cmp.Diff([]*point{{pos, 3, &three}, {pos, 4, &five}}, s.Points); diff != "" {
		t.Errorf("points: %s", diff)
	}
	if diff := cmp.Diff(map[string]any{"k": []any{1, "x", nil}}, s.Any); diff != "" {
		t.Errorf("any: %s", diff)
	}
	if s.Ratio != 2 || s.Origin.X != 1 || s.Labels["a"] != "1" || s.Type.Name != "t" || s.Made.text != "m" || *s.Visible != yes {
		t.Errorf("got %+v", s)
	}
	if got, err := s.Paint.Call(21); err != nil || got != 42 {
		t.Errorf("the function gave %v, %v", got, err)
	}
	// What Go made comes back as an equal record, but for what is opaque.
	s.Made = nil
	back := r.FromGo(s)
	if v, err = v.(*Record).replace(nil, nil, nil, []starlark.Tuple{{starlark.String("made"), starlark.None}}); err != nil {
		t.Fatal(err)
	}
	if eq, err := starlark.Equal(back, v); err != nil || !eq {
		t.Errorf("%v is not %v (%v)", back, v, err)
	}
	if got := back.String(); !strings.HasPrefix(got, `shape(name = "s", points = [point(x = 3, y = 3), point(x = 4, y = 5)], labels = {"a": "1", "b": "2"}, `) {
		t.Errorf("it prints as %s", got)
	}
}

func TestFromGo(t *testing.T) {
	r := newRegistry(t)
	seven := 7
	type hidden struct{ A int }
	for _, test := range []struct {
		v    any
		want string
	}{
		{nil, "None"},
		{true, "True"},
		{uint8(7), "7"},
		{1.5, "1.5"},
		{&seven, "7"},
		{(*point)(nil), "None"},
		{"x", `"x"`},
		{[]string{"a", "b"}, `["a", "b"]`},
		{[]any{1, nil, []int{2}}, `[1, None, [2]]`},
		{map[string]int{"b": 1, "a": 2}, `{"a": 2, "b": 1}`},
		{point{X: 1}, "point(x = 1)"},
		{&made{"m"}, "<made>"},
		{hidden{1}, "<hidden>"},
		{map[int]int{1: 1}, "<>"},
		{starlark.String("s"), `"s"`},
		{&service.Type{Name: "t"}, "<service_type t>"},
		{&service.Service{Type: &service.Type{Name: "t"}}, "service(t)"},
		{&service.Service{Type: &service.Type{Name: "t"}, Value: 5, HasValue: true}, "service(t, 5)"},
	} {
		if got := r.FromGo(test.v).String(); got != test.want {
			t.Errorf("%#v is %s, want %s", test.v, got, test.want)
		}
	}
}

type double struct{}

func (double) Call(args ...any) (any, error) {
	if len(args) != 1 {
		return nil, fmt.Errorf("want one number")
	}
	return args[0].(int) * 2, nil
}

func TestFunctionsOfGo(t *testing.T) {
	r := newRegistry(t)
	env := starlark.StringDict{"double": r.FromGo(double{})}
	v, err := starlark.EvalOptions(&syntax.FileOptions{}, new(starlark.Thread), "f.star", "double(4)", env)
	if err != nil || v.String() != "8" {
		t.Errorf("got %v, %v", v, err)
	}
	if _, err := starlark.EvalOptions(&syntax.FileOptions{}, new(starlark.Thread), "f.star", "double()", env); err == nil || !strings.Contains(err.Error(), "want one number") {
		t.Errorf("got %v", err)
	}
	if _, err := starlark.EvalOptions(&syntax.FileOptions{}, new(starlark.Thread), "f.star", "double(x = 1)", env); err == nil {
		t.Error("a named argument is accepted")
	}
}

func TestConstructorErrors(t *testing.T) {
	r := newRegistry(t)
	for _, test := range []struct{ expr, want string }{
		{`point(-1)`, `point: field x: it is negative`},
		{`point(13)`, `point: 13 is no coordinate`},
		{`point(1, 200)`, `point: field y: the number 200 is out of range`},
		{`point(1, "2")`, `point: field y: want int or None, got string "2"`},
		{`shape("s", ratio = -1)`, `shape: field ratio: the number -1 is out of range`},
		{`shape("s", ratio = 65536)`, `shape: field ratio: the number 65536 is out of range`},
		{`shape("s", points = [1])`, `shape: field points: element 1: want point, got int 1`},
		{`shape("s", points = [(-1,)])`, `shape: field points: element 1: point: field x: it is negative`},
		{`shape("s", points = [("a",)])`, `shape: field points: element 1: point: field x: want int, got string "a"`},
		{`shape("s", points = [()])`, `shape: field points: element 1: point: field x: must be given`},
		{`shape("s", points = [(1, 2, 3)])`, `shape: field points: element 1: point: got 3 values, but the fields are x, y`},
		{`shape("s", origin = None)`, `shape: field origin: want point, got None`},
		{`shape("s", origin = point)`, `shape: field origin: want point, got the constructor point (call it: point(...))`},
		{`shape("s", made = make(""))`, `make: field text: it is empty`},
		{`shape("s", made = point(1))`, `shape: field made: want made or None, got point`},
		{`shape("s", type = "t")`, `shape: field type: want service_type or None, got string "t"`},
		{`shape("s", paint = "red")`, `shape: field paint: want function or None, got string "red"`},
		{`shape("s", any = {1: 2})`, `shape: field any: want string keys in a dict, got int`},
		{`shape("s", any = 1 << 70)`, `shape: field any: the number 1180591620717411303424 is out of range`},
		{`shape("s", visible = 1)`, `shape: field visible: want bool or None, got int 1`},
		{`shape(labels = {})`, `shape: field name: must be given`},
	} {
		_, err := eval(r, test.expr)
		if err == nil || err.Error() != test.want {
			t.Errorf("%s: got %v, want %s", test.expr, err, test.want)
		}
	}
}

func TestRegisterErrors(t *testing.T) {
	r := newRegistry(t)
	for _, test := range []struct {
		summary string
		proto   any
	}{
		{"no pointer", point{}},
		{"nil", (*point)(nil)},
		{"no struct", new(int)},
		{"unknown option", &struct {
			A int `star:"a,optional"`
		}{}},
		{"type that does not convert", &struct {
			A chan int `star:"a"`
		}{}},
		{"no name of a field", &struct {
			A int `star:"a b"`
		}{}},
		{"name of the method", &struct {
			A int `star:"replace"`
		}{}},
		{"one name twice", &struct {
			A int `star:"a"`
			B int `star:"a"`
		}{}},
		{"item that is no string", &struct {
			A int `star:"a,item"`
		}{}},
	} {
		if _, err := r.Register("new", test.proto, "", nil); !errors.Is(err, ErrSchema) {
			t.Errorf("%s: got %v", test.summary, err)
		}
	}
	if _, err := r.Register("point", &point{}, "", nil); !errors.Is(err, ErrSchema) {
		t.Errorf("a name that is taken: got %v", err)
	}
}

func TestPlainRefusesDeepValues(t *testing.T) {
	r := newRegistry(t)
	var v starlark.Value = starlark.NewList(nil)
	for range maxDepth + 1 {
		v = starlark.NewList([]starlark.Value{v})
	}
	if _, err := r.Plain(v); !errors.Is(err, errTooDeep) {
		t.Errorf("got %v", err)
	}
}

func TestSnake(t *testing.T) {
	for in, want := range map[string]string{
		"UserGroup": "user_group", "PAMService": "pam_service", "TCPReady": "tcp_ready", "Etc": "etc", "": "", "ID": "id",
	} {
		if got := snake(in); got != want {
			t.Errorf("%s is %s, want %s", in, got, want)
		}
	}
}
