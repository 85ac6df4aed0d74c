// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package cache

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"osbuild/store"
	"osbuild/store/cache/codec"
	"osbuild/store/cache/narinfo"
	"osbuild/store/cache/signature"
)

// acceptable says whether an item may come from a cache, as far as its
// narinfo tells: nothing is downloaded before.
func (p *Puller) acceptable(c *Cache, n narinfo.Narinfo) error {
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
	if n.CA != "" {
		// The path follows from the content, which is checked when it is here.
		return store.CheckAddress(n.Info)
	}
	if c.Trusted || p.Trust.Signer(signature.Item(n.Info), n.Sigs) != "" {
		return nil
	}
	if len(n.Sigs) == 0 {
		return fmt.Errorf("%w: it has neither a content address nor a signature", store.ErrWrong)
	}
	return fmt.Errorf("%w: it has no content address, and no signature of a trusted key (trust its key with --trusted-keys)", store.ErrWrong)
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

// Realisation tells what the derivation with this resolved key gave, and
// which cache says so. The error wraps [store.ErrNotFound] where no cache
// knows, or none that is trusted.
func (p *Puller) Realisation(ctx context.Context, resolved string) (Realisation, *Cache, error) {
	var failed []error
	for _, c := range p.Caches {
		r, err := c.Realisation(ctx, resolved)
		if ctx.Err() != nil {
			return r, nil, ctx.Err()
		}
		switch {
		case err == nil && (c.Trusted || p.Trust.Signer(r.Fingerprint(), r.Signatures) != ""):
			return r, c, nil
		case err == nil:
			p.warnOnce(c, fmt.Sprintf("what %s knows of builds is not signed by a trusted key, so it is not used (see --trusted-keys)", c))
		case !errors.Is(err, store.ErrNotFound):
			failed = append(failed, err)
		}
	}
	if len(failed) > 0 {
		return Realisation{}, nil, errors.Join(failed...)
	}
	return Realisation{}, nil, fmt.Errorf("cannot find a realisation: %w", store.ErrNotFound)
}

func (p *Puller) warnOnce(c *Cache, text string) {
	if _, before := p.warned.LoadOrStore(c, true); !before && p.Warn != nil {
		p.Warn(text)
	}
}
