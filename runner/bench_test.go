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

// BenchmarkHierarchy is the same beside packages, by how their trees are merged:
// one mount an item as for a profile, without places in the store, or by a view.
func BenchmarkHierarchy(b *testing.B) {
	for _, n := range []int{60, 200} {
		for _, way := range []string{"shown", UsrOverlay, UsrView} {
			b.Run(fmt.Sprintf("%s/lowers=%d", way, n), func(b *testing.B) {
				r := newRig(b, nil)
				p := r.program("")
				p.Argv = []string{itemPath("busybox") + "/bin/true"}
				p.Items = p.Items[1:2]
				p.Root = &spec.Root{}
				for i := range n {
					name := fmt.Sprintf("deb-%03d", i)
					r.write(fmt.Sprintf("%s/root/usr/share/%d", name, i), nil, 0o444)
					p.Items = append(p.Items, spec.Item{Logical: itemPath(name), Physical: r.physical(name)})
					p.Root.Usr = append(p.Root.Usr, spec.Lower{Item: itemPath(name), Sub: "root/usr", FHS: way != "shown"})
				}
				h := Hierarchy{Usr: way, View: r.views()}
				if way == "shown" {
					h.Usr = UsrOverlay
				}
				for b.Loop() {
					if exit, err := Eval(b.Context(), p, h, Stdio{}); err != nil || exit.Status() != 0 {
						b.Fatal(exit, err)
					}
				}
			})
		}
	}
}
