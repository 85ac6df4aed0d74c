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
	"sync"

	"golang.org/x/sync/errgroup"

	"osbuild/store"
	"osbuild/store/cache/codec"
	"osbuild/store/cache/location"
	"osbuild/store/cache/narinfo"
)

// flights are the items on their way, so that two calls which need one item
// download it once. All of it is guarded by mu but for what a flight's done
// channel guards.
type flights struct {
	mu    sync.Mutex
	items map[store.Path]*flight
	// admitting is held while items are registered.
	admitting sync.Mutex
}

// flight is one item on its way.
type flight struct {
	users int
	done  chan struct{} // closed when arrival and err are set
	// arrival is nil where the item was valid already.
	arrival *store.Arrival
	err     error
	// admitted is guarded by flights.admitting.
	admitted bool
}

// join gives the flight of an item; first says that the caller must fly it.
func (f *flights) join(path store.Path) (fl *flight, first bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.items == nil {
		f.items = make(map[store.Path]*flight)
	}
	fl = f.items[path]
	if fl == nil {
		fl = &flight{done: make(chan struct{})}
		f.items[path] = fl
		first = true
	}
	fl.users++
	return fl, first
}

// land ends the flight. One that failed is forgotten, so that others can try
// again.
func (f *flights) land(path store.Path, fl *flight, a *store.Arrival, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fl.arrival, fl.err = a, err
	if err != nil {
		delete(f.items, path)
	}
	close(fl.done)
}

// leave gives up a flight that has landed; the last one takes away what
// nobody admitted.
func (f *flights) leave(path store.Path, fl *flight) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if fl.users--; fl.users > 0 {
		return nil
	}
	if f.items[path] == fl {
		delete(f.items, path)
	}
	if fl.arrival == nil || fl.admitted {
		return nil
	}
	return fl.arrival.Discard()
}

// fetch downloads what is wanted, and registers it when all of it is there.
func (p *Puller) fetch(ctx context.Context, l *store.Lease, list []wanted) error {
	joined := make([]*flight, len(list))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce(list))
	for k, w := range list {
		g.Go(func() (err error) {
			joined[k], err = p.fly(gctx, l, w)
			end := Transfer{Path: w.info.Path, Total: w.info.NarSize, Settled: true, Err: err}
			if err == nil {
				end.Done = end.Total
			}
			p.Observe.tell(end)
			return err
		})
	}
	err := g.Wait()
	if err == nil {
		err = p.admit(ctx, l, joined)
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

// fly brings one item here, or waits for who does.
func (p *Puller) fly(ctx context.Context, l *store.Lease, w wanted) (*flight, error) {
	path := w.info.Path
	for {
		fl, first := p.flights.join(path)
		if first {
			var a *store.Arrival
			var err error
			if !p.Store.Valid(path) { // somebody may have been faster
				a, err = p.download(ctx, l, w)
			}
			p.flights.land(path, fl, a, err)
			return fl, err
		}
		select {
		case <-fl.done:
		case <-ctx.Done():
			// It cannot be left before it has landed.
			go func() {
				<-fl.done
				_ = p.flights.leave(path, fl) // its owner reports the error
			}()
			return nil, ctx.Err()
		}
		if fl.err == nil || !errors.Is(fl.err, context.Canceled) || ctx.Err() != nil {
			return fl, fl.err
		}
		// Who flew it gave up, but not this call.
		_ = p.flights.leave(path, fl) // nothing arrived
	}
}

// admit registers what has arrived and is not registered yet.
func (p *Puller) admit(ctx context.Context, l *store.Lease, joined []*flight) error {
	p.flights.admitting.Lock()
	defer p.flights.admitting.Unlock()
	var arrivals []*store.Arrival
	for _, fl := range joined {
		if fl.arrival != nil && !fl.admitted {
			fl.admitted = true // or removed, if that fails
			arrivals = append(arrivals, fl.arrival)
		}
	}
	return p.Store.Admit(ctx, l, arrivals...)
}

// download gets an item from the cache that was planned or, where that
// fails, from the next one that has the same.
func (p *Puller) download(ctx context.Context, l *store.Lease, w wanted) (*store.Arrival, error) {
	var failed []error
	rest := p.Caches[slices.Index(p.Caches, w.from)+1:]
	for {
		a, err := p.downloadFrom(ctx, l, w)
		if err == nil || ctx.Err() != nil {
			return a, err
		}
		failed = append(failed, fmt.Errorf("cannot get %s from %s: %w", w.info.Path, w.from, err))
		if w, err = p.another(ctx, w, rest); err != nil {
			return nil, errors.Join(failed...)
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
