// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package service

import "osbuild/builder/derivation"

// Clause changes or deletes all services of one type.
type Clause struct {
	Type *Type
	// Delete removes the services; otherwise Change makes their new values.
	Delete bool
	Change func(value any) (any, error)
	Pos    derivation.Position
}

// Modify applies clauses one after the other to a list of services and keeps
// its order. Each clause concerns every service of its type, and there must be
// one: a clause that would do nothing is an error, like one for a type that an
// earlier clause deleted.
func Modify(services []*Service, clauses []Clause) ([]*Service, error) {
	out := append([]*Service(nil), services...)
	deletedAt := map[*Type]derivation.Position{}
	for _, c := range clauses {
		if len(Find(out, c.Type)) == 0 {
			return nil, nothingToModify(services, c, deletedAt)
		}
		if c.Delete {
			out = Remove(out, c.Type)
			deletedAt[c.Type] = c.Pos
			continue
		}
		for i, s := range out {
			if s.Type != c.Type {
				continue
			}
			changed, err := change(s, c)
			if err != nil {
				return nil, err
			}
			out[i] = changed
		}
	}
	return out, nil
}

func change(s *Service, c Clause) (*Service, error) {
	value, err := s.Get()
	if err != nil {
		return nil, err
	}
	if value, err = c.Change(value); err != nil {
		return nil, wrapf(ErrBadValue, c.Pos, err, "cannot modify service %q", s.Type.Name)
	}
	pos := s.Pos
	if pos == (derivation.Position{}) {
		pos = c.Pos
	}
	return WithValue(s.Type, value, pos)
}

func nothingToModify(services []*Service, c Clause, deletedAt map[*Type]derivation.Position) error {
	if at, ok := deletedAt[c.Type]; ok {
		return failf(ErrDeleted, c.Pos, "cannot modify services of type %q: an earlier clause deleted them%s",
			c.Type.Name, declared(at))
	}
	var names []string
	for _, s := range services {
		if s.Type.Name == c.Type.Name {
			return failf(ErrNotFound, c.Pos,
				"cannot modify services of type %q: the list has only a service of another type of that name%s",
				c.Type.Name, declared(s.Type.Pos))
		}
		names = append(names, s.Type.Name)
	}
	return failf(ErrNotFound, c.Pos, "cannot modify services of type %q: there is none in the list%s",
		c.Type.Name, Meant(c.Type.Name, names))
}
