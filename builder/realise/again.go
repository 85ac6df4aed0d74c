// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package realise

import (
	"fmt"

	"osbuild/builder/derivation"
	"osbuild/store"
)

// Again gives, from the records of builds alone, an evaluation that declares
// what made an item, and what stands for the item in it. The error wraps
// [store.ErrNotFound] where that is not known here.
func Again(s *store.Store, i store.Info) (g *derivation.Graph, target string, err error) {
	keys, err := Derivers(s, []store.Info{i})
	if err == nil && len(keys) == 0 {
		err = fmt.Errorf("no record tells of its derivation: %w", store.ErrNotFound)
	}
	if err == nil {
		// Nothing is declared by a local file, so nothing is hashed.
		g = derivation.NewGraph(nil)
		err = declare(s, g, keys[0])
	}
	if err == nil {
		target, err = outputNamed(g, keys[0], i.Path)
	}
	if err != nil {
		return nil, "", fmt.Errorf("cannot find out how %s was made: %w", i.Path, err)
	}
	return g, target, nil
}

// declare adds a recorded derivation and those that it needs. Their number is
// that of the derivations of a system, and their depth that of its layers.
func declare(s *store.Store, g *derivation.Graph, k derivation.Key) error {
	if _, known := g.Derivation(k); known {
		return nil
	}
	d, err := recordedDerivation(s, k)
	if err != nil {
		return err
	}
	for _, in := range d.Inputs {
		if in.Drv == "" {
			continue
		}
		if err := declare(s, g, in.Drv); err != nil {
			return err
		}
	}
	_, err = g.Derive(*d)
	return err
}

// outputNamed gives what stands for the output of a derivation that is named
// like an item.
func outputNamed(g *derivation.Graph, k derivation.Key, p store.Path) (string, error) {
	d, ok := g.Derivation(k)
	if !ok {
		return "", fmt.Errorf("its derivation is recorded under another key: %w", store.ErrNotFound)
	}
	for _, o := range d.Outputs {
		if derivation.OutputName(d.Name, o) == p.Name() {
			return derivation.Placeholder(k, o, d.Name), nil
		}
	}
	return "", fmt.Errorf("its derivation has no such output: %w", store.ErrNotFound)
}
