// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package realise

import (
	"sync"

	"osbuild/builder/derivation"
	"osbuild/store"
)

// What a derivation gives can often be told before any of its inputs is here:
// each input's output is known from here or from a substituter, so the
// resolved key is, and so on up to what was asked for. Then only that is
// fetched, with what it refers to, and nothing that was needed to build it.

// located is what is known of a derivation's outputs.
type located struct {
	done chan struct{}
	// build has the resolved key; nil where the inputs are not known, and for
	// a fixed hash, which needs none.
	build *build
	// outs is nil where nothing is known before a build. They need not be in
	// the store.
	outs outputs
	// from is the substituter that told them, "" where they are known here.
	from string
	err  error
}

// locations are those of one session.
type locations struct {
	mu    sync.Mutex
	drvs  map[derivation.Key]*located
	tried map[derivation.Key]bool // whose outputs no substituter gave
}

// locate finds out what a derivation gives, and brings nothing here.
func (s *session) locate(k derivation.Key) *located {
	l := &s.locations
	l.mu.Lock()
	defer l.mu.Unlock()
	if found := l.drvs[k]; found != nil {
		return found
	}
	found := &located{done: make(chan struct{})}
	if l.drvs == nil {
		l.drvs = map[derivation.Key]*located{}
	}
	l.drvs[k] = found
	s.wait.Go(func() {
		defer close(found.done)
		if d, ok := s.g.Derivation(k); ok {
			found.err = s.find(k, d, found)
		}
	})
	return found
}

func (s *session) find(k derivation.Key, d *derivation.Derivation, found *located) (err error) {
	if found.outs, err = s.known(k, d); found.outs != nil || err != nil {
		return err
	}
	if d.Fixed != nil {
		p, err := fixedPath(d)
		found.outs = outputs{"out": p}
		return err
	}
	inputs := make([]*located, len(d.Inputs))
	for i, in := range d.Inputs {
		if in.Drv != "" {
			inputs[i] = s.locate(in.Drv)
		}
	}
	paths := make(map[derivation.Input]store.Path, len(d.Inputs))
	for i, in := range d.Inputs {
		if in.Drv == "" {
			paths[in] = in.Path
			continue
		}
		select {
		case <-inputs[i].done:
		case <-s.ctx.Done():
			return s.ctx.Err()
		}
		if paths[in] = inputs[i].outs[in.Output]; inputs[i].err != nil || paths[in] == "" {
			return inputs[i].err
		}
	}
	resolved, err := d.Resolve(paths)
	if err != nil {
		return err
	}
	found.build = &build{s: s, key: k, drv: d, resolved: resolved, rkey: resolved.Key()}
	if found.outs, err = s.realisation(found.build); found.outs != nil || err != nil {
		return err
	}
	for _, sub := range s.Substituters {
		if found.outs, err = found.build.askFor(sub); found.outs != nil || err != nil {
			found.from = sub.Name()
			return err
		}
	}
	s.locations.fail(k)
	return nil
}

// askFor asks a substituter what the build gave; nil means that it does not
// know, or nothing that fits.
func (b *build) askFor(sub Substituter) (outputs, error) {
	outs, err := sub.Realisation(b.s.ctx, b.rkey)
	if b.s.ctx.Err() != nil {
		return nil, b.s.ctx.Err()
	}
	if err != nil {
		b.event(Event{Kind: EventUnavailable, Builder: sub.Name(), Detail: err.Error()})
		return nil, nil
	}
	if !fits(outs, b.drv) {
		return nil, nil
	}
	return outs, nil
}

// fetchLocated fetches the outputs of a derivation whose inputs need not be
// here; nil means that they must be.
func (s *session) fetchLocated(k derivation.Key, d *derivation.Derivation) (outputs, error) {
	if len(s.Substituters) == 0 {
		return nil, nil
	}
	found := s.locate(k)
	select {
	case <-found.done:
	case <-s.ctx.Done():
		return nil, s.ctx.Err()
	}
	if found.outs == nil || found.err != nil {
		return nil, found.err
	}
	if found.build == nil && d.Fixed == nil {
		return found.outs, nil // from the memo
	}
	for _, o := range d.Outputs {
		ok, err := s.fetchAny(found.outs[o], k)
		if err != nil {
			return nil, err
		}
		if !ok {
			s.locations.fail(k)
			return nil, nil
		}
	}
	if found.build == nil {
		return found.outs, nil
	}
	outs, err := s.register(found.build, found.outs, true)
	if err != nil {
		return nil, err
	}
	return outs, s.remember(k, d, found.build.rkey, outs)
}

// fetchAny makes an item valid that may be here or elsewhere.
func (s *session) fetchAny(p store.Path, k derivation.Key) (bool, error) {
	have, err := s.have(outputs{"": p})
	if have != nil || err != nil {
		return have != nil, err
	}
	for _, sub := range s.Substituters {
		ok, err := s.fetch(sub, p, k)
		if ok || err != nil {
			return ok, err
		}
	}
	return false, nil
}

// fail notes that the outputs of a derivation cannot be had from elsewhere,
// so that nobody asks again once its inputs are here.
func (l *locations) fail(k derivation.Key) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.tried == nil {
		l.tried = map[derivation.Key]bool{}
	}
	l.tried[k] = true
}

func (l *locations) failed(k derivation.Key) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.tried[k]
}
