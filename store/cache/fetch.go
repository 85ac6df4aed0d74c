// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package cache

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"

	"osbuild/store"
	"osbuild/store/cache/codec"
	"osbuild/store/cache/location"
	"osbuild/store/cache/narinfo"
)

// fetch downloads what is wanted, and registers it when all of it is there.
func (p *Puller) fetch(ctx context.Context, l *store.Lease, list []wanted) error {
	joined := make([]*flight, len(list))
	err := p.fly(ctx, l, list, joined)
	for err == nil {
		var lost bool
		if lost, err = p.admit(ctx, l, list, joined); !lost {
			break
		}
		// Another call has failed to register what both wanted, which may be
		// because of what this one does not want.
		err = p.fly(ctx, l, list, joined)
	}
	for k, w := range list {
		if joined[k] != nil {
			err = errors.Join(err, p.flights.leave(w.info.Path, joined[k]))
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// fly brings all items here for which there is no flight yet.
func (p *Puller) fly(ctx context.Context, l *store.Lease, list []wanted, joined []*flight) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce(list))
	for k, w := range list {
		if joined[k] != nil {
			continue
		}
		g.Go(func() (err error) {
			joined[k], err = p.flyOne(gctx, l, w)
			end := Transfer{Path: w.info.Path, Total: w.info.NarSize, Settled: true, Err: err}
			if err == nil {
				end.Done = end.Total
			}
			p.Observe.tell(end)
			return err
		})
	}
	return g.Wait()
}

// atOnce is how many archives are worth fetching side by side. What lies in
// folders keeps the processors busy, and nobody waits for an answer.
func atOnce(list []wanted) int {
	for _, w := range list {
		if _, ok := w.from.Location.(*location.Folder); !ok {
			return downloads
		}
	}
	return min(downloads, runtime.GOMAXPROCS(0)+1)
}

// admit registers what has arrived and is not registered yet. Where something
// was lost, because another call tried and failed, it gives up those flights
// and registers nothing.
func (p *Puller) admit(ctx context.Context, l *store.Lease, list []wanted, joined []*flight) (lost bool, err error) {
	p.flights.admitting.Lock()
	defer p.flights.admitting.Unlock()
	var own []*flight
	var arrivals []*store.Arrival
	for k, fl := range joined {
		switch {
		case fl.lost:
			lost, joined[k] = true, nil
			err = errors.Join(err, p.flights.leave(list[k].info.Path, fl))
		case fl.arrival != nil && !fl.admitted:
			own, arrivals = append(own, fl), append(arrivals, fl.arrival)
		}
	}
	if lost || err != nil {
		return lost, err
	}
	err = p.Store.Admit(ctx, l, arrivals...)
	for _, fl := range own {
		path := fl.arrival.Info.Path
		if fl.admitted = err == nil || p.Store.Valid(path); !fl.admitted {
			p.flights.lose(path, fl) // it was removed
		}
	}
	return false, err
}

// download gets an item from the cache that was planned or, where that
// fails, from the next one that has the same.
func (p *Puller) download(ctx context.Context, l *store.Lease, w wanted) landing {
	var failed []error
	rest := p.Caches[slices.Index(p.Caches, w.from)+1:]
	for {
		a, err := p.downloadFrom(ctx, l, w)
		if err == nil || ctx.Err() != nil {
			return landing{a, w.from, err}
		}
		failed = append(failed, fmt.Errorf("cannot get %s from %s: %w", w.info.Path, w.from, err))
		if w, err = p.another(ctx, w, rest); err != nil {
			return landing{err: errors.Join(failed...)}
		}
		rest = rest[slices.Index(rest, w.from)+1:]
	}
}

// another finds a cache that has the same, as far as one can tell before.
func (p *Puller) another(ctx context.Context, w wanted, rest []*Cache) (wanted, error) {
	for {
		n, c, err := p.find(ctx, w.info.Path, rest)
		if err != nil {
			return w, err
		}
		next := wanted{n, c, w.rules}
		if slices.Equal(n.References, w.info.References) && p.satisfiedToo(ctx, &next) == nil {
			return next, nil
		}
		rest = rest[slices.Index(rest, c)+1:]
	}
}

func (p *Puller) downloadFrom(ctx context.Context, l *store.Lease, w wanted) (*store.Arrival, error) {
	n := w.info
	r, size, err := w.from.Location.Open(ctx, n.URL)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if size >= 0 && n.FileSize > 0 && size != n.FileSize {
		return nil, fmt.Errorf("%w: its file %s has %d bytes, but %d are announced", store.ErrWrong, n.URL, size, n.FileSize)
	}
	// What is not announced is bounded all the same.
	file := &fileCheck{r: r, left: cmp.Or(n.FileSize, 2*n.NarSize+1<<20)}
	if n.Compression != "none" {
		file.digest = newDigester()
	}
	d, err := codec.NewReader(n.Compression, file)
	if err != nil {
		return nil, wrongData(err)
	}
	defer d.Close()
	passed := &passing{tell: p.Observe, t: Transfer{Path: n.Path, Total: n.NarSize}}
	a, err := p.Store.Unpack(ctx, l, n.Info, passingReader{d, passed})
	if err != nil {
		return nil, wrongData(err)
	}
	if err := file.done(n); err != nil {
		return nil, errors.Join(err, a.Discard())
	}
	return a, nil
}

// wrongData makes damaged data the cache's fault.
func wrongData(err error) error {
	if errors.Is(err, codec.ErrCorrupt) {
		return fmt.Errorf("%w: %w", store.ErrWrong, err)
	}
	return err
}

// fileCheck hashes a file as it passes and ends it where more comes than was
// announced.
type fileCheck struct {
	r      io.Reader
	left   int64
	digest *digester // nil where the archive's hash tells
}

var errTooLong = fmt.Errorf("%w: its file is longer than announced", store.ErrWrong)

func (f *fileCheck) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	if f.left -= int64(n); f.left < 0 {
		return 0, errTooLong
	}
	if f.digest != nil {
		_, _ = f.digest.Write(p[:n]) // a hash never fails
	}
	return n, err
}

// done reads what is left and compares.
func (f *fileCheck) done(n narinfo.Narinfo) error {
	if _, err := io.Copy(io.Discard, f); err != nil {
		return err
	}
	if f.digest == nil {
		return nil
	}
	if n.FileSize > 0 && f.digest.size != n.FileSize {
		return fmt.Errorf("%w: its file %s has %d bytes, but %d are announced", store.ErrWrong, n.URL, f.digest.size, n.FileSize)
	}
	if got := f.digest.sum(); n.FileHash != (store.Hash{}) && got != n.FileHash {
		return fmt.Errorf("%w: %w", store.ErrWrong, &store.HashMismatchError{Name: n.URL, Want: n.FileHash.String(), Got: got.String()})
	}
	return nil
}
