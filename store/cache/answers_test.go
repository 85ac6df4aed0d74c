// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package cache_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"osbuild/store"
	"osbuild/store/cache"
	"osbuild/store/cache/location"
	"osbuild/store/cache/narinfo"
	"osbuild/store/fsys"
)

// TestAnswers holds that a question which was answered is not asked again for
// a while, unless the answer has changed here.
func TestAnswers(t *testing.T) {
	from := newRoot(t)
	top := from.closure()
	l := &counter{Location: location.NewFolder(t.TempDir()+"/cache", fsys.OS{}), opened: map[string]int{}}
	c, err := cache.Create(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	key := strings.Repeat("0a", 32)
	for range 3 {
		if _, err := c.Narinfo(t.Context(), top); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%v", err)
		}
		if _, err := c.Realisation(t.Context(), key); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%v", err)
		}
	}
	if l.opened[narinfo.Name(top)] != 1 || l.opened[cache.RealisationName(key)] != 1 {
		t.Errorf("asked: %v", l.opened)
	}
	push(t, from, c, cache.PushOptions{}, top)
	if _, err := c.Narinfo(t.Context(), top); err != nil {
		t.Errorf("after the push: %v", err)
	}
}

// TestUnreachable holds that a cache which cannot be asked is left alone for
// a while, and that others are asked instead.
func TestUnreachable(t *testing.T) {
	from, to := newRoot(t), newRoot(t)
	top := from.closure()
	good := folder(t, t.TempDir()+"/cache")
	push(t, from, good, cache.PushOptions{}, top)
	l := &counter{Location: unreachable{good.Location}, opened: map[string]int{}}
	bad := &cache.Cache{Location: l}
	p := &cache.Puller{Store: to.store, Caches: []*cache.Cache{bad}}
	if _, err := p.Pull(t.Context(), to.lease, top); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("%v", err)
	}
	p.Caches = []*cache.Cache{bad, good}
	if _, err := p.Pull(t.Context(), to.lease, top); err != nil {
		t.Errorf("%v", err)
	}
	if len(l.opened) != 1 || l.opened[narinfo.Name(top)] != 1 {
		t.Errorf("asked: %v", l.opened)
	}
	to.verify()
}

type unreachable struct{ location.Location }

func (unreachable) Open(context.Context, string) (io.ReadCloser, int64, error) {
	return nil, 0, io.ErrClosedPipe
}
