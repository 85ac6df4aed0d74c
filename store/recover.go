// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"osbuild/store/fsys"
	"osbuild/store/nar"
)

// recover checks what former boots left not durable. Other processes that
// open the store at the same time wait.
func (s *Store) recover() error {
	boot, err := bootID()
	if err != nil {
		return err
	}
	old, err := s.formerBoots(boot)
	if err != nil || len(old) == 0 {
		return err
	}
	if s.readOnly {
		return s.distrust(old)
	}
	err = s.collector.with(s, unix.LOCK_EX, func() error {
		// Somebody else may have been faster.
		old, err := s.formerBoots(boot)
		if err != nil || len(old) == 0 {
			return err
		}
		return s.mend(old)
	})
	if errors.Is(err, fs.ErrPermission) {
		return s.distrust(old) // another user's root
	}
	return err
}

func (s *Store) formerBoots(boot string) ([]string, error) {
	entries, err := os.ReadDir(s.at(pendingFolder))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // a root that somebody copied without it
	}
	if err != nil {
		return nil, err
	}
	var old []string
	for _, e := range entries {
		if e.Name() != boot {
			old = append(old, e.Name())
		}
	}
	return old, nil
}

// pendingOf returns the sessions of former boots and the records that they
// list, each with its hash.
func (s *Store) pendingOf(boots []string) (sessions map[string]bool, records map[string][]string, err error) {
	sessions, records = make(map[string]bool), make(map[string][]string)
	for _, boot := range boots {
		entries, err := os.ReadDir(s.at(pendingFolder, boot))
		if err != nil {
			return nil, nil, err
		}
		for _, e := range entries {
			sessions[strings.TrimSuffix(e.Name(), failedMark)] = true
			text, err := os.ReadFile(s.at(pendingFolder, boot, e.Name()))
			if err != nil {
				return nil, nil, err
			}
			pendingRecords(string(text), records)
		}
	}
	return sessions, records, nil
}

// pendingRecords adds the records that a session lists, with their hashes. The
// last line may be torn.
func pendingRecords(text string, records map[string][]string) {
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "record" && strings.HasSuffix(line, "\n") {
			records[f[1]] = append(records[f[1]], f[2])
		}
	}
}

// suspects returns the items of these sessions, and the files that are no
// sound info files. The index may be torn too, so it is not asked.
func (s *Store) suspects(sessions map[string]bool) (out []Info, damaged []string, err error) {
	infos, damaged, _, err := s.loadWith(false)
	if err != nil {
		return nil, nil, err
	}
	for _, i := range infos {
		if sessions[i.session] {
			out = append(out, i)
		}
	}
	slices.SortFunc(out, func(a, b Info) int { return strings.Compare(string(a.Path), string(b.Path)) })
	return out, damaged, nil
}

// distrust makes the items of unclean boots count as not valid: a read-only
// store cannot be mended.
func (s *Store) distrust(boots []string) error {
	sessions, _, err := s.pendingOf(boots)
	if err != nil {
		return err
	}
	infos, _, err := s.suspects(sessions)
	if err != nil {
		return err
	}
	s.suspect = make(map[Path]bool)
	for _, i := range infos {
		s.suspect[i.Path] = true
	}
	return nil
}

// mend hashes every item that was not durable and discards those that are
// damaged, and likewise records. The rest is made durable before the boot is
// forgotten.
func (s *Store) mend(boots []string) error {
	sessions, records, err := s.pendingOf(boots)
	if err != nil {
		return err
	}
	infos, damaged, err := s.suspects(sessions)
	if err != nil {
		return err
	}
	for _, name := range damaged {
		if err := s.fs.Remove(s.at(infoFolder, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := s.discardDamaged(infos); err != nil {
		return err
	}
	if err := s.mendRecords(records); err != nil {
		return err
	}
	if err := s.dropIndex(); err != nil {
		return err
	}
	// What a damaged item had may have a name there, too.
	if err := fsys.RemoveTree(s.fs, s.at(linksFolder)); err != nil {
		return err
	}
	if err := s.fs.Sync(s.root); err != nil {
		return err
	}
	for _, boot := range boots {
		if err := fsys.RemoveTree(s.fs, s.at(pendingFolder, boot)); err != nil {
			return err
		}
	}
	return nil
}

// discardDamaged discards those items that are damaged, and those that refer
// to what is not valid then.
func (s *Store) discardDamaged(infos []Info) error {
	for _, i := range infos {
		problems := s.checkTree(context.Background(), i, true, nil)
		if len(problems) == 0 {
			continue
		}
		if slices.ContainsFunc(problems, func(p Problem) bool { return p.Kind == ProblemUnread }) {
			if err := s.unreadable(i); err != nil {
				return fmt.Errorf("cannot check %s after an unclean boot: %w", i.Path, err)
			}
		}
		if err := s.discard(i); err != nil {
			return err
		}
	}
	for again := true; again; {
		again = false
		for _, i := range infos {
			lacks := slices.ContainsFunc(i.References, func(r Path) bool { return r != i.Path && !s.Valid(r) })
			if lacks && s.Valid(i.Path) {
				if err := s.discard(i); err != nil {
					return err
				}
				again = true
			}
		}
	}
	return nil
}

// unreadable is the error of reading a tree where that says something of this
// process, and nothing of the tree.
func (s *Store) unreadable(i Info) error {
	_, _, err := nar.Hash(context.Background(), s.Physical(i.Path), nil)
	for _, own := range []error{unix.EMFILE, unix.ENFILE, unix.ENOMEM, unix.EACCES, unix.EPERM} {
		if errors.Is(err, own) {
			return err
		}
	}
	return nil
}

// mendRecords removes the listed records whose content is not what was
// written, and any that looks like a file whose content a crash lost: empty,
// or with NUL bytes.
func (s *Store) mendRecords(listed map[string][]string) error {
	kinds, err := os.ReadDir(s.at("db"))
	if err != nil {
		return err
	}
	for _, kind := range kinds {
		if !kind.IsDir() || reservedKind(kind.Name()) {
			continue
		}
		keys, err := os.ReadDir(s.at("db", kind.Name()))
		if err != nil {
			return err
		}
		for _, key := range keys {
			data, err := os.ReadFile(s.at("db", kind.Name(), key.Name()))
			if err != nil {
				return err
			}
			sum := sha256.Sum256(data)
			want, known := listed[kind.Name()+"/"+key.Name()]
			lost := len(data) == 0 || slices.Contains(data, 0)
			if !lost && (!known || slices.Contains(want, hex.EncodeToString(sum[:]))) {
				continue
			}
			if err := s.fs.Remove(s.at("db", kind.Name(), key.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}
