// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

// Package origin shows a store as the files of a binary cache, none of which
// is written anywhere: narinfos come from info files, and archives are put
// together as they are read.
//
// It owns the names of these files, and that nothing is collected while
// somebody fetches it. It serves as a location for caches of this machine;
// store/cache/serve speaks HTTP for it. Start with [Origin.Open].
package origin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"osbuild/store"
	"osbuild/store/cache"
	"osbuild/store/cache/location"
	"osbuild/store/cache/narinfo"
	"osbuild/store/cache/signature"
	"osbuild/store/nar"
)

// DefaultPriority comes before that of caches that do not say.
const DefaultPriority = 40

// SharedRecords is the kind of the store's records that hold realisations as
// others signed them.
const SharedRecords = "shared"

// Origin is a store, seen as a cache.
type Origin struct {
	Store *store.Store
	// Key signs items and what was built here; nil signs nothing.
	Key *signature.Secret
	// Priority of the cache.
	Priority int
	// Built tells what a derivation gave that was realised in this store, by
	// its resolved key, and whether it was built here: then the key vouches
	// for it. nil where that is not known.
	Built func(resolved string) (outs map[string]store.Path, here bool, err error)

	keeper keeper
}

// Content is a file of the cache.
type Content struct {
	io.ReadSeeker
	Size int64
	// Type is the media type.
	Type string
	// Hash is that of an archive, zero for other files.
	Hash store.Hash
	// Release ends the reading.
	Release func()
}

// Open gives a file by its name. The error wraps [fs.ErrNotExist] where there
// is none.
func (o *Origin) Open(ctx context.Context, name string) (*Content, error) {
	folder, file, _ := strings.Cut(name, "/")
	switch {
	case name == narinfo.AboutName:
		about := narinfo.About{StoreDir: store.Dir, Priority: o.Priority, WantMassQuery: true}
		return text(about.Encode(), "text/x-nix-cache-info"), nil
	case strings.HasSuffix(name, narinfo.Extension):
		i, release, err := o.item(strings.TrimSuffix(name, narinfo.Extension))
		if err != nil {
			return nil, err
		}
		defer release()
		return text(o.Narinfo(i).Encode(), "text/x-nix-narinfo"), nil
	case strings.HasSuffix(name, ".ls"):
		i, release, err := o.item(strings.TrimSuffix(name, ".ls"))
		if err != nil {
			return nil, err
		}
		defer release()
		listing, err := cache.Listing(ctx, o.Store.Physical(i.Path))
		if err != nil {
			return nil, err
		}
		return text(listing, "application/json"), nil
	case folder == "nar":
		return o.archive(ctx, file)
	case folder+"/" == cache.RealisationFolder && strings.HasSuffix(file, ".json"):
		r, err := o.Realisation(strings.TrimSuffix(file, ".json"))
		if err != nil {
			return nil, err
		}
		return text(r.Encode(), "application/json"), nil
	}
	return nil, missing(name)
}

func missing(name string) error { return &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist} }

func text(b []byte, typ string) *Content {
	return &Content{ReadSeeker: bytes.NewReader(b), Size: int64(len(b)), Type: typ, Release: func() {}}
}

// item finds an item by its digest, and protects it for a while, and at least
// until release.
func (o *Origin) item(digest string) (i store.Info, release func(), err error) {
	i, err = o.Store.Lookup(digest)
	if err == nil {
		if release, err = o.keeper.keep(o.Store, i.Path); err != nil {
			return i, nil, err
		}
		if o.Store.Valid(i.Path) {
			return i, release, nil
		}
		release()
		err = store.ErrNotFound
	}
	if errors.Is(err, store.ErrNotFound) {
		err = missing(digest)
	}
	return i, nil, err
}

// Keep protects items for a while, whether they are valid yet or not.
func (o *Origin) Keep(paths ...store.Path) error {
	release, err := o.keeper.keep(o.Store, paths...)
	if err != nil {
		return err
	}
	release()
	return nil
}

// Narinfo gives what the cache says of an item. The archive's name tells both
// which item it is and which bytes.
func (o *Origin) Narinfo(i store.Info) narinfo.Narinfo {
	if o.Key != nil {
		i.Sigs = append(slices.Clone(i.Sigs), o.Key.Sign(signature.Item(i)))
		slices.Sort(i.Sigs)
		i.Sigs = slices.Compact(i.Sigs)
	}
	return narinfo.Narinfo{
		Info: i, URL: "nar/" + i.Path.Digest() + "-" + i.NarHash.Base32() + ".nar",
		Compression: "none", FileHash: i.NarHash, FileSize: i.NarSize,
	}
}

func (o *Origin) archive(ctx context.Context, file string) (*Content, error) {
	digest, hash, _ := strings.Cut(strings.TrimSuffix(file, ".nar"), "-")
	i, release, err := o.item(digest)
	if err != nil {
		return nil, err
	}
	if i.NarHash.Base32() != hash {
		release()
		return nil, missing(file)
	}
	tree, err := nar.List(ctx, o.Store.Physical(i.Path), nil)
	if err == nil {
		var r *reader
		if r, err = newReader(ctx, tree); err == nil && r.layout.Size != i.NarSize {
			err = fmt.Errorf("cannot read %s: its tree has another size than registered (see `osbuild store verify`)", i.Path)
		}
		if err == nil {
			return &Content{ReadSeeker: r, Size: i.NarSize, Type: "application/x-nix-nar", Hash: i.NarHash, Release: func() {
				r.close()
				release()
			}}, nil
		}
	}
	release()
	return nil, err
}

// Realisation tells what a build gave: what was built here, or what others
// shared.
func (o *Origin) Realisation(resolved string) (cache.Realisation, error) {
	none := missing(cache.RealisationName(resolved))
	shared, err := o.shared(resolved)
	known := err == nil
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return cache.Realisation{}, none // no sound name of a record
	}
	if o.Built != nil {
		outs, here, err := o.Built(resolved)
		switch {
		case errors.Is(err, store.ErrNotFound):
		case err != nil:
			return cache.Realisation{}, err
		default:
			if !known || !maps.Equal(shared.Outputs, outs) {
				shared = cache.Realisation{Version: cache.RealisationVersion, Resolved: resolved, Outputs: outs}
			}
			known = true
			if here && o.Key != nil {
				shared.Sign(*o.Key)
			}
		}
	}
	if !known {
		return cache.Realisation{}, none
	}
	return shared, nil
}

func (o *Origin) shared(resolved string) (cache.Realisation, error) {
	text, err := o.Store.Record(SharedRecords, resolved)
	if err != nil {
		return cache.Realisation{}, err
	}
	r, err := cache.ParseRealisation(text)
	if err != nil || r.Resolved != resolved {
		return cache.Realisation{}, store.ErrNotFound // torn by a crash
	}
	return r, nil
}

// Close ends the protection of what was fetched.
func (o *Origin) Close() error { return o.keeper.close() }

// Place is an origin as a location that can only be read.
type Place struct{ *Origin }

var _ location.Location = Place{}

// String implements [location.Location].
func (p Place) String() string { return "file://" + p.Store.Root() }

// Open implements [location.Location].
func (p Place) Open(ctx context.Context, name string) (io.ReadCloser, int64, error) {
	c, err := p.Origin.Open(ctx, name)
	if err != nil {
		return nil, 0, err
	}
	return released{c}, c.Size, nil
}

type released struct{ *Content }

func (r released) Close() error {
	r.Release()
	return nil
}

// Has implements [location.Location].
func (p Place) Has(ctx context.Context, name string) (bool, error) {
	c, err := p.Origin.Open(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	c.Release()
	return true, nil
}

// Create implements [location.Location].
func (p Place) Create(context.Context) (location.Upload, error) {
	return nil, fmt.Errorf("cannot write to %s as to a cache: it is a store: %w", p, location.ErrReadOnly)
}

// Sync implements [location.Location].
func (p Place) Sync() error { return nil }
