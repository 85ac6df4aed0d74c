// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package cache

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"osbuild/store"
	"osbuild/store/cache/codec"
	"osbuild/store/cache/narinfo"
)

// acceptable says whether an item may come from a cache, as far as its
// narinfo tells: nothing is downloaded before. Signatures of other caches that
// count are added to it.
func (p *Puller) acceptable(ctx context.Context, c *Cache, n *narinfo.Narinfo) error {
	if limit := cmp.Or(p.MaxSize, DefaultMaxSize); n.NarSize > limit || n.FileSize > limit {
		return fmt.Errorf("%w: it has %d bytes, and more than %d are not taken", store.ErrWrong, max(n.NarSize, n.FileSize), limit)
	}
	if err := codec.Readable(n.Compression); err != nil {
		return err
	}
	if n.Compression == "none" {
		if n.FileSize != 0 && n.FileSize != n.NarSize || n.FileHash != (store.Hash{}) && n.FileHash != n.NarHash {
			return fmt.Errorf("%w: it is not compressed, but its file is another one than its archive", store.ErrWrong)
		}
	}
	if _, err := p.Believe(ctx, c, n); err != nil {
		return err
	}
	return possible(n.Info)
}

// possible refuses what no archive can be, whoever vouches for it.
func possible(i store.Info) error {
	if i.NarSize%8 != 0 {
		return fmt.Errorf("%w: no archive has %d bytes", store.ErrWrong, i.NarSize)
	}
	hash, ok := strings.CutPrefix(i.CA, "fixed:r:")
	if !ok || slices.Contains(i.References, i.Path) {
		return nil // its address is the hash of something else
	}
	if want, err := store.ParseHash(hash); err == nil && want != i.NarHash {
		return fmt.Errorf("%w: its content address tells: %w", store.ErrWrong, &store.HashMismatchError{Name: string(i.Path), Want: want.String(), Got: i.NarHash.String()})
	}
	return nil
}

// roomFor makes sure that the disk can take what is going to come.
func (p *Puller) roomFor(bytes int64) error {
	var st unix.Statfs_t
	if err := unix.Statfs(p.Store.Root(), &st); err != nil {
		return nil // it will show
	}
	if free := int64(st.Bavail) * st.Bsize; free < bytes {
		return fmt.Errorf("cannot pull: %d bytes are needed, and the disk that holds %s has %d free (free some space there, for example with \"osbuild store gc\", or choose another --root)", bytes, p.Store.Root(), free)
	}
	return nil
}
