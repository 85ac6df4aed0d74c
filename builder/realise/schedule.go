// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package realise

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"osbuild/builder/derivation"
	"osbuild/store"
)

// Realise makes sure that the targets, placeholders or paths of g, are in the
// store, and gives their items in the same order. A target may go on behind
// the item ("…-nginx/bin/nginx"); the item is what is realised.
//
// A failure of one build stops the others. Nothing is left then but whole
// items; a cancelled context ends in the same way.
func (r *Realiser) Realise(ctx context.Context, g *derivation.Graph, targets ...string) ([]store.Path, error) {
	s, done := r.session(ctx, g)
	defer done()
	refs := make([]derivation.Ref, len(targets))
	inputs := make([]derivation.Input, len(targets))
	for i, t := range targets {
		ref, _, ok := g.Split(t)
		if !ok {
			return nil, fmt.Errorf("cannot build %q: it is no item of this declaration", t)
		}
		refs[i], inputs[i] = ref, derivation.Input{Drv: ref.Drv, Output: ref.Output, Path: ref.Path}
	}
	outs, err := s.ensureAll(inputs)
	if err != nil {
		return nil, err
	}
	paths := make([]store.Path, len(targets))
	for i := range targets {
		paths[i] = outs[inputs[i]]
	}
	return paths, nil
}

// maxDownloads is how many downloads run at once, on small machines too.
const maxDownloads = 8

// outputs maps the outputs of a derivation to items.
type outputs = map[string]store.Path

// session is one call of Realise or Check: it does each thing once.
type session struct {
	*Realiser
	g      *derivation.Graph
	ctx    context.Context
	cancel context.CancelCauseFunc
	// slots bounds the work that is done at once, downloads the downloads.
	// Nobody waits for a lock or for another job while holding a slot.
	slots, downloads *slots
	wait             sync.WaitGroup

	mu    sync.Mutex
	drvs  map[derivation.Key]*job
	paths map[store.Path]*job
	refs  map[store.Path][]store.Path
	// downloaded says that a download was queued.
	downloaded atomic.Bool
	locations  locations
}

// job is something that is done once and awaited by many.
type job struct {
	done chan struct{}
	outs outputs
	err  error
}

// session begins one; the function ends it, and waits for all of its work.
func (r *Realiser) session(ctx context.Context, g *derivation.Graph) (*session, func()) {
	s := &session{
		Realiser:  r,
		g:         g,
		slots:     newSlots(max(r.Jobs, 1)),
		downloads: newSlots(max(r.Jobs, maxDownloads)),
		drvs:      map[derivation.Key]*job{},
		paths:     map[store.Path]*job{},
		refs:      map[store.Path][]store.Path{},
	}
	s.ctx, s.cancel = context.WithCancelCause(ctx)
	return s, func() {
		s.cancel(nil)
		s.wait.Wait()
		if s.downloaded.Load() {
			s.event(Event{Kind: EventDownloaded})
		}
	}
}

// once gives the job in m for key, started by the first who asks. A failure
// stops everything else: nothing that is asked for can succeed any more.
func once[K comparable](s *session, m map[K]*job, key K, do func() (outputs, error)) *job {
	s.mu.Lock()
	defer s.mu.Unlock()
	if j := m[key]; j != nil {
		return j
	}
	j := &job{done: make(chan struct{})}
	m[key] = j
	s.wait.Go(func() {
		defer close(j.done)
		if j.err = s.ctx.Err(); j.err == nil {
			j.outs, j.err = do()
		}
		if j.err != nil {
			s.cancel(j.err)
		}
	})
	return j
}

// result waits for a job. A job that was stopped because another one failed
// gives that one's error, which is the reason.
func (s *session) result(j *job) (outputs, error) {
	<-j.done
	if j.err == nil {
		return j.outs, nil
	}
	if cause := context.Cause(s.ctx); cause != nil && (errors.Is(j.err, context.Canceled) || errors.Is(j.err, context.DeadlineExceeded)) {
		return nil, cause
	}
	return nil, j.err
}

// ensureAll realises inputs side by side and gives their paths.
func (s *session) ensureAll(inputs []derivation.Input) (map[derivation.Input]store.Path, error) {
	jobs := make([]*job, len(inputs))
	for i, in := range inputs {
		if in.Drv == "" {
			jobs[i] = s.path(in.Path)
		} else {
			jobs[i] = s.derivation(in.Drv)
		}
	}
	paths := make(map[derivation.Input]store.Path, len(inputs))
	for i, in := range inputs {
		outs, err := s.result(jobs[i])
		if err != nil {
			return nil, err
		}
		if in.Drv == "" {
			paths[in] = in.Path
		} else if paths[in] = outs[in.Output]; paths[in] == "" {
			return nil, fmt.Errorf("cannot use output %q of derivation %s: it has none of that name", in.Output, in.Drv)
		}
	}
	return paths, nil
}

func (s *session) path(p store.Path) *job {
	return once(s, s.paths, p, func() (outputs, error) { return nil, s.ensurePath(p) })
}

func (s *session) derivation(k derivation.Key) *job {
	return once(s, s.drvs, k, func() (outputs, error) {
		d, ok := s.g.Derivation(k)
		if !ok {
			return nil, fmt.Errorf("cannot build %s: it is no derivation of this declaration", k)
		}
		return s.ensureDerivation(k, d)
	})
}

// ensureDerivation realises one derivation in the cheapest way there is.
func (s *session) ensureDerivation(k derivation.Key, d *derivation.Derivation) (outputs, error) {
	outs, err := s.known(k, d)
	if outs != nil || err != nil {
		return outs, err
	}
	if outs, err = s.fetchLocated(k, d); outs != nil || err != nil {
		return outs, err
	}
	inputs, err := s.ensureAll(d.Inputs)
	if err != nil {
		return nil, err
	}
	resolved, err := d.Resolve(inputs)
	if err != nil {
		return nil, err
	}
	b := &build{s: s, key: k, drv: d, resolved: resolved, rkey: resolved.Key()}
	if outs, err = s.realisation(b); err != nil {
		return nil, err
	}
	if outs == nil {
		if outs, err = b.obtain(); err != nil {
			return nil, err
		}
	}
	return outs, s.remember(k, d, b.rkey, outs)
}

// known gives the outputs of d where they can be told without its inputs: it
// was realised before, or its hash is fixed and the item is there.
func (s *session) known(k derivation.Key, d *derivation.Derivation) (outputs, error) {
	if d.Fixed != nil {
		p, err := fixedPath(d)
		if err != nil {
			return nil, s.buildError(k, d, err)
		}
		return s.have(outputs{"out": p})
	}
	return s.memo(k, d)
}

// have gives outs when all of them are valid, and nil otherwise. It leases
// them first, so that none can go away after it was found.
func (s *session) have(outs outputs) (outputs, error) {
	for _, p := range outs {
		if err := s.Lease.Add(p); err != nil {
			return nil, err
		}
	}
	for _, p := range outs {
		if !s.Store.Valid(p) {
			return nil, nil
		}
	}
	return outs, nil
}

// slot waits for the right to work; the function gives it back.
func (s *session) slot() (release func(), err error) { return s.slots.take(s.ctx, 0) }

// closure gives the items that paths refer to, themselves included, sorted.
func (s *session) closure(paths []store.Path) ([]store.Path, error) {
	seen := map[store.Path]bool{}
	todo := append([]store.Path(nil), paths...)
	for len(todo) > 0 {
		p := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if seen[p] {
			continue
		}
		seen[p] = true
		refs, err := s.references(p)
		if err != nil {
			return nil, err
		}
		todo = append(todo, refs...)
	}
	return sortedKeys(seen), nil
}

func (s *session) references(p store.Path) ([]store.Path, error) {
	s.mu.Lock()
	refs, ok := s.refs[p]
	s.mu.Unlock()
	if ok {
		return refs, nil
	}
	info, err := s.Store.Info(p)
	if err != nil {
		return nil, fmt.Errorf("cannot read what %s refers to: %w", p, err)
	}
	s.mu.Lock()
	s.refs[p] = info.References
	s.mu.Unlock()
	return info.References, nil
}
