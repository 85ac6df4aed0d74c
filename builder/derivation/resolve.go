// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package derivation

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"osbuild/store"
)

// Resolve gives d with every placeholder replaced by the path of the output
// it stands for. The key of the result is d's resolved key: two derivations
// whose inputs turned out the same have the same. Self placeholders stay.
func (d *Derivation) Resolve(outputs map[Input]store.Path) (*Derivation, error) {
	r := d.clone()
	var pairs []string
	for i, in := range d.Inputs {
		if in.Drv == "" {
			continue
		}
		p, ok := outputs[in]
		if !ok {
			return nil, fmt.Errorf("cannot resolve %q: input %s!%s is not realised", d.Name, in.Drv, in.Output)
		}
		r.Inputs[i] = Input{Path: p}
		pairs = append(pairs, placeholderDigest(in.Drv, in.Output), p.Digest())
	}
	if len(pairs) > 0 {
		r.replace(strings.NewReplacer(pairs...))
	}
	r.normalise()
	return r, nil
}

// WithSelf gives d with the Self placeholders replaced by these paths, one
// for each output.
func (d *Derivation) WithSelf(outputs map[string]store.Path) *Derivation {
	r := d.clone()
	var pairs []string
	for _, o := range sortedKeys(outputs) {
		pairs = append(pairs, Self(o), string(outputs[o]))
	}
	r.replace(strings.NewReplacer(pairs...))
	return r
}

func (d *Derivation) clone() *Derivation {
	c := *d
	c.Args = slices.Clone(d.Args)
	c.Env = maps.Clone(d.Env)
	c.Inputs = slices.Clone(d.Inputs)
	return &c
}

func (d *Derivation) replace(r *strings.Replacer) {
	d.Builder, d.Root = r.Replace(d.Builder), r.Replace(d.Root)
	for i, a := range d.Args {
		d.Args[i] = r.Replace(a)
	}
	for k, v := range d.Env {
		d.Env[k] = r.Replace(v)
	}
}
