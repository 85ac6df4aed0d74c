// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"slices"
	"strings"
	"unsafe"
)

// The index is a log of info files, so that a reader of all of them opens
// one file. It is a cache: what it lacks is read from the info files, what
// it has too much is ignored, and it may be deleted at any time. A record is
// the length and the checksum of a text, both 32 bits, and the text.

var crcTable = crc32.MakeTable(crc32.Castagnoli)

const recordHeader = 8

func appendRecord(b, text []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(len(text)))
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(text, crcTable))
	return append(b, text...)
}

// decodeIndex returns the infos of a log up to the first record that is torn
// or damaged, and whether there was one. Of two of an item the later counts. The
// caller does not change b any more.
func decodeIndex(b []byte) (infos []Info, torn bool) {
	const usual = 512 // bytes of a record
	infos = make([]Info, 0, len(b)/usual)
	for len(b) > 0 {
		if len(b) < recordHeader {
			return infos, true
		}
		n := binary.LittleEndian.Uint32(b)
		sum := binary.LittleEndian.Uint32(b[4:])
		b = b[recordHeader:]
		if n > maxInfo || uint64(n) > uint64(len(b)) || crc32.Checksum(b[:n], crcTable) != sum {
			return infos, true
		}
		// The infos are parts of the log, of which there is one copy: it is the
		// greatest part of what a large store needs of memory. Nobody changes b.
		i, err := decodeInfo(unsafe.String(unsafe.SliceData(b), n))
		if err != nil {
			return infos, true
		}
		infos = append(infos, i)
		b = b[n:]
	}
	return infos, false
}

// Infos returns the infos of all valid items, sorted by path.
func (s *Store) Infos() ([]Info, error) {
	infos, _, err := s.load()
	if err != nil {
		return nil, fmt.Errorf("cannot list the store: %w", err)
	}
	list := make([]Info, 0, len(infos))
	for _, p := range sortedKeys(infos) {
		list = append(list, infos[p])
	}
	return list, nil
}

// sortedKeys sorts by the first characters of the digests, which are random and
// lie together in memory, and only where these are equal by the whole paths.
func sortedKeys(infos map[Path]Info) []Path {
	type entry struct {
		start uint64
		path  Path
	}
	entries := make([]entry, 0, len(infos))
	for p := range infos {
		entries = append(entries, entry{digestStart(p), p})
	}
	slices.SortFunc(entries, func(a, b entry) int {
		if a.start != b.start {
			return cmp.Compare(a.start, b.start)
		}
		return cmp.Compare(a.path, b.path)
	})
	paths := make([]Path, len(entries))
	for k, e := range entries {
		paths[k] = e.path
	}
	return paths
}

// load reads all infos, by path. damaged are the names of files that are no
// sound info files.
func (s *Store) load() (infos map[Path]Info, damaged []string, err error) {
	infos, damaged, _, err = s.loadWith(true)
	return infos, damaged, err
}

// loadWith is load, with the help of the index or without, and tells the state
// of the log that holds no more than what it read.
func (s *Store) loadWith(index bool) (infos map[Path]Info, damaged []string, seen logState, err error) {
	// The folder is read after the log: an item that is registered in
	// between is then found in the folder.
	log, seen, err := s.readLog()
	if err != nil {
		return nil, nil, seen, err
	}
	if !index {
		log = nil
	}
	indexed, torn := decodeIndex(log)
	known := make(map[string]int, len(indexed)) // places in indexed, by digest
	for k := range indexed {
		known[indexed[k].Path.Digest()] = k
	}
	dir, err := os.Open(s.at(infoFolder))
	if err != nil {
		return nil, nil, seen, err
	}
	names, err := dir.Readdirnames(-1)
	if err = errors.Join(err, dir.Close()); err != nil {
		return nil, nil, seen, err
	}
	infos = make(map[Path]Info, len(names))
	var fresh []Info
	for _, name := range names {
		digest := strings.TrimSuffix(name, ".narinfo")
		var i Info
		if k, ok := known[digest]; ok {
			i = indexed[k]
		} else {
			text, err := os.ReadFile(s.at(infoFolder, name))
			if errors.Is(err, fs.ErrNotExist) {
				continue // collected just now
			}
			if err != nil {
				return nil, nil, seen, err
			}
			if i, err = DecodeInfo(text); err != nil || i.Path.Digest()+".narinfo" != name {
				damaged = append(damaged, name)
				continue
			}
			fresh = append(fresh, i)
		}
		if !s.suspect[i.Path] {
			infos[i.Path] = i
		}
	}
	if index {
		seen = s.improveIndex(seen, infos, fresh, torn, len(known))
	}
	return infos, damaged, seen, nil
}

// All returns the paths of all valid items, sorted.
func (s *Store) All() ([]Path, error) {
	infos, err := s.Infos()
	if err != nil {
		return nil, err
	}
	paths := make([]Path, len(infos))
	for k, i := range infos {
		paths[k] = i.Path
	}
	return paths, nil
}

// Referrers returns the valid items that refer to p, sorted; p itself may be
// one.
func (s *Store) Referrers(p Path) ([]Path, error) {
	if _, err := s.Info(p); err != nil {
		return nil, err
	}
	infos, err := s.Infos()
	if err != nil {
		return nil, err
	}
	var out []Path
	for _, i := range infos {
		if slices.Contains(i.References, p) {
			out = append(out, i.Path)
		}
	}
	return out, nil
}
