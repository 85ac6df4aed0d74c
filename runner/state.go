// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"osbuild/runner/mount"
)

// stateFolders are kept between runs by --state, with their modes.
var stateFolders = []struct {
	name string
	mode os.FileMode
}{{"home", 0o755}, {"root", 0o700}, {"srv", 0o755}, {"var", 0o755}}

const stateFile = "state.json"

// stateRecord is what a state folder says of itself. Files in it belong to ids
// of the range, so a later run must have the same.
type stateRecord struct {
	Version int `json:"version"`
	// FirstID is 0 for a state of a user, whose ids do not change.
	FirstID int `json:"firstId"`
	IDs     int `json:"ids"`
}

// stateVersion is the version of stateRecord.
const stateVersion = 1

// state is a state folder that this run has to itself.
type state struct {
	dir    string
	record stateRecord
	fresh  bool
	lock   *os.File
}

// openState takes a state folder, which is made if need be. Nobody but its owner
// can look into it: it holds set-id programs and devices of a foreign root.
func openState(dir string) (*state, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("cannot use the state folder: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot use the state folder: %w", err)
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return nil, fmt.Errorf("cannot use the state folder: %w", err)
	}
	s := &state{dir: dir}
	s.lock, err = os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot use the state folder: %w", err)
	}
	if err := unix.Flock(int(s.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		s.lock.Close()
		return nil, fmt.Errorf("the state folder %s is %w", dir, ErrInUse)
	}
	if err := s.read(); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *state) read() error {
	data, err := os.ReadFile(filepath.Join(s.dir, stateFile))
	if errors.Is(err, fs.ErrNotExist) {
		names, err := os.ReadDir(s.dir)
		if err != nil {
			return fmt.Errorf("cannot use the state folder: %w", err)
		}
		for _, n := range names {
			if n.Name() != lockFile {
				return fmt.Errorf("cannot keep state in %s: it holds %s and is no state folder; name an empty or new folder", s.dir, n.Name())
			}
		}
		s.fresh = true
		return nil
	}
	if err == nil {
		err = json.Unmarshal(data, &s.record)
	}
	if err == nil && s.record.Version != stateVersion {
		err = fmt.Errorf("version %d is not known", s.record.Version)
	}
	if err != nil {
		return fmt.Errorf("cannot use the state folder: %s: %w", filepath.Join(s.dir, stateFile), err)
	}
	return nil
}

// settle makes the folders of a fresh state for the container's ids, or says
// why these ids cannot use it.
func (s *state) settle(who *identity, count int) error {
	now := stateRecord{Version: stateVersion, FirstID: who.base(), IDs: count}
	if !s.fresh {
		if now != s.record {
			return fmt.Errorf("cannot use the state folder %s: it was made for %d ids from %d, this container has %d from %d",
				s.dir, s.record.IDs, s.record.FirstID, now.IDs, now.FirstID)
		}
		return nil
	}
	if err := os.Chmod(s.dir, 0o700); err != nil {
		return fmt.Errorf("cannot make the state folder: %w", err)
	}
	for _, f := range stateFolders {
		at := filepath.Join(s.dir, f.name)
		err := os.Mkdir(at, f.mode)
		if err == nil {
			err = os.Chmod(at, f.mode)
		}
		if err == nil && who.asRoot {
			err = os.Lchown(at, who.base(), who.base())
		}
		if err != nil {
			return fmt.Errorf("cannot make the state folder: %w", err)
		}
	}
	data, err := json.Marshal(now)
	if err != nil {
		return err
	}
	// Last: without this file the folder is not a state yet.
	return writeFile(filepath.Join(s.dir, stateFile), append(data, '\n'), 0o600)
}

// binds shows the folders in the container.
func (s *state) binds() []mount.Bind {
	var out []mount.Bind
	for _, f := range stateFolders {
		out = append(out, mount.Bind{
			Source: filepath.Join(s.dir, f.name), Target: "/" + f.name, Dir: true,
			Flags: mount.Flags{NoSuid: true, NoDev: true},
		})
	}
	return out
}

func (s *state) close() { s.lock.Close() }
