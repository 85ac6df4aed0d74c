// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package cache

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"osbuild/store"
	"osbuild/store/cache/narinfo"
	"osbuild/store/cache/signature"
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
	done  chan struct{} // closed when landing is set
	landing
	// admitted and lost are guarded by flights.admitting: it was registered,
	// or is gone because who registered it failed.
	admitted, lost bool
}

// landing is how a flight ends.
type landing struct {
	// arrival is nil where the item was valid already.
	arrival *store.Arrival
	from    *Cache
	err     error
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
func (f *flights) land(path store.Path, fl *flight, l landing) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fl.landing = l
	if l.err != nil {
		delete(f.items, path)
	}
	close(fl.done)
}

// lose forgets a flight whose arrival is gone, so that others can try again.
func (f *flights) lose(path store.Path, fl *flight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fl.lost = true
	if f.items[path] == fl {
		delete(f.items, path)
	}
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
	if fl.arrival == nil || fl.admitted || fl.lost {
		return nil
	}
	return fl.arrival.Discard()
}

// flyOne brings one item here, or waits for who does. A flight that it gives
// with an error was joined, too.
func (p *Puller) flyOne(ctx context.Context, l *store.Lease, w wanted) (*flight, error) {
	path := w.info.Path
	for {
		fl, first := p.flights.join(path)
		if first {
			var end landing
			if !p.Store.Valid(path) { // somebody may have been faster
				end = p.download(ctx, l, w)
			}
			p.flights.land(path, fl, end)
			return fl, end.err
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
		if fl.err == nil {
			return fl, p.agree(ctx, w, fl)
		}
		if !errors.Is(fl.err, context.Canceled) || ctx.Err() != nil {
			return fl, fl.err
		}
		// Who flew it gave up, but not this call.
		_ = p.flights.leave(path, fl) // nothing arrived
	}
}

// agree says whether this call would have taken what came for another one,
// which may have wanted the item for something of which less is asked. What
// is the same as was planned here was looked at.
func (p *Puller) agree(ctx context.Context, w wanted, fl *flight) error {
	if fl.arrival == nil {
		return nil
	}
	came := fl.arrival.Info
	if came.CA == w.info.CA && signature.Item(came) == signature.Item(w.info.Info) {
		return nil
	}
	other := wanted{info: narinfo.Narinfo{Info: came}, from: fl.from, rules: w.rules}
	_, err := p.Believe(ctx, fl.from, &other.info)
	if err == nil {
		err = p.satisfiedToo(ctx, &other)
	}
	if err == nil && !slices.Equal(came.References, w.info.References) {
		err = fmt.Errorf("%w: it refers to other items than the one of %s", store.ErrWrong, w.from)
	}
	if err != nil {
		return fmt.Errorf("cannot take %s from %s, which fetching for something else brings at the moment: %w", came.Path, fl.from, err)
	}
	return nil
}
