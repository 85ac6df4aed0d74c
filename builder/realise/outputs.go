// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package realise

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"osbuild/builder/derivation"
	"osbuild/store"
)

// made checks that the builder made all outputs.
func (a *attempt) made() error {
	for _, o := range a.drv.Outputs {
		_, err := os.Lstat(a.out(o))
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("its builder succeeded without making output %q: it must make what the variable %q names, %s", o, o, a.scratch[o])
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// canonicalise gives all outputs the modes of items, whatever their builder
// made of them: an ordinary user can read everything then.
func (a *attempt) canonicalise() error {
	for _, o := range a.drv.Outputs {
		if err := store.Canonicalise(a.out(o)); err != nil {
			return err
		}
	}
	return nil
}

// keepOutputs puts the outputs into the store. An output that mentions others
// comes after them, and gets their final paths first.
func (a *attempt) keepOutputs() (outputs, error) {
	if err := a.made(); err != nil {
		return nil, err
	}
	if a.drv.Fixed != nil {
		return a.keepFixed()
	}
	order, err := a.order()
	if err != nil {
		return nil, err
	}
	candidates := slices.Clone(a.closure)
	outs := outputs{}
	final := map[string]string{}
	for _, o := range order {
		if len(final) > 0 {
			if err := rewrite(a.out(o), final); err != nil {
				return nil, fmt.Errorf("cannot put the paths of other outputs into output %q: %w", o, err)
			}
		}
		info, err := a.s.Store.AddOutput(a.s.ctx, a.s.Lease, store.Output{
			Name:       derivation.OutputName(a.drv.Name, o),
			Physical:   a.out(o),
			Scratch:    a.scratch[o],
			Candidates: candidates,
			Deriver:    derivation.Deriver(a.key, a.drv.Name),
		})
		if err != nil {
			return nil, err
		}
		outs[o] = info.Path
		candidates = append(candidates, info.Path)
		final[a.scratch[o].Digest()] = info.Path.Digest()
	}
	return outs, nil
}

// order sorts the outputs so that each comes after those it mentions.
func (a *attempt) order() ([]string, error) {
	if len(a.drv.Outputs) == 1 {
		return a.drv.Outputs, nil
	}
	if err := a.canonicalise(); err != nil {
		return nil, err
	}
	owner := map[string]string{}
	for o, p := range a.scratch {
		owner[p.Digest()] = o
	}
	mentions := map[string]map[string]bool{}
	for _, o := range a.drv.Outputs {
		mentions[o] = map[string]bool{}
		err := visit(a.out(o), owner, func(_, d string, _ int64) error {
			mentions[o][owner[d]] = true
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("cannot look for references in output %q: %w", o, err)
		}
		delete(mentions[o], o)
	}
	var order []string
	for len(order) < len(a.drv.Outputs) {
		next := slices.IndexFunc(a.drv.Outputs, func(o string) bool {
			return !slices.Contains(order, o) && len(mentions[o]) == 0
		})
		if next < 0 {
			var rest []string
			for _, o := range a.drv.Outputs {
				if !slices.Contains(order, o) {
					rest = append(rest, o)
				}
			}
			return nil, fmt.Errorf("outputs %s refer to each other in a circle, so none of them can have its final path first: let one of them not mention the others, or make one output of them", strings.Join(rest, " and "))
		}
		o := a.drv.Outputs[next]
		order = append(order, o)
		for _, m := range mentions {
			delete(m, o)
		}
	}
	return order, nil
}

// keepFixed puts an output into the store whose hash is known.
func (a *attempt) keepFixed() (outputs, error) {
	if err := a.canonicalise(); err != nil {
		return nil, err
	}
	out := a.out("out")
	// The path of such an item says nothing of references, so it has none.
	inputs := map[string]string{a.scratch["out"].Digest(): "itself"}
	for _, p := range a.closure {
		inputs[p.Digest()] = string(p)
	}
	err := visit(out, inputs, func(path, d string, _ int64) error {
		rel, err := filepath.Rel(a.storeDir, path)
		if err != nil {
			return err
		}
		return fmt.Errorf("an output with a fixed hash cannot refer to other items, but %s mentions %s", rel, inputs[d])
	})
	if err != nil {
		return nil, err
	}
	want, err := hex.DecodeString(a.drv.Fixed.Hash)
	if err != nil {
		return nil, err
	}
	info, err := a.s.Store.AddFixed(a.s.ctx, a.s.Lease, a.drv.Name, out, a.drv.Fixed.Algo, want, a.drv.Fixed.Recursive)
	var mismatch *store.HashMismatchError
	if errors.As(err, &mismatch) {
		return nil, &store.HashMismatchError{
			Name: a.drv.Name, Want: sri(a.drv.Fixed.Algo, mismatch.Want), Got: sri(a.drv.Fixed.Algo, mismatch.Got),
		}
	}
	if err != nil {
		return nil, err
	}
	return outputs{"out": info.Path}, nil
}

// sri writes a hash in the form that is the best to copy, or leaves it.
func sri(algo, hash string) string {
	digest, err := store.ParseDigest(algo, hash)
	if err != nil {
		return hash
	}
	return algo + "-" + base64.StdEncoding.EncodeToString(digest)
}
