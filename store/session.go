// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
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

// failedMark ends the name of a session's file when the disk did not take what
// was written meanwhile. The kernel tells that once, see syncfs(2): the next
// sync goes well without it. So the file stays for the next boot, which reads
// what is on the disk.
const failedMark = ".failed"

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
// the session's name. The caller holds s.registering.
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
		if err := flock(n.lock, unix.LOCK_EX); err != nil {
			return err
		}
		n.out, err = s.fs.Append(dir+"/"+n.name, 0o644)
		return err
	})
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
// called once, at the end of a command. That of a lazy store only ends the
// session, whose list stays; see [Options].
func (s *Store) Sync() error {
	s.registering.Lock()
	defer s.registering.Unlock()
	s.closeIndex()
	s.mu.Lock()
	defer s.mu.Unlock()
	do := s.sync
	if s.lazy {
		do = s.leaveSession
	}
	if err := do(); err != nil {
		return fmt.Errorf("cannot make the store at %s durable: %w", s.root, s.explain(err))
	}
	return nil
}

// leaveSession ends the session: to the others it is one of a dead process.
func (s *Store) leaveSession() error {
	if s.session == nil {
		return nil
	}
	err := errors.Join(s.session.out.Close(), s.session.lock.Close())
	s.session = nil
	return err
}

func (s *Store) sync() error {
	if s.session == nil && !s.leased.Load() {
		return nil
	}
	boot, err := bootID()
	if err != nil {
		return err
	}
	if s.session == nil {
		// What this process relies on may be what others have registered.
		others, err := os.ReadDir(s.at(pendingFolder, boot))
		if len(others) == 0 && (err == nil || errors.Is(err, fs.ErrNotExist)) {
			return nil
		}
	}
	// What dead processes left of this boot becomes durable along with ours.
	done, err := s.deadSessions(boot)
	if err != nil {
		return err
	}
	defer func() {
		for _, d := range done {
			_ = d.lock.Close() // only read, or closed below
		}
	}()
	if err := s.flush(); err != nil {
		return errors.Join(err, s.keepSessions(boot))
	}
	var errs []error
	if s.session != nil {
		done = append(done, s.session)
		errs = append(errs, s.session.out.Close())
	}
	for _, d := range done {
		err := s.fs.Remove(s.at(pendingFolder, boot, d.name))
		if !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	s.session = nil
	return errors.Join(errs...)
}

// flush waits until all that was written is on the disk.
func (s *Store) flush() error { return errors.Join(s.early.wait(), s.fs.Sync(s.root)) }

// keepSessions marks all sessions of this boot as failed, those of living
// processes, too: nobody knows what the disk did not take.
func (s *Store) keepSessions(boot string) error {
	err := s.collector.with(s, unix.LOCK_EX, func() error {
		names, err := s.sessions(boot)
		for _, name := range names {
			at := s.at(pendingFolder, boot, name)
			if rerr := s.fs.Rename(at, at+failedMark); !errors.Is(rerr, fs.ErrNotExist) {
				err = errors.Join(err, rerr)
			}
		}
		return err
	})
	s.early.forget()
	return errors.Join(err, s.leaveSession())
}

// sessions returns the names of the sessions of this boot, without those that
// failed.
func (s *Store) sessions(boot string) (names []string, err error) {
	entries, err := os.ReadDir(s.at(pendingFolder, boot))
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), failedMark) {
			names = append(names, e.Name())
		}
	}
	return names, err
}

// deadSessions returns the sessions of this boot whose processes are gone,
// locked.
func (s *Store) deadSessions(boot string) (dead []*session, err error) {
	dir := s.at(pendingFolder, boot)
	// Exclusively, because between making and locking its file a living
	// process looks dead.
	err = s.collector.with(s, unix.LOCK_EX, func() error {
		names, err := s.sessions(boot)
		if err != nil {
			return err
		}
		for _, name := range names {
			f, err := os.Open(dir + "/" + name)
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
			dead = append(dead, &session{name: name, lock: f})
		}
		return nil
	})
	return dead, err
}
