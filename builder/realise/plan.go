// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package realise

import (
	"context"
	"fmt"

	"osbuild/builder/derivation"
	"osbuild/store"
)

// Plan is what Realise would do, each list in an order in which it can be
// done.
type Plan struct {
	// Add are the texts and local files that are not in the store.
	Add []store.Path `json:"add,omitempty"`
	// Fetch are the items that a substituter has.
	Fetch []FetchItem `json:"fetch,omitempty"`
	// Build are the derivations that must be built.
	Build []PlanItem `json:"build,omitempty"`
}

// FetchItem is an item that a substituter has.
type FetchItem struct {
	Path store.Path `json:"path"`
	// From is the substituter, "" where it shows only when it is fetched.
	From string `json:"from,omitempty"`
}

// PlanItem is one derivation.
type PlanItem struct {
	Name    string         `json:"name"`
	Key     derivation.Key `json:"key"`
	Builder string         `json:"builder"`
	// Pos is where it was declared, "" where that is unknown.
	Pos string `json:"pos,omitempty"`
	// Maybe says that inputs must be built first, and that this build falls
	// away if they turn out the same as before.
	Maybe bool `json:"maybe,omitempty"`
}

// Plan tells what Realise would do for these targets, and does nothing.
func (r *Realiser) Plan(ctx context.Context, g *derivation.Graph, targets ...string) (Plan, error) {
	s, done := r.session(ctx, g)
	defer done()
	p := &planner{session: s, drvs: map[derivation.Key]outputs{}, paths: map[store.Path]bool{}}
	for _, t := range targets {
		ref, _, ok := g.Split(t)
		if !ok {
			return Plan{}, fmt.Errorf("cannot build %q: it is no item of this declaration", t)
		}
		var err error
		if ref.Kind == derivation.KindDerivation {
			_, err = p.derivation(ref.Drv)
		} else {
			err = p.path(ref.Path)
		}
		if err != nil {
			return Plan{}, err
		}
	}
	return p.plan, nil
}

// planner walks the way that a session goes, and writes down what it would do.
type planner struct {
	*session
	plan Plan
	// drvs holds the outputs of what was visited, nil where they are not
	// known before a build.
	drvs  map[derivation.Key]outputs
	paths map[store.Path]bool
}

func (p *planner) derivation(k derivation.Key) (outputs, error) {
	if outs, ok := p.drvs[k]; ok {
		return outs, nil
	}
	d, ok := p.g.Derivation(k)
	if !ok {
		return nil, fmt.Errorf("cannot build %s: it is no derivation of this declaration", k)
	}
	outs, err := p.visit(k, d)
	if err != nil {
		return nil, err
	}
	p.drvs[k] = outs
	return outs, nil
}

func (p *planner) visit(k derivation.Key, d *derivation.Derivation) (outputs, error) {
	outs, err := p.known(k, d)
	if outs != nil || err != nil {
		return outs, err
	}
	if outs, err = p.located(k, d); outs != nil || err != nil {
		return outs, err
	}
	item := PlanItem{Name: d.Name, Key: k, Builder: d.Builder, Pos: d.Pos.String()}
	paths := map[derivation.Input]store.Path{}
	for _, in := range d.Inputs {
		if in.Drv == "" {
			if err := p.path(in.Path); err != nil {
				return nil, err
			}
			continue
		}
		outs, err := p.derivation(in.Drv)
		if err != nil {
			return nil, err
		}
		if outs == nil {
			item.Maybe = true
		}
		paths[in] = outs[in.Output]
	}
	if !item.Maybe {
		resolved, err := d.Resolve(paths)
		if err != nil {
			return nil, err
		}
		b := &build{s: p.session, key: k, drv: d, resolved: resolved, rkey: resolved.Key()}
		outs, err := p.realisation(b)
		if outs != nil || err != nil {
			return outs, err
		}
	}
	p.plan.Build = append(p.plan.Build, item)
	if d.Fixed != nil {
		out, err := fixedPath(d)
		return outputs{"out": out}, err
	}
	return nil, nil
}

// located finds what can be told of a derivation's outputs before any of its
// inputs is here, and plans to fetch them. Whether a substituter really has a
// path shows only when it is fetched, so one with a fixed hash is not counted
// on.
func (p *planner) located(k derivation.Key, d *derivation.Derivation) (outputs, error) {
	if len(p.Substituters) == 0 || d.Fixed != nil {
		return nil, nil
	}
	found := p.locate(k)
	<-found.done
	if found.outs == nil || found.err != nil {
		return nil, found.err
	}
	have, err := p.have(found.outs)
	if have != nil || err != nil {
		return have, err
	}
	for _, o := range d.Outputs {
		p.plan.Fetch = append(p.plan.Fetch, FetchItem{Path: found.outs[o], From: found.from})
	}
	return found.outs, nil
}

func (p *planner) path(path store.Path) error {
	if p.paths[path] {
		return nil
	}
	p.paths[path] = true
	have, err := p.have(outputs{"": path})
	if have != nil || err != nil {
		return err
	}
	t, text := p.g.TextItem(path)
	for _, ref := range t.Refs {
		if err := p.path(ref); err != nil {
			return err
		}
	}
	_, source := p.g.SourceItem(path)
	switch {
	case text || source:
		p.plan.Add = append(p.plan.Add, path)
	case len(p.Substituters) > 0:
		p.plan.Fetch = append(p.plan.Fetch, FetchItem{Path: path})
	default:
		return p.fetchPath(path)
	}
	return nil
}
