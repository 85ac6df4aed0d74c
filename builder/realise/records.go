// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package realise

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"osbuild/builder/derivation"
	"osbuild/store"
)

// Kinds of records in the store.
const (
	// recordDrv holds derivations by key, in canonical encoding.
	recordDrv = "drv"
	// recordMemo holds the outputs of derivations by key. It may always be
	// deleted: it only saves the look at the inputs.
	recordMemo = "memo"
	// recordRealised holds the outputs of derivations by resolved key.
	recordRealised = "realised"
)

// realised is a record of what a derivation gave.
type realised struct {
	// Resolved is the resolved key, in memo records.
	Resolved derivation.Key `json:"resolved,omitempty"`
	Outputs  outputs        `json:"outputs"`
	// Elsewhere says that others built it, in records of what was realised:
	// who shares it must not vouch for it.
	Elsewhere bool `json:"elsewhere,omitempty"`
}

func (r realised) encode() []byte {
	// Strings only: this cannot fail.
	data, _ := json.Marshal(r)
	return append(data, '\n')
}

// lookUp reads a record about d. One that is missing, torn by a crash, or not
// about d's outputs counts as missing: it is written anew.
func (s *session) lookUp(kind, key string, d *derivation.Derivation) (outputs, error) {
	data, err := s.Store.Record(kind, key)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("cannot look up what %q gave: %w", d.Name, err)
	}
	outs := parseRealised(data, d)
	if outs == nil {
		return nil, nil
	}
	return s.have(outs)
}

// parseRealised reads a record, or gives nil when it does not fit d.
func parseRealised(data []byte, d *derivation.Derivation) outputs {
	var rec realised
	if json.Unmarshal(data, &rec) != nil || !fits(rec.Outputs, d) {
		return nil
	}
	return rec.Outputs
}

// fits says whether outs are paths for exactly the outputs of d.
func fits(outs outputs, d *derivation.Derivation) bool {
	if len(outs) != len(d.Outputs) {
		return false
	}
	for _, o := range d.Outputs {
		p, err := store.ParsePath(string(outs[o]))
		if err != nil || p.Name() != derivation.OutputName(d.Name, o) {
			return false
		}
	}
	return true
}

func (s *session) memo(k derivation.Key, d *derivation.Derivation) (outputs, error) {
	return s.lookUp(recordMemo, string(k), d)
}

func (s *session) realisation(b *build) (outputs, error) {
	if b.drv.Fixed != nil {
		return s.known(b.key, b.drv)
	}
	return s.lookUp(recordRealised, string(b.rkey), b.drv)
}

// register records what a build gave. Where an earlier result is recorded and
// still there it stands, and is what register gives: two results of one
// derivation in one closure would be worse than an old one. One from elsewhere
// becomes our own when the same is built here.
func (s *session) register(b *build, outs outputs, elsewhere bool) (outputs, error) {
	if b.drv.Fixed != nil {
		return outs, nil
	}
	data := realised{Outputs: outs, Elsewhere: elsewhere}.encode()
	winner, err := s.Store.PutRecordOnce(recordRealised, string(b.rkey), data)
	if err != nil {
		return nil, fmt.Errorf("cannot record what %q gave: %w", b.drv.Name, err)
	}
	if bytes.Equal(winner, data) {
		return outs, nil
	}
	first := parseRealised(winner, b.drv)
	switch {
	case first == nil:
	case !maps.Equal(first, outs):
		b.event(Event{Kind: EventDiffers, Detail: differing(first, outs)})
		valid, err := s.have(first)
		if valid != nil || err != nil {
			return valid, err
		}
	case elsewhere:
		return outs, nil // it was built here before
	}
	// The recorded result is torn, was collected, or came from elsewhere.
	if err := s.Store.PutRecord(recordRealised, string(b.rkey), data); err != nil {
		return nil, fmt.Errorf("cannot record what %q gave: %w", b.drv.Name, err)
	}
	return outs, nil
}

func differing(first, outs outputs) string {
	for _, o := range sortedKeys(outs) {
		if first[o] != outs[o] {
			return fmt.Sprintf("output %q was %s and is now %s", o, first[o], outs[o])
		}
	}
	return ""
}

// remember writes the derivation and its memo.
func (s *session) remember(k derivation.Key, d *derivation.Derivation, rkey derivation.Key, outs outputs) error {
	err := s.Store.PutRecord(recordDrv, string(k), d.Encode())
	if err == nil && d.Fixed == nil {
		err = s.Store.PutRecord(recordMemo, string(k), realised{Resolved: rkey, Outputs: outs}.encode())
	}
	if err != nil {
		return fmt.Errorf("cannot record what %q gave: %w", d.Name, err)
	}
	return nil
}

// fixedPath is the path of d's output, which its fixed hash tells.
func fixedPath(d *derivation.Derivation) (store.Path, error) {
	digest, err := hex.DecodeString(d.Fixed.Hash)
	if err != nil {
		return "", err
	}
	return store.FixedPath(d.Name, d.Fixed.Algo, digest, d.Fixed.Recursive)
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K {
	return slices.Sorted(maps.Keys(m))
}
