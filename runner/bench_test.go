// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"fmt"
	"testing"

	"osbuild/runner/spec"
)

// BenchmarkEval is one start of a program that does nothing, by how many items
// it sees.
func BenchmarkEval(b *testing.B) {
	for _, n := range []int{1, 60, 500} {
		b.Run(fmt.Sprintf("items=%d", n), func(b *testing.B) {
			r := newRig(b, nil)
			p := r.program("")
			p.Argv = []string{itemPath("busybox") + "/bin/true"}
			p.Items = p.Items[1:2]
			for i := range n - 1 {
				name := fmt.Sprintf("item-%03d", i)
				r.write(name+"/file", nil, 0o444)
				p.Items = append(p.Items, spec.Item{Logical: itemPath(name), Physical: r.physical(name)})
			}
			for b.Loop() {
				if exit, err := Eval(b.Context(), p, Hierarchy{}, Stdio{}); err != nil || exit.Status() != 0 {
					b.Fatal(exit, err)
				}
			}
		})
	}
}
