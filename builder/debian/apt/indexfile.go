// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package apt

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path"
)

// index returns one index, unpacked. verify waits for the check of its bytes,
// which runs meanwhile; nothing of them may be used before.
func (h *Host) index(ctx context.Context, v *verified, name string) (data []byte, verify func() error, err error) {
	if v.bare {
		data, err := h.bareIndex(ctx, v, name)
		return data, func() error { return nil }, err
	}
	c := cache{h.cfg.Cache}
	plain, plainKnown := v.files[name]
	if plainKnown {
		if data := c.readIndex(plain); data != nil {
			return data, verifyLater(data, plain, c), nil
		}
	}
	var errs []error
	for _, packing := range packings {
		packed, ok := v.files[name+packing]
		if !ok {
			continue
		}
		size := int64(-1)
		if plainKnown {
			size = plain.size
		} else if data := c.readIndex(packed); data != nil && verifyLater(data, packed, c)() == nil {
			data, err := unpack(packing, data, size)
			return data, func() error { return nil }, err
		}
		data, err := h.fetchIndex(ctx, v, name+packing, packed)
		if err != nil {
			// A release file lists indexes that are not offered in every form.
			errs = append(errs, err)
			if errors.Is(err, errNotFound) {
				continue
			}
			return nil, nil, err
		}
		unpacked, err := unpack(packing, data, size)
		if err == nil && plainKnown {
			err = checkSum(unpacked, plain)
		}
		if err != nil {
			return nil, nil, err
		}
		if plainKnown {
			c.writeIndex(plain, unpacked)
		} else {
			c.writeIndex(packed, data)
		}
		return unpacked, func() error { return nil }, nil
	}
	if len(errs) > 0 {
		return nil, nil, joinPlaces(errs)
	}
	return nil, nil, fmt.Errorf("the release file has no SHA256 of it, so it cannot be verified (is the component right? the source at %s names it)", v.archive.where)
}

// fetchIndex gets an index by its hash where the archive offers that, since
// then it does not change while we read, or else by its name.
func (h *Host) fetchIndex(ctx context.Context, v *verified, name string, want sum) ([]byte, error) {
	if want.size > maxPacked {
		return nil, fmt.Errorf("it has %d bytes, more than %d", want.size, maxPacked)
	}
	byHash := v.archive.options.byHash
	if byHash == "" {
		byHash = "no"
		if v.byHash && h.conf.flag("Acquire::By-Hash", true) {
			byHash = "yes"
		}
	}
	var places []place
	for _, m := range v.archive.mirrors {
		full := v.archive.dist() + name
		if byHash != "no" {
			places = append(places, place{m, path.Join(path.Dir(full), "by-hash/SHA256", want.sha256)})
		}
		if byHash != "force" {
			places = append(places, place{m, full})
		}
	}
	buf := &memory{}
	t := &transfer{host: h, what: v.archive.suite + " " + name, want: want, to: buf}
	if err := t.run(ctx, places); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

// bareIndex gets the index of an archive without a release file, which its
// source allows.
func (h *Host) bareIndex(ctx context.Context, v *verified, name string) ([]byte, error) {
	var errs []error
	for _, m := range v.archive.mirrors {
		for _, packing := range packings {
			p := place{m, v.archive.dist() + name + packing}
			data, _, err := h.small(ctx, query{mirror: m, name: p.name}, maxPacked)
			if err == nil {
				return unpack(packing, data, -1)
			}
			errs = append(errs, fmt.Errorf("%s: %w", p, err))
		}
	}
	return nil, joinPlaces(errs)
}

// verifyLater begins to check bytes from the cache, and drops them there if
// they are not what they have to be.
func verifyLater(data []byte, want sum, c cache) func() error {
	result := make(chan error, 1)
	go func() {
		err := checkSum(data, want)
		if err != nil {
			c.dropIndex(want)
		}
		result <- err
	}()
	return func() error { return <-result }
}

func checkSum(data []byte, want sum) error {
	digest := sha256.Sum256(data)
	if got := hex.EncodeToString(digest[:]); got != want.sha256 {
		return fmt.Errorf("%w: its SHA256 is %s, not %s", ErrMismatch, got, want.sha256)
	}
	return nil
}

// memory takes a transfer, and can begin anew.
type memory struct{ bytes.Buffer }

func (m *memory) Seek(int64, int) (int64, error) { return 0, nil }

func (m *memory) Truncate(int64) error {
	m.Reset()
	return nil
}
