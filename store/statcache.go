// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"osbuild/store/nar"
)

// The stat cache remembers the archive hash of trees by what lstat says of
// all their entries. Device, inode, size, mtime and ctime of every file are
// in the key: nobody can change a file and keep its ctime. The one exception
// is a change so soon after the listing that the clock of the file system
// has not moved on; so a tree with an entry as young as that is not
// remembered (git calls such an entry racy).

// fingerprint identifies the state of a tree.
type fingerprint struct {
	key  string
	racy bool
}

// Kernels stamp files with a clock that moves every 1 to 10 ms. File systems
// that keep whole seconds show it by their zeros.
const (
	fineClock   = 50 * time.Millisecond
	coarseClock = 2 * time.Second
)

func takeFingerprint(t *nar.Tree, started time.Time) fingerprint {
	h := sha256.New()
	h.Write([]byte("tree 1\n"))
	var (
		fp  fingerprint
		rec []byte
	)
	for k := range t.Nodes {
		n := &t.Nodes[k]
		rec = append(rec[:0], n.Path...)
		rec = append(rec, 0, n.Type[0], byte(n.Depth))
		switch n.Type {
		case nar.Symlink:
			rec = append(append(rec, n.Target...), 0)
		case nar.Regular:
			st := &n.Stat
			for _, v := range []uint64{
				st.Dev, st.Ino, uint64(st.Size), uint64(st.Mode),
				uint64(st.Mtim.Sec), uint64(st.Mtim.Nsec), uint64(st.Ctim.Sec), uint64(st.Ctim.Nsec),
			} {
				rec = binary.LittleEndian.AppendUint64(rec, v)
			}
			tick := fineClock
			if st.Ctim.Nsec == 0 {
				tick = coarseClock
			}
			if time.Unix(st.Ctim.Sec, st.Ctim.Nsec).After(started.Add(-tick)) {
				fp.racy = true
			}
		}
		h.Write(rec)
	}
	fp.key = hex.EncodeToString(h.Sum(nil))
	return fp
}

func (s *Store) cachePath(fp fingerprint) string { return s.at(cacheFolder, fp.key) }

// recall returns what was remembered of a tree.
func (s *Store) recall(fp fingerprint) (Hash, int64, bool) {
	data, err := os.ReadFile(s.cachePath(fp))
	if err != nil {
		return Hash{}, 0, false
	}
	return parseCached(data)
}

// parseCached reads an entry: the base 32 hash, a space, the size.
func parseCached(data []byte) (Hash, int64, bool) {
	line, ok := bytes.CutSuffix(data, []byte("\n"))
	if !ok {
		return Hash{}, 0, false
	}
	hash, text, _ := strings.Cut(string(line), " ")
	h, err := ParseHash(hash)
	if err != nil || len(hash) != len(h.Base32()) {
		return Hash{}, 0, false
	}
	size, err := strconv.ParseInt(text, 10, 64)
	return h, size, err == nil && size > 0
}

// remember notes the hash of a tree. It is a cache: failures do not matter.
func (s *Store) remember(fp fingerprint, h Hash, size int64) {
	if fp.racy || s.readOnly {
		return
	}
	entry := h.Base32() + " " + strconv.FormatInt(size, 10) + "\n"
	_ = s.writeFile(s.at(tempFolder), s.cachePath(fp), []byte(entry))
}

// cacheLife is how long an entry of the stat cache stays: a tree that is
// still in use is simply hashed again.
const cacheLife = 30 * 24 * time.Hour

// sweepCache removes old entries.
func (s *Store) sweepCache() error {
	entries, err := os.ReadDir(s.at(cacheFolder))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !s.older(e, cacheLife) {
			continue
		}
		if err := s.fs.Remove(s.at(cacheFolder, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
