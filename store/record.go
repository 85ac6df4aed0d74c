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
	"strings"

	"osbuild/store/fsys"
)

// Records are small files that other packages keep in the store: one folder
// db/<kind>, one file a key, each whole or not there. They are no items: a
// collection leaves them alone, and whoever keeps them must bear their loss.

func reservedKind(kind string) bool {
	return kind == strings.TrimPrefix(infoFolder, "db/") || kind == strings.TrimPrefix(cacheFolder, "db/")
}

// recordPath returns the place of a record.
func (s *Store) recordPath(kind, key string) (string, error) {
	for _, part := range []string{kind, key} {
		if part == "" || len(part) > 250 || strings.HasPrefix(part, ".") || strings.ContainsAny(part, "/\x00 \n") {
			return "", fmt.Errorf("cannot name a record %q/%q: kind and key are file names without spaces", kind, key)
		}
	}
	if reservedKind(kind) {
		return "", fmt.Errorf("cannot name a record %q/%q: the store keeps this kind itself", kind, key)
	}
	return s.at("db", kind, key), nil
}

// Record returns a record. If there is none, the error wraps [ErrNotFound].
func (s *Store) Record(kind, key string) ([]byte, error) {
	path, err := s.recordPath(kind, key)
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot find the record %s/%s: %w", kind, key, ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the record %s/%s: %w", kind, key, err)
	}
	return data, nil
}

// Records returns the keys of all records of a kind, sorted.
func (s *Store) Records(kind string) ([]string, error) {
	path, err := s.recordPath(kind, "any")
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(strings.TrimSuffix(path, "/any"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot list the records of %s: %w", kind, err)
	}
	keys := make([]string, 0, len(entries))
	for _, e := range entries {
		keys = append(keys, e.Name())
	}
	return keys, nil
}

// PutRecord writes a record, in place of an older one.
func (s *Store) PutRecord(kind, key string, data []byte) error {
	path, err := s.recordPath(kind, key)
	if err == nil {
		err = s.writable()
	}
	if err == nil {
		err = s.putRecord(kind, key, path, data)
	}
	if err != nil {
		return fmt.Errorf("cannot write the record %s/%s: %w", kind, key, s.explain(err))
	}
	return nil
}

func (s *Store) putRecord(kind, key, path string, data []byte) error {
	s.registering.RLock()
	defer s.registering.RUnlock()
	sum := sha256.Sum256(data)
	if _, err := s.pend("record " + kind + "/" + key + " " + hex.EncodeToString(sum[:])); err != nil {
		return err
	}
	err := s.writeFile(s.at(tempFolder), path, data)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// The first record of its kind.
	if err := fsys.MkdirAll(s.fs, s.at("db", kind), 0o755); err != nil {
		return err
	}
	return s.writeFile(s.at(tempFolder), path, data)
}

// PutRecordOnce writes a record unless there is one, and returns the one
// that is there afterwards: of several writers the first wins.
func (s *Store) PutRecordOnce(kind, key string, data []byte) (winner []byte, err error) {
	have, err := s.Record(kind, key)
	if err == nil || !errors.Is(err, ErrNotFound) {
		return have, err
	}
	if err := s.writable(); err != nil {
		return nil, err
	}
	// Records are many and the locks few: a lock guards all keys that start
	// alike.
	l, _, err := s.Lock(context.Background(), "record-"+strings.ToLower(key[:1]))
	if err != nil {
		return nil, err
	}
	have, err = s.Record(kind, key)
	if errors.Is(err, ErrNotFound) {
		have, err = data, s.PutRecord(kind, key, data)
	}
	return have, errors.Join(err, l.Unlock())
}

// DeleteRecord removes a record if it is there.
func (s *Store) DeleteRecord(kind, key string) error {
	path, err := s.recordPath(kind, key)
	if err == nil {
		err = s.writable()
	}
	if err != nil {
		return err
	}
	if err := s.fs.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot delete the record %s/%s: %w", kind, key, s.explain(err))
	}
	return nil
}
