// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"osbuild/closure"
	"osbuild/store"
)

// chain opens a store and adds n texts, each of which refers to the one
// before.
func chain(b *testing.B, n int) (*store.Store, store.Path) {
	b.Helper()
	s, err := store.Open(filepath.Join(b.TempDir(), "root"), store.Options{})
	if err != nil {
		b.Fatal(err)
	}
	l, err := s.NewLease("bench")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	var last []store.Path
	for k := range n {
		i, err := s.AddText(context.Background(), l, "text", fmt.Append(nil, k), last)
		if err != nil {
			b.Fatal(err)
		}
		last = []store.Path{i.Path}
	}
	return s, last[0]
}

func BenchmarkAddText(b *testing.B) {
	b.ReportMetric(0, "ns/op")
	for b.Loop() {
		chain(b, 2000)
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/2000, "µs/item")
}

func BenchmarkClosure(b *testing.B) {
	s, top := chain(b, 2000)
	for b.Loop() {
		if infos, err := closure.Compute(s, top); err != nil || len(infos) != 2000 {
			b.Fatal(len(infos), err)
		}
	}
}

func BenchmarkInfos(b *testing.B) {
	for _, index := range []bool{true, false} {
		b.Run(fmt.Sprintf("index=%t", index), func(b *testing.B) {
			s, _ := chain(b, 2000)
			for b.Loop() {
				if !index {
					_ = os.Remove(s.Root() + "/db/index.log")
				}
				if infos, err := s.Infos(); err != nil || len(infos) != 2000 {
					b.Fatal(len(infos), err)
				}
			}
		})
	}
}

func BenchmarkGC(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		s, _ := chain(b, 4000)
		b.StartTimer()
		if r, err := s.GC(context.Background(), store.GCOptions{}); err != nil || len(r.Freed) != 4000 {
			b.Fatal(len(r.Freed), err)
		}
	}
}
