// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

// Package cache shares items: it pushes closures to binary caches in Nix's
// layout, and pulls them from there.
//
// It owns what is asked, in which order, and what is believed: nothing is
// registered unless all of its closure is there and is what it says it is,
// and what a narinfo tells is checked before anything large is downloaded.
// An item with a content address needs no signature, because its path follows
// from its content; others, and what builds gave, need those that a policy
// asks for, see store/cache/policy. How files travel is the business of
// store/cache/location. Start with [Open], [Push] and [Puller.Pull].
package cache

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"osbuild/store"
	"osbuild/store/cache/location"
	"osbuild/store/cache/narinfo"
)

// Cache is a binary cache. It may be used by many goroutines.
type Cache struct {
	Location location.Location
	About    narinfo.About
	// Trusted says that what this cache tells needs no signature.
	Trusted bool
	// Rules name those of the policy for which it is used; none means all.
	Rules []string

	mu      sync.Mutex
	answers map[string]answer // about small files that cannot be had
	down    answer            // why nothing of it can
	// troubles counts the files in a row about which the server said that it
	// cannot answer.
	troubles int
}

// answer is why something cannot be had, for a while.
type answer struct {
	err   error
	until time.Time
}

func (a answer) holds() bool { return a.err != nil && time.Now().Before(a.until) }

const (
	// forgetAfter is how long it is remembered that a file was not there.
	// It is short: what was pushed a moment ago should be found.
	forgetAfter = time.Minute
	// restFor is how long a cache that could not be asked is left alone, or a
	// file that could not be read.
	restFor = 30 * time.Second
	// mostTroubles is how many files in a row a server may fail to answer for
	// before it is left alone as a whole.
	mostTroubles = 3
)

// Open opens the cache at a location.
func Open(ctx context.Context, l location.Location) (*Cache, error) {
	about, err := readAbout(ctx, l)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("there is no %s, so it is none", narinfo.AboutName)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot use the cache %s: %w", l, err)
	}
	return &Cache{Location: l, About: about}, nil
}

// Create opens a cache for writing, and makes one where there is none.
func Create(ctx context.Context, l location.Location) (*Cache, error) {
	about, err := readAbout(ctx, l)
	if errors.Is(err, fs.ErrNotExist) {
		about = narinfo.About{StoreDir: store.Dir, Priority: narinfo.DefaultPriority, WantMassQuery: true}
		err = location.Write(ctx, l, narinfo.AboutName, about.Encode())
	}
	if err != nil {
		return nil, fmt.Errorf("cannot use the cache %s: %w", l, err)
	}
	return &Cache{Location: l, About: about}, nil
}

func readAbout(ctx context.Context, l location.Location) (narinfo.About, error) {
	text, err := location.Read(ctx, l, narinfo.AboutName, narinfo.MaxSize)
	if err != nil {
		return narinfo.About{}, err
	}
	about, err := narinfo.ParseAbout(text)
	if err != nil {
		return about, err
	}
	return about, about.Check()
}

// String is the URL of the cache.
func (c *Cache) String() string { return c.Location.String() }

// Narinfo asks for an item. An error wraps [store.ErrNotFound] where the
// cache does not have it.
func (c *Cache) Narinfo(ctx context.Context, p store.Path) (narinfo.Narinfo, error) {
	n, err := c.narinfo(ctx, p)
	if err != nil {
		return narinfo.Narinfo{}, fmt.Errorf("cannot get %s from %s: %w", p, c, err)
	}
	return n, nil
}

func (c *Cache) narinfo(ctx context.Context, p store.Path) (narinfo.Narinfo, error) {
	text, err := c.ask(ctx, narinfo.Name(p))
	if err != nil {
		return narinfo.Narinfo{}, err
	}
	n, err := narinfo.Parse(text)
	if err != nil {
		return n, fmt.Errorf("%w: %w", store.ErrWrong, err)
	}
	if n.Path != p {
		return n, fmt.Errorf("%w: it tells of %s", store.ErrWrong, n.Path)
	}
	return n, nil
}

// ask reads a small file, unless it is known that it cannot be had.
func (c *Cache) ask(ctx context.Context, name string) ([]byte, error) {
	if err := c.known(name); err != nil {
		return nil, err
	}
	return c.read(ctx, name)
}

// read reads a small file, whatever was known of it, and remembers why it
// cannot be had.
func (c *Cache) read(ctx context.Context, name string) ([]byte, error) {
	text, err := location.Read(ctx, c.Location, name, narinfo.MaxSize)
	if err != nil && ctx.Err() != nil {
		return nil, ctx.Err()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if location.Overloaded(err) {
		c.troubles++
	} else {
		c.troubles = 0
	}
	switch {
	case err == nil:
		return text, nil
	case location.Unreachable(err), c.troubles >= mostTroubles:
		c.down = answer{err, time.Now().Add(restFor)}
		return nil, err
	}
	// The others may be all right.
	a := answer{err, time.Now().Add(restFor)}
	if errors.Is(err, fs.ErrNotExist) {
		a = answer{store.ErrNotFound, time.Now().Add(forgetAfter)}
	}
	if c.answers == nil {
		c.answers = make(map[string]answer)
	}
	c.answers[name] = a
	return nil, a.err
}

// known gives what needs no question: why the file, or all that the cache
// has, cannot be had.
func (c *Cache) known(name string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.down.holds() {
		return c.down.err
	}
	if a := c.answers[name]; a.holds() {
		return a.err
	}
	return nil
}

// learn forgets why a file could not be had.
func (c *Cache) learn(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.answers, name)
}
