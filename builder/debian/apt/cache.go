// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package apt

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// keepUnused is how long an index stays in the cache after its last use.
const keepUnused = 30 * 24 * time.Hour

// cache keeps indexes by their hash, and the last good release file of each
// archive. Files appear whole, by renaming, so processes may share it. What is
// read is verified anew: the cache is no place of trust, only of speed. Errors
// of writing are therefore not told: the next run fetches again.
type cache struct{ dir string }

func (c cache) index(s sum) string { return filepath.Join(c.dir, "index", s.sha256) }

// readIndex returns the bytes of an index, which are not verified yet, or nil.
func (c cache) readIndex(s sum) []byte {
	if c.dir == "" {
		return nil
	}
	data, err := os.ReadFile(c.index(s))
	if err != nil || int64(len(data)) != s.size {
		return nil
	}
	if info, err := os.Stat(c.index(s)); err == nil && time.Since(info.ModTime()) > 24*time.Hour {
		_ = os.Chtimes(c.index(s), time.Now(), time.Now())
	}
	return data
}

// dropIndex removes an index that turned out to be spoiled.
func (c cache) dropIndex(s sum) { _ = os.Remove(c.index(s)) }

// writeIndex keeps an index, and removes those that nobody used for long.
func (c cache) writeIndex(s sum, data []byte) {
	if c.dir == "" || writeAtomic(c.index(s), data) != nil {
		return
	}
	entries, _ := os.ReadDir(filepath.Join(c.dir, "index"))
	for _, e := range entries {
		if info, err := e.Info(); err == nil && time.Since(info.ModTime()) > keepUnused {
			_ = os.Remove(filepath.Join(c.dir, "index", e.Name()))
		}
	}
}

// kept is the last good release file of an archive, as it came, with what its
// server said to recognise it by.
type kept struct {
	Modified string `json:"modified,omitempty"`
	Tag      string `json:"tag,omitempty"`
	// Text is the InRelease, or the Release where Signature is set.
	Text      []byte `json:"-"`
	Signature []byte `json:"-"`
	// Size is that of Text.
	Size int `json:"size"`
}

// release is the file of an archive's kept release: one line of JSON, then
// Text, then Signature.
func (c cache) release(a *archive) string {
	key := sha256.Sum256([]byte(a.uri + "\n" + a.suite + "\n" + a.options.releasePath))
	return filepath.Join(c.dir, "release", hex.EncodeToString(key[:]))
}

func (c cache) readRelease(a *archive) (*kept, bool) {
	if c.dir == "" {
		return nil, false
	}
	data, err := os.ReadFile(c.release(a))
	if err != nil {
		return nil, false
	}
	head, rest, ok := bytes.Cut(data, []byte("\n"))
	k := &kept{}
	if !ok || json.Unmarshal(head, k) != nil || k.Size < 0 || k.Size > len(rest) {
		return nil, false
	}
	k.Text = rest[:k.Size]
	if k.Size < len(rest) {
		k.Signature = rest[k.Size:]
	}
	return k, true
}

func (c cache) writeRelease(a *archive, k *kept) {
	if c.dir == "" {
		return
	}
	k.Size = len(k.Text)
	head, err := json.Marshal(k)
	if err != nil {
		return
	}
	data := append(append(append(head, '\n'), k.Text...), k.Signature...)
	if old, err := os.ReadFile(c.release(a)); err == nil && bytes.Equal(old, data) {
		return
	}
	_ = writeAtomic(c.release(a), data)
}

// writeAtomic puts a whole file in its place.
func writeAtomic(name string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	if _, err := os.Stat(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(name), ".new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(0o644), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}
