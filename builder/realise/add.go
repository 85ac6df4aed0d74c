// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package realise

import (
	"errors"
	"fmt"

	"osbuild/builder/derivation"
	"osbuild/store"
)

// ErrChanged is wrapped by the error for a local file that is no longer what
// it was when the declaration was read.
var ErrChanged = errors.New("it changed after the declaration was read")

// ensurePath makes sure that a path which is known since the evaluation is in
// the store: it is there, or the evaluation says what it is made of, or a
// substituter has it.
func (s *session) ensurePath(p store.Path) error {
	have, err := s.have(outputs{"": p})
	if have != nil || err != nil {
		return err
	}
	if t, ok := s.g.TextItem(p); ok {
		return s.addText(p, t)
	}
	if src, ok := s.g.SourceItem(p); ok {
		return s.addSource(p, src)
	}
	return s.fetchPath(p)
}

func (s *session) addText(p store.Path, t derivation.TextItem) error {
	inputs := make([]derivation.Input, len(t.Refs))
	for i, ref := range t.Refs {
		inputs[i] = derivation.Input{Path: ref}
	}
	if _, err := s.ensureAll(inputs); err != nil {
		return err
	}
	return s.add(p, t.Name, t.Pos, func() (store.Info, error) {
		if t.Executable {
			return s.Store.AddExecutable(s.ctx, s.Lease, t.Name, []byte(t.Text), t.Refs)
		}
		return s.Store.AddText(s.ctx, s.Lease, t.Name, []byte(t.Text), t.Refs)
	})
}

func (s *session) addSource(p store.Path, src derivation.SourceItem) error {
	return s.add(p, src.Name, src.Pos, func() (store.Info, error) {
		info, err := s.Store.AddTree(s.ctx, s.Lease, src.Name, src.Physical, src.Filter)
		if err == nil && info.Path != p {
			return info, fmt.Errorf("cannot add %s to the store: %w; run the command again", src.Physical, ErrChanged)
		}
		return info, err
	})
}

func (s *session) add(p store.Path, name string, pos derivation.Position, add func() (store.Info, error)) error {
	release, err := s.slot()
	if err != nil {
		return err
	}
	defer release()
	info, err := add()
	if s.ctx.Err() != nil {
		return s.ctx.Err()
	}
	if err != nil {
		return &derivation.Error{Pos: pos, Err: err}
	}
	if info.Path != p {
		return &derivation.Error{Pos: pos, Err: fmt.Errorf("cannot add %q to the store: it became %s instead of %s", name, info.Path, p)}
	}
	s.event(Event{Kind: EventAdd, Name: name})
	return nil
}

// fetchPath asks the substituters for a path.
func (s *session) fetchPath(p store.Path) error {
	release, err := s.slot()
	if err != nil {
		return err
	}
	defer release()
	for _, sub := range s.Substituters {
		ok, err := s.fetch(sub, p, "")
		if ok || err != nil {
			return err
		}
	}
	return fmt.Errorf("cannot find %s: it is not in the store, and nothing declared here makes it: add it, or fetch it from where it is", p)
}

// fetch asks one substituter for a path. A substituter that cannot be reached
// is reported, and is no reason to fail: what it has can be built.
func (s *session) fetch(sub Substituter, p store.Path, k derivation.Key) (bool, error) {
	err := sub.Fetch(s.ctx, s.Lease, p)
	switch {
	case s.ctx.Err() != nil:
		return false, s.ctx.Err()
	case errors.Is(err, store.ErrNotFound):
		return false, nil
	case err != nil:
		s.event(Event{Kind: EventUnavailable, Name: p.Name(), Key: k, Builder: sub.Name(), Detail: err.Error()})
		return false, nil
	}
	have, err := s.have(outputs{"": p})
	if have == nil || err != nil {
		return false, err
	}
	s.event(Event{Kind: EventFetch, Name: p.Name(), Key: k, Builder: sub.Name()})
	return true, nil
}
