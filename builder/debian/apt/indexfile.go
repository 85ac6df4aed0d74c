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

// indexFile is one index, unpacked.
type indexFile struct {
	data []byte
	// check waits for the check of data that runs meanwhile; nothing that was
	// read of data may be used before. nil: it is checked.
	check func() error
	// keep puts data into the cache; nil: it is there.
	keep func()
}

// index gets one index, from the cache if that is to be looked at.
func (h *Host) index(ctx context.Context, v *verified, name string, cached bool) (*indexFile, error) {
	if v.bare {
		data, err := h.bareIndex(ctx, v, name)
		return &indexFile{data: data}, err
	}
	c := cache{h.cfg.Cache}
	plain, plainKnown := v.files[name]
	if plainKnown && cached {
		if data := c.readIndex(plain); data != nil {
			return &indexFile{data: data, check: checkLater(data, plain, c)}, nil
		}
	}
	if !plainKnown {
		plain.size = -1
	}
	var errs []error
	for _, packing := range packings {
		want, ok := v.files[name+packing]
		if !ok {
			continue
		}
		packed := c.readIndex(want)
		var err error
		kept := packed != nil && checkSum(packed, want) == nil
		if !kept {
			packed, err = h.fetchIndex(ctx, v, name+packing, want)
		}
		if errors.Is(err, errNotFound) {
			// A release file lists indexes that are not offered in every form.
			errs = append(errs, err)
			continue
		}
		if err != nil {
			return nil, err
		}
		f := &indexFile{}
		if f.data, err = unpack(packing, packed, plain.size); err != nil {
			return nil, err
		}
		switch {
		case plainKnown:
			err = checkSum(f.data, plain)
			f.keep = func() { c.writeIndex(plain, f.data) }
		case !kept:
			f.keep = func() { c.writeIndex(want, packed) }
		}
		return f, err
	}
	if len(errs) > 0 {
		return nil, joinPlaces(errs)
	}
	return nil, fmt.Errorf("the release file has no SHA256 of it, so it cannot be verified (the archive has the components %q; the source at %s names those that are wanted)", v.components, v.archive.where)
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

// checkLater begins to check bytes from the cache, and drops them there if
// they are not what they have to be.
func checkLater(data []byte, want sum, c cache) func() error {
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
