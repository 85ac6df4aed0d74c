// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

// Package policy says whose word counts for what caches tell: which keys, how
// many of them, and for what.
//
// It owns the file that says so, and the decision. It never asks a cache, and
// it does not know how a signature is made. Start with [Parse] and
// [Policy.ForItem].
package policy

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"osbuild/store"
	"osbuild/store/cache/signature"
)

// Subject is what a rule is for.
type Subject string

const (
	// Realisations say what builds gave.
	Realisations Subject = "realisations"
	// Items are those without a content address: their paths prove nothing.
	Items Subject = "items"
	// Addressed are items with a content address. They need no signature,
	// unless a rule wants one.
	Addressed Subject = "content-addressed"
)

var subjects = []Subject{Realisations, Items, Addressed}

// Policy is a set of rules. The zero Policy believes nothing that needs a
// signature.
type Policy struct {
	// Keys are all that the rules may name.
	Keys signature.Trust
	// Rules in their order: the first one that is for a thing decides.
	Rules []*Rule
	// Caches are those that the file names.
	Caches []Cache
	// File is where it was read, "" where options say it.
	File string
}

// Cache is a cache that a policy names.
type Cache struct {
	URL string
	// Trusted says that what it tells needs no signature.
	Trusted bool
	// Rules name those for which it is used; none means all.
	Rules []string
}

// Rule says whose signatures one kind of things needs.
type Rule struct {
	Name string
	For  Subject
	// Names are patterns of [path.Match], of which one must fit; none is all.
	Names []string
	Keys  signature.Trust
	// Signatures is how many different keys must have signed.
	Signatures int
	// Closure says that what a thing needs must satisfy the rule, too.
	Closure bool
	// Place is where the rule stands: FILE:LINE:COLUMN; "" where options
	// stand for it.
	Place string
}

// Any is the policy that one signature of any of these keys suffices.
func Any(keys signature.Trust) *Policy {
	p := &Policy{Keys: keys}
	p.simple()
	return p
}

// simple sets the rules that hold where none are written.
func (p *Policy) simple() {
	for _, s := range []Subject{Realisations, Items} {
		p.Rules = append(p.Rules, &Rule{Name: "any key", For: s, Keys: p.Keys, Signatures: 1})
	}
}

// ForItem gives the rule that decides on an item, nil where it needs nobody's
// word.
func (p *Policy) ForItem(i store.Info) (*Rule, error) {
	if i.CA != "" {
		return p.find(Addressed, i.Path.Name()), nil
	}
	if r := p.find(Items, i.Path.Name()); r != nil {
		return r, nil
	}
	return nil, p.noRule(Items, i.Path.Name())
}

// ForOutputs gives the rules that decide on what a build gave, each once.
func (p *Policy) ForOutputs(outputs map[string]store.Path) ([]*Rule, error) {
	var rules []*Rule
	for _, path := range outputs {
		r := p.find(Realisations, path.Name())
		if r == nil {
			return nil, p.noRule(Realisations, path.Name())
		}
		if !slices.Contains(rules, r) {
			rules = append(rules, r)
		}
	}
	// In the order of the file, so that errors are the same each time.
	slices.SortFunc(rules, func(a, b *Rule) int { return slices.Index(p.Rules, a) - slices.Index(p.Rules, b) })
	return rules, nil
}

// noRule refuses what no rule is for.
func (p *Policy) noRule(s Subject, name string) error {
	file := p.File
	if file == "" {
		file = "no file"
	}
	return fmt.Errorf("no rule of %s is for %s named %q (add one, see docs/cache.md)", file, s, name)
}

func (p *Policy) find(s Subject, name string) *Rule {
	for _, r := range p.Rules {
		if r.For == s && r.matches(name) {
			return r
		}
	}
	return nil
}

func (r *Rule) matches(name string) bool {
	for _, pattern := range r.Names {
		if ok, err := path.Match(pattern, name); err == nil && ok {
			return true
		}
	}
	return len(r.Names) == 0
}

// String names the rule for people.
func (r *Rule) String() string {
	if r.Place == "" {
		return "what counts is " + r.Wants()
	}
	return fmt.Sprintf("the rule %q (%s) wants %s", r.Name, r.Place, r.Wants())
}

// Wants says whose signatures, for people.
func (r *Rule) Wants() string {
	names := make([]string, len(r.Keys))
	for k, key := range r.Keys {
		names[k] = key.Name()
	}
	switch {
	case len(names) == 0:
		return "a signature, and no key is trusted"
	case r.Signatures == 1:
		return "a signature of " + join(names, "or")
	case r.Signatures == len(names):
		return "signatures of " + join(names, "and")
	}
	return fmt.Sprintf("signatures of %d of %s", r.Signatures, join(names, "and"))
}

func join(names []string, last string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	end := len(names) - 1
	return strings.Join(names[:end], ", ") + " " + last + " " + names[end]
}

// LackingError says that too few of a rule's keys have signed.
type LackingError struct {
	Rule *Rule
	// Found are the names of those that have.
	Found []string
	// Signed says that there are signatures at all.
	Signed bool
}

func (e *LackingError) Error() string {
	switch {
	case e.Rule.Place != "" && len(e.Found) > 0:
		return fmt.Sprintf("%s, and of these it has %d: %s", e.Rule, len(e.Found), join(e.Found, "and"))
	case e.Rule.Place != "":
		return fmt.Sprintf("%s, and of these it has none", e.Rule)
	case e.Rule.For == Items && e.Signed:
		return "it has no content address, and no signature of a trusted key (trust its key with --trusted-keys)"
	case e.Rule.For == Items:
		return "it has neither a content address nor a signature"
	}
	return "it has no signature of a trusted key (trust its key with --trusted-keys)"
}

// Check says whether enough keys have signed a text: nil, or a
// [LackingError].
func (r *Rule) Check(text string, sigs []string) error {
	found := r.Keys.Signers(text, sigs)
	if len(found) >= max(r.Signatures, 1) {
		return nil
	}
	return &LackingError{Rule: r, Found: found, Signed: len(sigs) > 0}
}
