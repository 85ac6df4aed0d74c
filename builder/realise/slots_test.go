// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package realise

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
)

func TestSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlots(1)
		release, err := s.take(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		gone, leave := context.WithCancel(t.Context())
		var got []int64
		var all sync.WaitGroup
		for _, work := range []int64{3, 0, 9, 9, 100, 5} {
			all.Go(func() {
				ctx := t.Context()
				if work == 100 {
					ctx = gone
				}
				release, err := s.take(ctx, work)
				if err != nil {
					work = -1
				}
				got = append(got, work) // one at a time, as the slot is one
				if err == nil {
					release()
				}
			})
			synctest.Wait()
		}
		leave()
		synctest.Wait()
		release()
		all.Wait()
		if want := []int64{-1, 9, 9, 5, 3, 0}; !slices.Equal(got, want) {
			t.Errorf("they came in the order %v, not %v", got, want)
		}
		if _, err := s.take(gone, 0); err == nil {
			t.Error("who is gone took a slot")
		}
		if s.free != 1 || len(s.waiting) > 0 {
			t.Errorf("%d slots are free, and %d wait", s.free, len(s.waiting))
		}
	})
}
