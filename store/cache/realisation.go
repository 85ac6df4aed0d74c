// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package cache

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"

	"osbuild/store"
	"osbuild/store/cache/location"
	"osbuild/store/cache/signature"
)

// Realisation says what a build gave: the format is osbuild's own, one file
// of JSON a build in the folder [RealisationFolder] of a cache.
type Realisation struct {
	Version int `json:"version"`
	// Resolved is the resolved key of the derivation: 64 hexadecimal digits.
	Resolved string `json:"resolved"`
	// Outputs maps the name of each output to its item.
	Outputs map[string]store.Path `json:"outputs"`
	// Signatures are over Fingerprint.
	Signatures []string `json:"signatures,omitempty"`
}

// RealisationVersion is the version that is written, and the only one that
// is read.
const RealisationVersion = 1

// RealisationFolder holds realisations.
const RealisationFolder = "osbuild-realisations/"

const maxRealisation = 64 << 10

// RealisationName is the name of the file about a resolved key.
func RealisationName(resolved string) string { return RealisationFolder + resolved + ".json" }

// Fingerprint is what is signed of a realisation.
func (r Realisation) Fingerprint() string {
	var b strings.Builder
	fmt.Fprintf(&b, "osbuild-realisation;%d;%s;", r.Version, r.Resolved)
	for k, o := range slices.Sorted(maps.Keys(r.Outputs)) {
		if k > 0 {
			b.WriteByte(',')
		}
		b.WriteString(o + "=" + string(r.Outputs[o]))
	}
	return b.String()
}

// Sign adds a signature.
func (r *Realisation) Sign(key signature.Secret) {
	if sig := key.Sign(r.Fingerprint()); !slices.Contains(r.Signatures, sig) {
		r.Signatures = append(r.Signatures, sig)
	}
}

// Encode writes the file.
func (r Realisation) Encode() []byte {
	text, _ := json.Marshal(r) // strings and a number: this cannot fail
	return append(text, '\n')
}

// ParseRealisation reads the file.
func ParseRealisation(text []byte) (Realisation, error) {
	var r Realisation
	if len(text) > maxRealisation {
		return r, fmt.Errorf("cannot read a realisation: it has more than %d bytes", maxRealisation)
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	if err := dec.Decode(&r); err != nil {
		return Realisation{}, fmt.Errorf("cannot read a realisation: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return Realisation{}, fmt.Errorf("cannot read a realisation: more follows its end")
	}
	if r.Version != RealisationVersion {
		return Realisation{}, fmt.Errorf("cannot read a realisation: it has the version %d, and this osbuild knows %d", r.Version, RealisationVersion)
	}
	if b, err := hex.DecodeString(r.Resolved); err != nil || len(b) != 32 || strings.ToLower(r.Resolved) != r.Resolved {
		return Realisation{}, fmt.Errorf("cannot read a realisation: %.80q is no key", r.Resolved)
	}
	if len(r.Outputs) == 0 {
		return Realisation{}, fmt.Errorf("cannot read a realisation: it has no outputs")
	}
	for o, p := range r.Outputs {
		if store.ValidName(o) != nil || strings.ContainsAny(o, "=,;") {
			return Realisation{}, fmt.Errorf("cannot read a realisation: %.80q is no name of an output", o)
		}
		if _, err := store.ParsePath(string(p)); err != nil {
			return Realisation{}, fmt.Errorf("cannot read a realisation: %w", err)
		}
	}
	return r, nil
}

// Realisation asks what the derivation with this resolved key gave. The error
// wraps [store.ErrNotFound] where the cache does not know.
func (c *Cache) Realisation(ctx context.Context, resolved string) (Realisation, error) {
	return c.realisation(ctx, resolved, c.ask)
}

func (c *Cache) realisation(ctx context.Context, resolved string, read func(context.Context, string) ([]byte, error)) (Realisation, error) {
	text, err := read(ctx, RealisationName(resolved))
	if err == nil {
		var r Realisation
		if r, err = ParseRealisation(text); err == nil && r.Resolved != resolved {
			err = fmt.Errorf("it tells of %s", r.Resolved)
		}
		if err == nil {
			return r, nil
		}
		err = fmt.Errorf("%w: %w", store.ErrWrong, err)
	}
	return Realisation{}, fmt.Errorf("cannot get the realisation %s from %s: %w", resolved, c, err)
}

// ErrDiffers is wrapped by the error of a realisation that the cache knows
// with other outputs: the first one stands.
var ErrDiffers = errors.New("the cache knows other outputs of the same build")

// PutRealisations tells the cache of many builds at once. It gives the
// resolved keys of those of which the cache knows other outputs.
func (c *Cache) PutRealisations(ctx context.Context, list []Realisation) (differing []string, err error) {
	unlock, err := location.Lock(ctx, c.Location)
	if err != nil {
		return nil, err
	}
	defer unlock()
	var mu sync.Mutex
	err = many(ctx, list, func(ctx context.Context, r Realisation) error {
		err := c.putRealisation(ctx, r)
		if errors.Is(err, ErrDiffers) {
			mu.Lock()
			defer mu.Unlock()
			differing = append(differing, r.Resolved)
			return nil
		}
		return err
	})
	slices.Sort(differing)
	if err == nil {
		err = c.Location.Sync()
	}
	return differing, err
}

// PutRealisation tells the cache what a build gave. Signatures of one that is
// there already are kept.
func (c *Cache) PutRealisation(ctx context.Context, r Realisation) error {
	unlock, err := location.Lock(ctx, c.Location)
	if err != nil {
		return err
	}
	defer unlock()
	return c.putRealisation(ctx, r)
}

// putRealisation asks anew: what was known may have changed since.
func (c *Cache) putRealisation(ctx context.Context, r Realisation) error {
	have, err := c.realisation(ctx, r.Resolved, c.read)
	switch {
	case err == nil && !maps.Equal(have.Outputs, r.Outputs):
		return fmt.Errorf("cannot tell %s of the build %s: %w", c, r.Resolved, ErrDiffers)
	case err == nil:
		known := len(have.Signatures)
		for _, sig := range r.Signatures {
			if !slices.Contains(have.Signatures, sig) {
				have.Signatures = append(have.Signatures, sig)
			}
		}
		if len(have.Signatures) == known {
			return nil
		}
		r = have
	case !errors.Is(err, store.ErrNotFound):
		return err
	}
	name := RealisationName(r.Resolved)
	if err := location.Write(ctx, c.Location, name, r.Encode()); err != nil {
		return fmt.Errorf("cannot tell %s of the build %s: %w", c, r.Resolved, err)
	}
	c.learn(name)
	return nil
}
