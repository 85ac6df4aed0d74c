// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package cache_test

import (
	"context"
	"errors"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"osbuild/store"
	"osbuild/store/cache"
	"osbuild/store/cache/narinfo"
)

// heard is what an observer was told, by the names of items.
type heard struct {
	mu      sync.Mutex
	told    map[string][]cache.Transfer
	settled bool
	late    []string // announced after something had ended
}

func (h *heard) observe(t cache.Transfer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.told == nil {
		h.told = map[string][]cache.Transfer{}
	}
	name := t.Path.Name()
	if len(h.told[name]) == 0 && h.settled {
		h.late = append(h.late, name)
	}
	h.settled = h.settled || t.Settled
	h.told[name] = append(h.told[name], t)
}

// TestTransfers holds that observers hear of each item before any has come,
// of its bytes in between, and of its end.
func TestTransfers(t *testing.T) {
	from, to := newRoot(t), newRoot(t)
	big := from.text("big", strings.Repeat("0123456789abcdef", 1<<16))
	top := from.text("top", "it needs "+string(big), big)
	dir := t.TempDir() + "/cache"
	check := func(what string, h *heard) {
		t.Helper()
		if got := slices.Sorted(maps.Keys(h.told)); !slices.Equal(got, []string{"big", "top"}) || len(h.late) > 0 {
			t.Errorf("%s: told of %q, of %q late", what, got, h.late)
		}
		for name, told := range h.told {
			first, last := told[0], told[len(told)-1]
			if first.Done != 0 || first.Settled || !last.Settled || last.Err != nil || last.Done != last.Total || first.Total != last.Total {
				t.Errorf("%s: %s: %+v", what, name, told)
			}
			if !slices.IsSortedFunc(told, func(a, b cache.Transfer) int { return int(a.Done - b.Done) }) {
				t.Errorf("%s: %s: bytes go back: %+v", what, name, told)
			}
		}
		if n := len(h.told["big"]); n < 5 {
			t.Errorf("%s: a word of 1 MiB %d times", what, n)
		}
	}
	var pushed, pulled, again heard
	push(t, from, folder(t, dir), cache.PushOptions{Observe: pushed.observe}, top)
	check("push", &pushed)
	p := &cache.Puller{Store: to.store, Caches: []*cache.Cache{folder(t, dir)}, Observe: pulled.observe}
	if _, err := p.Pull(t.Context(), to.lease, top); err != nil {
		t.Fatal(err)
	}
	check("pull", &pulled)
	push(t, from, folder(t, dir), cache.PushOptions{Observe: again.observe}, top)
	if len(again.told) > 0 {
		t.Errorf("told of what was there: %+v", again.told)
	}
}

// TestTransferFails holds that the end of one that failed is told with its
// error, and of the others that they were broken off.
func TestTransferFails(t *testing.T) {
	from, to := newRoot(t), newRoot(t)
	a, b := from.text("a", "1"), from.text("b", "2")
	c := folder(t, t.TempDir()+"/cache")
	push(t, from, c, cache.PushOptions{}, a, b)
	n, err := c.Narinfo(t.Context(), a)
	if err == nil {
		err = os.Remove(strings.TrimPrefix(c.String(), "file://") + "/" + n.URL)
	}
	if err != nil {
		t.Fatal(err)
	}
	var h heard
	p := &cache.Puller{Store: to.store, Caches: []*cache.Cache{c}, Observe: h.observe}
	if _, err := p.Pull(t.Context(), to.lease, a, b); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
	for name, told := range h.told {
		last := told[len(told)-1]
		switch {
		case !last.Settled:
			t.Errorf("%s has no end: %+v", name, told)
		case name == "a" && (!errors.Is(last.Err, os.ErrNotExist) || last.Done != 0):
			t.Errorf("%+v", last)
		case name == "b" && last.Err != nil && !errors.Is(last.Err, context.Canceled):
			t.Errorf("%+v", last)
		}
	}
	if to.store.Valid(a) {
		t.Error("what has no archive is valid")
	}
}

// TestTransferOfNothing holds that those which were announced come to an end
// also where nothing is downloaded.
func TestTransferOfNothing(t *testing.T) {
	from, to := newRoot(t), newRoot(t)
	top := from.closure()
	c := folder(t, t.TempDir()+"/cache")
	push(t, from, c, cache.PushOptions{}, top)
	for _, path := range from.all() {
		if path.Name() == "dep" {
			if err := os.Remove(strings.TrimPrefix(c.String(), "file://") + "/" + narinfo.Name(path)); err != nil {
				t.Fatal(err)
			}
		}
	}
	var h heard
	p := &cache.Puller{Store: to.store, Caches: []*cache.Cache{c}, Observe: h.observe}
	if _, err := p.Pull(t.Context(), to.lease, top); !errors.Is(err, store.ErrWrong) {
		t.Errorf("%v", err)
	}
	if len(h.told) == 0 {
		t.Error("nothing was announced")
	}
	for name, told := range h.told {
		if last := told[len(told)-1]; !last.Settled || !errors.Is(last.Err, context.Canceled) {
			t.Errorf("%s has no end: %+v", name, told)
		}
	}
}
