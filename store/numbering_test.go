// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

func TestNumbering(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	digest := func() string {
		b := make([]byte, digestLen)
		for k := range b {
			b[k] = base32Digits[r.IntN(len(base32Digits))]
		}
		return string(b)
	}
	alike := digest()
	for _, tt := range []struct {
		summary string
		n       int
		name    func(k int) string
	}{
		{"none", 0, nil},
		{"one", 1, func(int) string { return digest() + "-x" }},
		{"many", 5000, func(int) string { return digest() + "-x" }},
		{"digests that start alike", 300, func(int) string { return alike[:8] + digest()[8:] + "-x" }},
		{"names alone differ", 300, func(k int) string { return alike + fmt.Sprintf("-x%d", k) }},
	} {
		t.Run(tt.summary, func(t *testing.T) {
			want := make(map[Path]int32)
			paths := make([]Path, tt.n)
			for k := range paths {
				paths[k] = Path(Dir + "/" + tt.name(k))
				want[paths[k]] = int32(k)
			}
			if len(want) != tt.n {
				t.Fatal("two are one")
			}
			numbers := newNumbering(tt.n, func(k int32) Path { return paths[k] })
			for p, k := range want {
				if got := numbers.of(p); got != k {
					t.Fatalf("%s is number %d, want %d", p, got, k)
				}
			}
			for _, other := range []string{"/x", digest() + "-x", alike + "-y", alike[:8] + digest()[8:] + "-z"} {
				if got := numbers.of(Path(Dir + "/" + other)); got != -1 {
					t.Errorf("%s is number %d", other, got)
				}
			}
		})
	}
}
