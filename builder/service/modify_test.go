// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package service

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestModify(t *testing.T) {
	a, b, c := &Type{Name: "alpha"}, &Type{Name: "beta"}, &Type{Name: "gamma"}
	twin := &Type{Name: "alpha"}
	a.Pos = pos(70)
	list := []*Service{of(a, 1), of(b, 2), of(a, 3), of(c, 4)}
	add := func(t *Type, n int) Clause {
		return Clause{Type: t, Pos: pos(n), Change: func(v any) (any, error) { return v.(int) + n, nil }}
	}
	drop := func(t *Type, line int) Clause { return Clause{Type: t, Delete: true, Pos: pos(line)} }
	for _, tc := range []struct {
		summary string
		clauses []Clause
		want    []any
		kind    error
		err     string
	}{
		{"nothing keeps the order", nil, []any{1, 2, 3, 4}, nil, ""},
		{"all instances are deleted", []Clause{drop(a, 1)}, []any{2, 4}, nil, ""},
		{"two types are deleted", []Clause{drop(a, 1), drop(c, 2)}, []any{2}, nil, ""},
		{"all instances are changed", []Clause{add(a, 10)}, []any{11, 2, 13, 4}, nil, ""},
		{"clauses chain", []Clause{add(a, 10), add(b, 5), add(a, 20)}, []any{31, 7, 33, 4}, nil, ""},
		{"modify, then delete", []Clause{add(a, 10), drop(a, 2)}, []any{2, 4}, nil, ""},
		{
			"delete, then modify",
			[]Clause{drop(a, 6), add(a, 7)},
			nil, ErrDeleted,
			`system.star:7:5: cannot modify services of type "alpha": an earlier clause deleted them (declared at system.star:6:5)`,
		},
		{
			"delete twice",
			[]Clause{drop(a, 6), drop(a, 7)},
			nil, ErrDeleted,
			`system.star:7:5: cannot modify services of type "alpha": an earlier clause deleted them (declared at system.star:6:5)`,
		},
		{
			"change what is absent",
			[]Clause{add(&Type{Name: "bet"}, 3)},
			nil, ErrNotFound,
			`system.star:3:5: cannot modify services of type "bet": there is none in the list; did you mean "beta"?`,
		},
		{
			"delete what is absent",
			[]Clause{drop(&Type{Name: "omega"}, 3)},
			nil, ErrNotFound,
			`system.star:3:5: cannot modify services of type "omega": there is none in the list`,
		},
		{
			"a type of the same name",
			[]Clause{drop(twin, 3)},
			nil, ErrNotFound,
			`system.star:3:5: cannot modify services of type "alpha": the list has only a service of another type of that name (declared at system.star:70:5)`,
		},
		{
			"a change that fails",
			[]Clause{{Type: b, Pos: pos(4), Change: func(any) (any, error) { return nil, errors.New("bad port") }}},
			nil, ErrBadValue,
			`system.star:4:5: cannot modify service "beta": bad port`,
		},
	} {
		t.Run(tc.summary, func(t *testing.T) {
			got, err := Modify(list, tc.clauses)
			if tc.err != "" {
				if !errors.Is(err, tc.kind) || err.Error() != tc.err {
					t.Errorf("%v\nwant %s", err, tc.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var values []any
			for _, s := range got {
				values = append(values, s.Value)
			}
			if diff := cmp.Diff(tc.want, values); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	if list[0].Value != 1 || len(list) != 4 {
		t.Error("Modify changed its argument")
	}
}
