// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package cache

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"osbuild/store"
	"osbuild/store/cache/narinfo"
	"osbuild/store/cache/policy"
	"osbuild/store/cache/signature"
)

// usedFor says whether the cache may be used for what a rule decides.
func (c *Cache) usedFor(r *policy.Rule) bool {
	return len(c.Rules) == 0 || slices.Contains(c.Rules, r.Name)
}

// Believe says whether the policy takes what c tells of n, and which rule
// says so: nil where nobody's word is needed. Other caches are asked for
// signatures that c lacks; those that count are added to n.
func (p *Puller) Believe(ctx context.Context, c *Cache, n *narinfo.Narinfo) (*policy.Rule, error) {
	if n.CA != "" {
		// The path follows from the content, which is checked when it is here.
		if err := store.CheckAddress(n.Info); err != nil {
			return nil, err
		}
	}
	rule, err := p.policy().ForItem(n.Info)
	if rule == nil || err != nil {
		return nil, refuse(err)
	}
	return rule, p.satisfied(ctx, rule, c, n)
}

// policy is what was set, or one that believes nothing that needs a signature.
func (p *Puller) policy() *policy.Policy {
	if p.Policy == nil {
		return policy.Any(nil)
	}
	return p.Policy
}

// refuse makes what the policy does not take the cache's fault.
func refuse(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", store.ErrWrong, err)
}

// satisfied says whether enough keys of a rule have signed an item that c
// has.
func (p *Puller) satisfied(ctx context.Context, rule *policy.Rule, c *Cache, n *narinfo.Narinfo) error {
	if !c.usedFor(rule) {
		return refuse(fmt.Errorf("this cache is not used for what the rule %q decides", rule.Name))
	}
	if c.Trusted {
		return nil
	}
	text := signature.Item(n.Info)
	lacking := rule.Check(text, n.Sigs)
	for _, other := range p.Caches {
		if lacking == nil {
			return nil
		}
		if other == c || !other.usedFor(rule) {
			continue
		}
		m, err := other.Narinfo(ctx, n.Path)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		// What else is wrong with it will show if it is asked for more.
		if err == nil && signature.Item(m.Info) == text {
			n.Sigs = merge(n.Sigs, rule.Keys.Valid(text, m.Sigs))
			lacking = rule.Check(text, n.Sigs)
		}
	}
	return refuse(lacking)
}

// merge adds signatures that are not there yet. What is added comes first, so
// that nobody hides it behind many that are worth nothing.
func merge(sigs, more []string) []string {
	for _, s := range more {
		if !slices.Contains(sigs, s) {
			sigs = slices.Insert(slices.Clone(sigs), 0, s)
		}
	}
	return sigs
}

// believeClosures holds the rules that reach further than what they match:
// all that the item needs and that is wanted, too, must satisfy them.
func (p *Puller) believeClosures(ctx context.Context, list []wanted) error {
	index := make(map[store.Path]int, len(list))
	for k, w := range list {
		index[w.info.Path] = k
	}
	for k := range list {
		rule, err := p.policy().ForItem(list[k].info.Info)
		if err != nil {
			return refuse(err)
		}
		if rule == nil || !rule.Closure {
			continue
		}
		if err := p.believeClosure(ctx, rule, list, index, k); err != nil {
			return err
		}
	}
	return nil
}

func (p *Puller) believeClosure(ctx context.Context, rule *policy.Rule, list []wanted, index map[store.Path]int, from int) error {
	todo := []int{from}
	for len(todo) > 0 {
		k := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		w := &list[k]
		if slices.Contains(w.rules, rule) {
			continue // and all that it needs was looked at
		}
		w.rules = append(w.rules, rule)
		if err := p.satisfiedToo(ctx, w); err != nil {
			// Another cache may have it with other bytes and more signatures.
			next, found := p.another(ctx, *w, p.Caches[slices.Index(p.Caches, w.from)+1:])
			if found != nil {
				return fmt.Errorf("cannot take %s from %s, which %s needs: %w", w.info.Path, w.from, list[from].info.Path, err)
			}
			*w = next
		}
		for _, r := range w.info.References {
			if at, ok := index[r]; ok {
				todo = append(todo, at)
			}
		}
	}
	return nil
}

// satisfiedToo says whether a wanted item satisfies the rules of what needs
// it. A path that follows from its content needs no more than that, unless the
// rule is for such.
func (p *Puller) satisfiedToo(ctx context.Context, w *wanted) error {
	for _, rule := range w.rules {
		if w.info.CA != "" && rule.For != policy.Addressed {
			continue
		}
		if err := p.satisfied(ctx, rule, w.from, &w.info); err != nil {
			return err
		}
	}
	return nil
}

// claim is what some caches say a build gave.
type claim struct {
	Realisation
	by    []*Cache // that say so
	rules []*policy.Rule
	// trusted are the rules for which the word of a cache suffices, and
	// counting the signatures that count.
	trusted  map[*policy.Rule]bool
	counting map[*policy.Rule][]string
	refused  error // by the policy, whatever the signatures
}

// Realisation tells what the derivation with this resolved key gave, with the
// signatures of all caches that were asked, and the cache that settled it. The
// error wraps [store.ErrNotFound] where no cache knows, or too few are
// believed.
func (p *Puller) Realisation(ctx context.Context, resolved string) (Realisation, *Cache, error) {
	var failed []error
	var claims []*claim
	for _, c := range p.Caches {
		r, err := c.Realisation(ctx, resolved)
		switch {
		case ctx.Err() != nil:
			return r, nil, ctx.Err()
		case err == nil:
			k := slices.IndexFunc(claims, func(o *claim) bool { return o.Fingerprint() == r.Fingerprint() })
			if k < 0 {
				k, claims = len(claims), append(claims, p.newClaim(r))
			}
			if claims[k].hear(c, r.Signatures); claims[k].lacking() == nil {
				return claims[k].Realisation, c, nil
			}
		case !errors.Is(err, store.ErrNotFound):
			failed = append(failed, err)
		}
	}
	for _, k := range claims {
		p.warnOnce(k.complaint())
	}
	if len(failed) > 0 {
		return Realisation{}, nil, errors.Join(failed...)
	}
	return Realisation{}, nil, fmt.Errorf("cannot find a realisation: %w", store.ErrNotFound)
}

func (p *Puller) newClaim(r Realisation) *claim {
	k := &claim{Realisation: r, trusted: make(map[*policy.Rule]bool), counting: make(map[*policy.Rule][]string)}
	k.rules, k.refused = p.policy().ForOutputs(r.Outputs)
	return k
}

// hear notes that a cache says so, with these signatures.
func (k *claim) hear(c *Cache, sigs []string) {
	k.by = append(k.by, c)
	for _, rule := range k.rules {
		if !c.usedFor(rule) {
			continue
		}
		k.trusted[rule] = k.trusted[rule] || c.Trusted
		valid := rule.Keys.Valid(k.Fingerprint(), sigs)
		k.counting[rule] = merge(k.counting[rule], valid)
		k.Signatures = merge(k.Signatures, valid)
	}
}

// lacking is nil where the claim is believed.
func (k *claim) lacking() error {
	if k.refused != nil {
		return k.refused
	}
	for _, rule := range k.rules {
		if k.trusted[rule] {
			continue
		}
		if err := rule.Check(k.Fingerprint(), k.counting[rule]); err != nil {
			return err
		}
	}
	return nil
}

// complaint says why a claim is not believed.
func (k *claim) complaint() string {
	names := make([]string, len(k.by))
	for i, c := range k.by {
		names[i] = c.String()
	}
	err := k.lacking()
	text := fmt.Sprintf("what %s knows of builds ", strings.Join(names, " and "))
	var lacking *policy.LackingError
	if errors.As(err, &lacking) && lacking.Rule.Place == "" {
		return text + "is not signed by a trusted key, so it is not used (see --trusted-keys)"
	}
	return fmt.Sprintf("%sis not used: %v", text, err)
}

func (p *Puller) warnOnce(text string) {
	if _, before := p.warned.LoadOrStore(text, true); !before && p.Warn != nil {
		p.Warn(text)
	}
}
