// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package realise

import (
	"context"
	"slices"
	"sync"
)

// slots are rights to work. Of those who wait for one, the one with the most
// work comes first, so that at the end no long work is left for one processor.
type slots struct {
	mu      sync.Mutex
	free    int
	waiting []*waiter // in the order of their coming
}

type waiter struct {
	work  int64
	ready chan struct{} // closed when the slot is the waiter's
}

func newSlots(n int) *slots { return &slots{free: n} }

// take waits for a slot; the function gives it back.
func (s *slots) take(ctx context.Context, work int64) (release func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	if s.free > 0 {
		s.free--
		s.mu.Unlock()
		return s.release, nil
	}
	w := &waiter{work, make(chan struct{})}
	s.waiting = append(s.waiting, w)
	s.mu.Unlock()
	select {
	case <-w.ready:
		return s.release, nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	i := slices.Index(s.waiting, w)
	if i >= 0 {
		s.waiting = slices.Delete(s.waiting, i, i+1)
	}
	s.mu.Unlock()
	if i < 0 {
		s.release() // it came at the same moment
	}
	return nil, ctx.Err()
}

func (s *slots) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.waiting) == 0 {
		s.free++
		return
	}
	next := 0
	for i, w := range s.waiting {
		if w.work > s.waiting[next].work {
			next = i
		}
	}
	close(s.waiting[next].ready)
	s.waiting = slices.Delete(s.waiting, next, next+1)
}
