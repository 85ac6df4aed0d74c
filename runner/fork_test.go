// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"runtime"
	"sync"
	"testing"
)

// Children share memory with a program that goes on: collections, stacks that
// grow and other starts must not get into their way.
func TestForkBesideCollections(t *testing.T) {
	r := newRig(t, nil)
	p := r.program("exit 7")
	stop := make(chan struct{})
	var busy, starts sync.WaitGroup
	busy.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				fill(200)
				runtime.GC()
			}
		}
	})
	for range 4 {
		starts.Go(func() {
			for range 10 {
				if exit, err := Eval(t.Context(), p, Hierarchy{}, Stdio{}); err != nil || exit.Code != 7 {
					t.Errorf("got %+v, %v", exit, err)
				}
			}
		})
	}
	starts.Wait()
	close(stop)
	busy.Wait()
}

// fill uses a deep stack and memory of many sizes, filled with a pattern.
func fill(depth int) int {
	b := make([]byte, 16<<(depth%10))
	for i := range b {
		b[i] = 0xa5
	}
	if depth == 0 {
		return len(b)
	}
	return fill(depth-1) + int(b[len(b)-1])
}
