// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package realise

import (
	"encoding/json"
	"errors"
	"fmt"

	"osbuild/builder/derivation"
	"osbuild/store"
)

// Realisation is what a derivation gave, as others can use it.
type Realisation struct {
	// Resolved is the resolved key.
	Resolved derivation.Key
	Outputs  map[string]store.Path
}

// Recorded tells what the derivation with this resolved key gave, and whether
// it was built here. The error wraps [store.ErrNotFound] where that is not
// known.
func Recorded(s *store.Store, resolved string) (outs map[string]store.Path, here bool, err error) {
	rec, err := readRealised(s, recordRealised, resolved)
	if err != nil {
		return nil, false, err
	}
	return rec.Outputs, !rec.Elsewhere, nil
}

func readRealised(s *store.Store, kind, key string) (realised, error) {
	var rec realised
	if _, err := derivation.ParseKey(key); err != nil {
		return rec, fmt.Errorf("%w: %w", err, store.ErrNotFound)
	}
	data, err := s.Record(kind, key)
	if err != nil {
		return rec, err
	}
	if json.Unmarshal(data, &rec) != nil || len(rec.Outputs) == 0 {
		return rec, fmt.Errorf("cannot read the record of %s: %w", key, store.ErrNotFound) // torn by a crash
	}
	for _, p := range rec.Outputs {
		if _, err := store.ParsePath(string(p)); err != nil {
			return rec, fmt.Errorf("cannot read the record of %s: %w", key, store.ErrNotFound)
		}
	}
	return rec, nil
}

// Trace gives what the derivations with these keys gave, and all the
// derivations that they need: who knows all of it can tell what they give
// without building anything. What is not known here is left out.
func Trace(s *store.Store, keys ...derivation.Key) ([]Realisation, error) {
	seen := map[derivation.Key]bool{}
	resolved := map[derivation.Key]bool{}
	var out []Realisation
	todo := append([]derivation.Key(nil), keys...)
	for len(todo) > 0 {
		k := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if seen[k] {
			continue
		}
		seen[k] = true
		d, err := recordedDerivation(s, k)
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if d.Fixed != nil {
			continue // its path is known without anything that it needs
		}
		for _, in := range d.Inputs {
			if in.Drv != "" {
				todo = append(todo, in.Drv)
			}
		}
		memo, err := readRealised(s, recordMemo, string(k))
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if !resolved[memo.Resolved] && fits(memo.Outputs, d) {
			resolved[memo.Resolved] = true
			out = append(out, Realisation{memo.Resolved, memo.Outputs})
		}
	}
	return out, nil
}

func recordedDerivation(s *store.Store, k derivation.Key) (*derivation.Derivation, error) {
	data, err := s.Record(recordDrv, string(k))
	if err != nil {
		return nil, err
	}
	d, err := derivation.Decode(data)
	if err != nil {
		return nil, fmt.Errorf("cannot read the derivation %s: %w", k, store.ErrNotFound) // torn by a crash
	}
	return d, nil
}

// Derivers gives the keys of the derivations that made these items, as far as
// they are known here.
func Derivers(s *store.Store, infos []store.Info) ([]derivation.Key, error) {
	names, err := s.Records(recordDrv)
	if err != nil {
		return nil, err
	}
	byName := make(map[string]derivation.Key, len(names))
	for _, name := range names {
		if k, err := derivation.ParseKey(name); err == nil {
			byName[derivation.Deriver(k, "")[:digestLen]] = k
		}
	}
	var keys []derivation.Key
	for _, i := range infos {
		if len(i.Deriver) < digestLen {
			continue
		}
		if k, ok := byName[i.Deriver[:digestLen]]; ok {
			keys = append(keys, k)
		}
	}
	return keys, nil
}
