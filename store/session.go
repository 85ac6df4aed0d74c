// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
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
)

// session is the work of one process between two Syncs. Its file in
// pending/<boot id> is made before anything is registered, lists what is,
// and goes when that is durable. So after a crash of the machine the folders
// of former boots say what may be half written. Each info file also names
// its session, because the list itself may be torn.
type session struct {
	name string
	out  fsys.File
	lock *os.File // held: the process lives
}

// bootIDFile changes its content with every boot of the machine.
const bootIDFile = "/proc/sys/kernel/random/boot_id"

func bootID() (string, error) {
	b, err := os.ReadFile(bootIDFile)
	if err != nil {
		return "", fmt.Errorf("cannot tell this boot from others: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}

// pend notes that an item or record is about to be registered and returns
// the session's name.
func (s *Store) pend(line string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.session == nil {
		if err := s.openSession(); err != nil {
			return "", err
		}
	}
	// The last line may be torn, so this one starts with a newline.
	_, err := s.session.out.Write([]byte("\n" + line + "\n"))
	return s.session.name, err
}

func (s *Store) openSession() (err error) {
	boot, err := bootID()
	if err != nil {
		return err
	}
	dir := s.at(pendingFolder, boot)
	n := &session{name: randomName()}
	// Under the collector's lock, because Sync takes unlocked files for
	// those of dead processes.
	err = s.collector.with(s, unix.LOCK_SH, func() (err error) {
		if err := fsys.MkdirAll(s.fs, dir, 0o755); err != nil {
			return err
		}
		if n.lock, err = s.fs.OpenLock(dir + "/" + n.name); err != nil {
			return err
		}
		return flock(n.lock, unix.LOCK_EX)
	})
	if err == nil {
		n.out, err = s.fs.Append(dir+"/"+n.name, 0o644)
	}
	if err != nil {
		if n.lock != nil {
			_ = s.fs.Remove(dir + "/" + n.name)
			_ = n.lock.Close() // the first error counts
		}
		return err
	}
	s.session = n
	return nil
}

// Sync makes all durable that was registered so far: one syncfs. It is
// called once, at the end of a command.
func (s *Store) Sync() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.session == nil {
		return nil
	}
	if err := s.sync(); err != nil {
		return fmt.Errorf("cannot make the store at %s durable: %w", s.root, s.explain(err))
	}
	return nil
}

func (s *Store) sync() error {
	boot, err := bootID()
	if err != nil {
		return err
	}
	// What dead processes left of this boot becomes durable along with ours.
	dead, err := s.deadSessions(boot)
	if err != nil {
		return err
	}
	defer func() {
		for _, d := range dead {
			_ = d.lock.Close() // only read
		}
	}()
	if err := s.fs.Sync(s.root); err != nil {
		return err
	}
	var errs []error
	for _, d := range append(dead, s.session) {
		err := s.fs.Remove(s.at(pendingFolder, boot, d.name))
		if !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	errs = append(errs, s.session.out.Close(), s.session.lock.Close())
	s.session = nil
	return errors.Join(errs...)
}

// deadSessions returns the sessions of this boot whose processes are gone,
// locked.
func (s *Store) deadSessions(boot string) (dead []*session, err error) {
	dir := s.at(pendingFolder, boot)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	err = s.collector.with(s, unix.LOCK_SH, func() error {
		for _, e := range entries {
			f, err := os.Open(dir + "/" + e.Name())
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return err
			}
			if err := flock(f, unix.LOCK_EX|unix.LOCK_NB); err != nil {
				_ = f.Close() // only read
				continue
			}
			dead = append(dead, &session{name: e.Name(), lock: f})
		}
		return nil
	})
	return dead, err
}

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
	return s.collector.with(s, unix.LOCK_EX, func() error {
		// Somebody else may have been faster.
		old, err := s.formerBoots(boot)
		if err != nil || len(old) == 0 {
			return err
		}
		return s.mend(old)
	})
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
func (s *Store) pendingOf(boots []string) (sessions map[string]bool, records map[string]string, err error) {
	sessions, records = make(map[string]bool), make(map[string]string)
	for _, boot := range boots {
		entries, err := os.ReadDir(s.at(pendingFolder, boot))
		if err != nil {
			return nil, nil, err
		}
		for _, e := range entries {
			sessions[e.Name()] = true
			text, err := os.ReadFile(s.at(pendingFolder, boot, e.Name()))
			if err != nil {
				return nil, nil, err
			}
			for line := range strings.Lines(string(text)) {
				if f := strings.Fields(line); len(f) == 3 && f[0] == "record" && strings.HasSuffix(line, "\n") {
					records[f[1]] = f[2]
				}
			}
		}
	}
	return sessions, records, nil
}

// suspects returns the items of these sessions.
func (s *Store) suspects(sessions map[string]bool) (out []Info, damaged []string, err error) {
	if !s.readOnly {
		if err := s.dropIndex(); err != nil {
			return nil, nil, err
		}
	}
	infos, damaged, err := s.load()
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
	for _, i := range infos {
		if problems := s.checkTree(i, true); len(problems) > 0 {
			if err := s.discard(i.Path); err != nil {
				return err
			}
		}
	}
	if err := s.mendRecords(records); err != nil {
		return err
	}
	if err := s.dropIndex(); err != nil {
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

// mendRecords removes the listed records whose content is not what was
// written, and any that looks like a file whose content a crash lost: empty,
// or with NUL bytes.
func (s *Store) mendRecords(listed map[string]string) error {
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
			if !lost && (!known || want == hex.EncodeToString(sum[:])) {
				continue
			}
			if err := s.fs.Remove(s.at("db", kind.Name(), key.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}
