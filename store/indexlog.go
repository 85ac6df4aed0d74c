// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"osbuild/store/fsys"
)

// Who registers holds a shared lock of the log from the first record to the
// next Sync. Who writes what was read from it, which may be old by now, needs
// the exclusive lock, does not wait for it, and gives up if the log has changed:
// so no old info of an item ever comes after a newer one.

// indexLog is the log that registrations are appended to.
type indexLog struct {
	out  fsys.File
	lock *os.File
}

func (l *indexLog) close() {
	_ = l.out.Close()  // see appendIndex
	_ = l.lock.Close() // only locked
}

// logState tells one state of the log from others: it only grows, until another
// file takes its place.
type logState struct {
	inode uint64
	size  int64
}

func stateOf(f *os.File) (logState, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return logState{}, &fs.PathError{Op: "fstat", Path: f.Name(), Err: err}
	}
	return logState{st.Ino, st.Size}, nil
}

// readLog reads the log; a missing one is empty.
func (s *Store) readLog() (text []byte, seen logState, err error) {
	f, err := os.Open(s.at(indexFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, logState{}, nil
	}
	if err != nil {
		return nil, logState{}, err
	}
	defer f.Close()
	if seen, err = stateOf(f); err != nil {
		return nil, seen, err
	}
	text = make([]byte, seen.size)
	n, err := io.ReadFull(f, text)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil // the disk has lost its end
	}
	return text[:n], seen, err
}

// lockLog opens the log and locks it. It is made where it is missing.
func (s *Store) lockLog(how int) (*os.File, error) {
	const tries = 10 // another file may take its place meanwhile
	path := s.at(indexFile)
	for range tries {
		f, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			var made fsys.File
			if made, err = s.fs.Append(path, 0o644); err == nil {
				err = made.Close()
			}
			if err != nil {
				return nil, err
			}
			continue
		}
		if err != nil {
			return nil, err
		}
		if err := flock(f, how); err != nil {
			return nil, errors.Join(err, f.Close())
		}
		mine, err := f.Stat()
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		if now, err := os.Lstat(path); err == nil && os.SameFile(mine, now) {
			return f, nil
		}
		_ = f.Close() // only locked
	}
	return nil, errors.New("the index is replaced all the time")
}

// appendIndex adds infos to the log. Failures do not matter: what it lacks is
// found in the info files. It stays open until the next Sync.
func (s *Store) appendIndex(infos ...Info) {
	b := encodeIndex(infos)
	s.indexMu.Lock()
	defer s.indexMu.Unlock()
	if s.index == nil {
		lock, err := s.lockLog(unix.LOCK_SH)
		if err != nil {
			return
		}
		out, err := s.fs.Append(s.at(indexFile), 0o644)
		if err != nil {
			_ = lock.Close() // only locked
			return
		}
		s.index = &indexLog{out, lock}
	}
	_, _ = s.index.out.Write(b)
}

func encodeIndex(infos []Info) []byte {
	var b []byte
	for _, i := range infos {
		b = appendRecord(b, i.Encode())
	}
	return b
}

// closeIndex closes the log.
func (s *Store) closeIndex() {
	s.indexMu.Lock()
	defer s.indexMu.Unlock()
	s.closeIndexLocked()
}

func (s *Store) closeIndexLocked() {
	if s.index != nil {
		s.index.close()
		s.index = nil
	}
}

// changeIndex calls change while nobody appends to the log, if it still is what
// was seen, and tells its state after that.
func (s *Store) changeIndex(seen logState, change func() error) (logState, bool) {
	s.indexMu.Lock()
	defer s.indexMu.Unlock()
	s.closeIndexLocked()
	lock, err := s.lockLog(unix.LOCK_EX | unix.LOCK_NB)
	if err != nil {
		return seen, false
	}
	defer lock.Close()
	now, err := stateOf(lock)
	// One that was missing is an empty one now.
	if err != nil || now != seen && (seen != logState{} || now.size != 0) {
		return seen, false
	}
	if err := change(); err != nil {
		return seen, false
	}
	f, err := os.Open(s.at(indexFile))
	if err != nil {
		return seen, false
	}
	defer f.Close()
	now, err = stateOf(f)
	return now, err == nil
}

// improveIndex makes the log complete for the next reader. Failures do not
// matter.
func (s *Store) improveIndex(seen logState, infos map[Path]Info, fresh []Info, torn bool, known int) logState {
	const slack = 64 // records that a rewrite is not worth
	switch {
	case s.readOnly:
	case torn || known+len(fresh) > 2*len(infos)+slack:
		seen, _ = s.rewriteIndex(seen, infos)
	case len(fresh) > 0:
		seen, _ = s.changeIndex(seen, func() error {
			out, err := s.fs.Append(s.at(indexFile), 0o644)
			if err == nil {
				_, err = out.Write(encodeIndex(fresh))
				err = errors.Join(err, out.Close())
			}
			return err
		})
	}
	return seen
}

// rewriteIndex replaces the log that was seen. It tells whether it did: it does
// not where others append to it.
func (s *Store) rewriteIndex(seen logState, infos map[Path]Info) (logState, bool) {
	return s.changeIndex(seen, func() error {
		var b bytes.Buffer
		var rec []byte
		for _, p := range sortedKeys(infos) {
			rec = appendRecord(rec[:0], infos[p].Encode())
			b.Write(rec)
		}
		return s.writeFile(s.at(tempFolder), s.at(indexFile), b.Bytes())
	})
}

// dropIndex removes the log, where it may hold what is not true any more.
func (s *Store) dropIndex() error {
	err := s.fs.Remove(s.at(indexFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
