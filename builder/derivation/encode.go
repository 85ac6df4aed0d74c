// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package derivation

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// Format is the version of the encoding. It is part of every key.
const Format = 1

// ErrNotCanonical is wrapped by the error of [Decode] for a record that says
// something in another way than [Derivation.Encode] does. Such a record would
// have a key that is not the hash of its bytes.
var ErrNotCanonical = errors.New("not in canonical form")

type record struct {
	Format int `json:"format"`
	*Derivation
}

// Encode gives the canonical form: JSON without spaces, fields in the order of
// the declaration of [Derivation], variables sorted, empty fields left out. It
// ends without a newline. Pos is not in it.
func (d *Derivation) Encode() []byte {
	c := *d
	c.normalise()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(record{Format, &c}); err != nil {
		// Strings, integers, slices and a map with string keys: all of them
		// can be encoded.
		panic("derivation: " + err.Error())
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// Decode reads what [Derivation.Encode] wrote, and nothing else.
func Decode(data []byte) (*Derivation, error) {
	r := record{Derivation: new(Derivation)}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&r); err != nil {
		return nil, fmt.Errorf("cannot read derivation: %w", err)
	}
	if r.Format != Format {
		return nil, fmt.Errorf("cannot read derivation: format %d is not known (this osbuild knows %d)", r.Format, Format)
	}
	if err := r.Derivation.validate(); err != nil {
		return nil, fmt.Errorf("cannot read derivation: %w", err)
	}
	if !bytes.Equal(r.Derivation.Encode(), data) {
		return nil, fmt.Errorf("cannot read derivation %q: %w", r.Name, ErrNotCanonical)
	}
	return r.Derivation, nil
}

func sortedKeys[V any](m map[string]V) []string {
	return slices.Sorted(maps.Keys(m))
}
