// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
)

// AddSignatures adds signatures to an item's info, where they are not there
// yet. What they sign is the caller's business.
func (s *Store) AddSignatures(ctx context.Context, p Path, sigs ...string) error {
	for _, sig := range sigs {
		if sig == "" || strings.ContainsAny(sig, "\n\r") {
			return fmt.Errorf("cannot sign %s: %q is no signature", p, sig)
		}
	}
	if err := s.writable(); err != nil {
		return err
	}
	lock, _, err := s.Lock(ctx, "item-"+p.Digest()[:1])
	if err != nil {
		return err
	}
	err = s.addSignatures(p, sigs)
	if err = errors.Join(err, lock.Unlock()); err != nil {
		return fmt.Errorf("cannot sign %s: %w", p, s.explain(err))
	}
	return nil
}

func (s *Store) addSignatures(p Path, sigs []string) error {
	i, err := s.valid(p)
	if err != nil {
		return err
	}
	known := len(i.Sigs)
	for _, sig := range sigs {
		if !slices.Contains(i.Sigs, sig) {
			i.Sigs = append(i.Sigs, sig)
		}
	}
	if len(i.Sigs) == known {
		return nil
	}
	used, err := os.Lstat(s.infoPath(p))
	if err != nil {
		return err
	}
	s.registering.RLock()
	defer s.registering.RUnlock()
	if i.session, err = s.pend("item " + p.Base()); err != nil {
		return err
	}
	if err := s.writeFile(s.at(tempFolder), s.infoPath(p), i.Encode()); err != nil {
		return err
	}
	// A signature is no use of the item.
	_ = s.fs.SetTime(s.infoPath(p), used.ModTime())
	s.appendIndex(i)
	return nil
}
