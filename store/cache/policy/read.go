// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"osbuild/store/cache/signature"
)

// Version is that of the file's format, and the only one that is read.
const Version = 1

// maxFile bounds the file.
const maxFile = 1 << 20

// shape is shown where a file is something else.
const shape = `(it holds {"substituters": [URL…], "trustedKeys": [KEY…], "rules": [{…}…]})`

// Parse reads the text of a policy file. Errors begin with the place in it.
func Parse(file string, text []byte) (*Policy, error) {
	if len(text) > maxFile {
		return nil, fmt.Errorf("%s: cannot read which caches to use: it has more than %d bytes", file, maxFile)
	}
	r := &reader{file: file, text: text, policy: &Policy{File: file}}
	tree, err := parseTree(text)
	if err == nil {
		err = r.top(tree)
	}
	var where *located
	if errors.As(err, &where) {
		return nil, fmt.Errorf("%s: cannot read which caches to use: %w", position(file, text, where.at), err)
	}
	return r.policy, err
}

// reader makes a policy of a tree of values.
type reader struct {
	file   string
	text   []byte
	policy *Policy
}

// object calls a function for each field of an object.
func object(n node, what string, take map[string]func(node) error) error {
	if n.kind != anEntry {
		return at(n.at, "%s stands where %s should %s", n.kind, what, shape)
	}
	known := make([]string, 0, len(take))
	for name := range take {
		known = append(known, name)
	}
	slices.Sort(known)
	for _, f := range n.fields {
		do, ok := take[f.name]
		if !ok {
			return at(f.at, "%s has no field %.60q; it has %s", what, f.name, strings.Join(known, ", "))
		}
		if err := do(f.node); err != nil {
			return err
		}
	}
	return nil
}

// list calls a function for each value of a list.
func list(n node, what string, take func(node) error) error {
	if n.kind != aList {
		return at(n.at, "%s should be a list, not %s", what, n.kind)
	}
	for _, v := range n.list {
		if err := take(v); err != nil {
			return err
		}
	}
	return nil
}

// text gives a text that is not empty.
func text(n node, what string) (string, error) {
	s, ok := n.value.(string)
	if !ok {
		return "", at(n.at, "%s should be a text, not %s", what, n.kind)
	}
	if s == "" || len(s) > 4096 || strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c == 0x7f }) {
		return "", at(n.at, "%s should be a text of one line that is not empty", what)
	}
	return s, nil
}

func truth(n node, what string) (bool, error) {
	b, ok := n.value.(bool)
	if !ok {
		return false, at(n.at, "%s should be true or false, not %s", what, n.kind)
	}
	return b, nil
}

// number gives a whole number from 1 on.
func number(n node, what string) (int, error) {
	k, err := strconv.Atoi(fmt.Sprint(n.value))
	if n.kind != aNumber || err != nil || k < 1 {
		return 0, at(n.at, "%s should be a whole number of at least 1", what)
	}
	return k, nil
}

func (r *reader) top(n node) error {
	versioned, rules := false, node{}
	var caches []func() error // checked when the rules are known
	err := object(n, "the file", map[string]func(node) error{
		"version": func(n node) error {
			versioned = true
			v, err := number(n, "version")
			if err == nil && v != Version {
				err = at(n.at, "it has the version %d, and this osbuild knows %d", v, Version)
			}
			return err
		},
		"substituters": func(n node) error {
			return list(n, "substituters", func(n node) error {
				check, err := r.cache(n)
				caches = append(caches, check)
				return err
			})
		},
		"trustedKeys": func(n node) error { return list(n, "trustedKeys", r.key) },
		"rules": func(n node) error {
			rules = n
			return list(n, "rules", func(node) error { return nil })
		},
	})
	if err != nil {
		return err
	}
	if rules.kind == "" {
		r.policy.simple()
	} else if err := r.rules(rules, versioned); err != nil {
		return err
	}
	for _, check := range caches {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func (r *reader) rules(n node, versioned bool) error {
	switch {
	case !versioned:
		return at(n.at, `a file with rules says which version they have: add "version": %d`, Version)
	case len(n.list) == 0:
		return at(n.at, "an empty list of rules would refuse all; leave it out, and one signature of any key suffices")
	}
	return list(n, "rules", r.rule)
}

// cache reads a cache, and gives what to check when the rules are known.
func (r *reader) cache(n node) (check func() error, err error) {
	c := Cache{}
	var limits node
	take := func(n node) (err error) {
		c.URL, err = text(n, "the URL of a substituter")
		return err
	}
	if n.kind == aText {
		err = take(n)
	} else {
		err = object(n, "a substituter", map[string]func(node) error{
			"url":     take,
			"trusted": func(n node) (err error) { c.Trusted, err = truth(n, "trusted"); return err },
			"rules": func(n node) error {
				limits = n
				return list(n, "the rules of a substituter", func(n node) error {
					name, err := text(n, "the name of a rule")
					c.Rules = append(c.Rules, name)
					return err
				})
			},
		})
	}
	if err == nil && c.URL == "" {
		err = at(n.at, "a substituter needs a url")
	}
	r.policy.Caches = append(r.policy.Caches, c)
	return func() error { return r.limits(limits) }, err
}

// limits checks the names of rules to which a cache is limited.
func (r *reader) limits(n node) error {
	if n.kind == "" {
		return nil
	}
	if len(n.list) == 0 {
		return at(n.at, "the rules of a substituter are an empty list, so it is of no use; leave them out, and it is used for all")
	}
	for k, name := range n.list {
		named := func(rule *Rule) bool { return rule.Place != "" && rule.Name == name.value }
		if !slices.ContainsFunc(r.policy.Rules, named) {
			return at(name.at, "there is no rule %q", name.value)
		}
		if slices.ContainsFunc(n.list[:k], func(other node) bool { return other.value == name.value }) {
			return at(name.at, "the rule %q comes twice", name.value)
		}
	}
	return nil
}

func (r *reader) key(n node) error {
	s, err := text(n, "a key")
	if err != nil {
		return err
	}
	key, err := signature.ParsePublic(s)
	if err != nil {
		return at(n.at, "%w", err)
	}
	for _, other := range r.policy.Keys {
		switch {
		case other.Same(key) && other.Name() == key.Name():
			return at(n.at, "the key %s comes twice", key.Name())
		case other.Same(key):
			return at(n.at, "the key %s is the key %s under another name", key.Name(), other.Name())
		case other.Name() == key.Name():
			return at(n.at, "two keys have the name %s, so no rule could tell which it means", key.Name())
		}
	}
	r.policy.Keys = append(r.policy.Keys, key)
	return nil
}

func (r *reader) rule(n node) error {
	rule := &Rule{Signatures: 1, Place: position(r.file, r.text, n.at)}
	count := n // where the number stands
	err := object(n, "a rule", map[string]func(node) error{
		"name":    func(n node) error { return r.ruleName(n, rule) },
		"for":     func(n node) error { return r.ruleFor(n, rule) },
		"names":   func(n node) error { return r.ruleNames(n, rule) },
		"keys":    func(n node) error { return r.ruleKeys(n, rule) },
		"closure": func(n node) (err error) { rule.Closure, err = truth(n, "closure"); return err },
		"signatures": func(n node) (err error) {
			count = n
			rule.Signatures, err = number(n, "signatures")
			return err
		},
	})
	switch {
	case err != nil:
		return err
	case rule.Name == "":
		return at(n.at, "a rule needs a name")
	case rule.For == "":
		return at(n.at, "the rule %q does not say what it is for", rule.Name)
	case len(rule.Keys) == 0:
		return at(n.at, "the rule %q does not say which keys count", rule.Name)
	case rule.Signatures > len(rule.Keys):
		return at(count.at, "the rule %q wants %d signatures, and has %d keys", rule.Name, rule.Signatures, len(rule.Keys))
	case rule.Closure && rule.For == Realisations:
		return at(n.at, "the rule %q is for realisations, which have no closure; write one for items", rule.Name)
	}
	if before := r.policy.hides(rule); before != nil {
		return at(n.at, "the rule %q never decides: %q stands before it and takes all it is for", rule.Name, before.Name)
	}
	r.policy.Rules = append(r.policy.Rules, rule)
	return nil
}

// hides gives a rule that comes before another and takes all it is for.
func (p *Policy) hides(rule *Rule) *Rule {
	for _, before := range p.Rules {
		if before.For != rule.For {
			continue
		}
		takes := func(pattern string) bool { return slices.Contains(before.Names, pattern) }
		all := len(before.Names) == 0 || takes("*")
		if all || len(rule.Names) > 0 && !slices.ContainsFunc(rule.Names, func(p string) bool { return !takes(p) }) {
			return before
		}
	}
	return nil
}

func (r *reader) ruleName(n node, rule *Rule) (err error) {
	rule.Name, err = text(n, "the name of a rule")
	if err == nil && slices.ContainsFunc(r.policy.Rules, func(o *Rule) bool { return o.Name == rule.Name }) {
		err = at(n.at, "two rules have the name %q", rule.Name)
	}
	return err
}

func (r *reader) ruleFor(n node, rule *Rule) error {
	s, err := text(n, "what a rule is for")
	if err != nil {
		return err
	}
	rule.For = Subject(s)
	if !slices.Contains(subjects, rule.For) {
		return at(n.at, "a rule is for %s, %s or %s, not for %.60q", subjects[0], subjects[1], subjects[2], s)
	}
	return nil
}

func (r *reader) ruleNames(n node, rule *Rule) error {
	err := list(n, "the names of a rule", func(n node) error {
		s, err := text(n, "a pattern")
		if err != nil {
			return err
		}
		if _, err := path.Match(s, "x"); err != nil {
			return at(n.at, "%q is no pattern: a bracket is not closed, or holds nothing", s)
		}
		if i := strings.IndexFunc(s, neverInNames); i >= 0 {
			return at(n.at, "the pattern %q fits nothing: no name of an item holds %q", s, s[i])
		}
		if slices.Contains(rule.Names, s) {
			return at(n.at, "the pattern %q comes twice", s)
		}
		rule.Names = append(rule.Names, s)
		return nil
	})
	if err == nil && len(rule.Names) == 0 {
		err = at(n.at, "an empty list of names fits nothing; leave it out, and the rule is for all names")
	}
	return err
}

// neverInNames says that a character is neither of a name nor of a pattern.
func neverInNames(c rune) bool {
	return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune(`+-._?=*[]^\`, c))
}

func (r *reader) ruleKeys(n node, rule *Rule) error {
	return list(n, "the keys of a rule", func(n node) error {
		name, err := text(n, "the name of a key")
		if err != nil {
			return err
		}
		named := func(p signature.Public) bool { return p.Name() == name }
		if slices.ContainsFunc(rule.Keys, named) {
			return at(n.at, "the key %.60q comes twice", name)
		}
		k := slices.IndexFunc(r.policy.Keys, named)
		if k < 0 {
			return at(n.at, "trustedKeys has no key of the name %.60q", name)
		}
		rule.Keys = append(rule.Keys, r.policy.Keys[k])
		return nil
	})
}
