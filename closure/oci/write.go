// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sync/errgroup"

	"osbuild/closure/layers"
	"osbuild/closure/segment"
)

// writeLayers writes all layers, several at a time, and returns them in order.
func writeLayers(ctx context.Context, w *writer, packed []layers.Layer, o Options) ([]blob, error) {
	encoders := make(chan *segment.Encoder, o.Jobs)
	for range o.Jobs {
		e, err := segment.NewEncoder(o.Format)
		if err != nil {
			return nil, err
		}
		encoders <- e
	}
	// The largest first: at the end nobody waits for one that came last.
	order := make([]int, len(packed))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(packed[b].Size(), packed[a].Size()) })

	blobs := make([]blob, len(packed))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(o.Jobs)
	for _, i := range order {
		group.Go(func() error {
			e := <-encoders
			defer func() { encoders <- e }()
			var err error
			blobs[i], err = writeLayer(ctx, filepath.Join(w.work, fmt.Sprintf("layer-%d", i)), packed[i], e)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	for i := range blobs {
		blobs[i].MediaType = layerType(o.Format)
	}
	return blobs, nil
}

// writeLayer writes a layer: the folders that its parts share with others,
// each part, and the end of the archive, all as pieces of their own.
func writeLayer(ctx context.Context, file string, l layers.Layer, e *segment.Encoder) (b blob, err error) {
	f, err := os.Create(file)
	if err != nil {
		return blob{}, err
	}
	defer func() {
		if cerr := f.Close(); err == nil {
			err = cerr
		}
	}()
	plain, packed := sha256.New(), &counter{hash: sha256.New(), w: f}
	if err := e.Write(ctx, plain, packed, l.Parents()); err != nil {
		return blob{}, err
	}
	for _, p := range l.Parts {
		if err := e.Write(ctx, plain, packed, p.Entries); err != nil {
			return blob{}, err
		}
	}
	if err := e.End(plain, packed); err != nil {
		return blob{}, err
	}
	return blob{descriptor: descriptor{Digest: sum(packed.hash), Size: packed.n}, file: file, diffID: sum(plain)}, nil
}

// counter passes on what is written and keeps its size and its digest.
type counter struct {
	w    io.Writer
	hash hash.Hash
	n    int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.hash.Write(p[:n])
	c.n += int64(n)
	return n, err
}

func sum(h hash.Hash) string { return digestPrefix + hex.EncodeToString(h.Sum(nil)) }
