// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package activate

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"osbuild/runner/activate/tree"
	"osbuild/runner/spec"
)

// BenchmarkBoot activates a system with as many files as a web server's
// packages bring: 140 in /etc, 300 in /var, and 40 that are declared.
func BenchmarkBoot(b *testing.B) {
	dir, err := os.MkdirTemp("/dev/shm", "osbuild-bench-")
	if err != nil {
		b.Skipf("SKIP-ENV: no file system in memory: %v", err)
	}
	defer os.RemoveAll(dir)
	write := func(name string, size int) {
		full := filepath.Join(dir, "osbuild/store", name)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(strings.Repeat("x", size)), 0o444); err != nil {
			b.Fatal(err)
		}
	}
	for i := range 140 {
		write(fmt.Sprintf("p1/etc/d%d/f%d", i%40, i), 200+i*20)
	}
	for i := range 300 {
		write(fmt.Sprintf("p1/var/lib/dpkg/info/f%d", i), 1500)
	}
	for i := range 40 {
		write(fmt.Sprintf("e1/d%d/declared%d", i%10, i), 500)
	}
	write("e1/hosts", 100)
	plan := withPackages("e1", "p1")
	for b.Loop() {
		b.StopTimer()
		for _, name := range []string{"etc", "var", "run"} {
			if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
				b.Fatal(err)
			}
		}
		b.StartTimer()
		root, err := tree.Open(dir, nil)
		if err != nil {
			b.Fatal(err)
		}
		var failed []spec.StepStatus
		for _, st := range Run(root, plan, Options{Boot: true, Today: 20000}) {
			if !st.Skipped {
				failed = append(failed, st)
			}
		}
		if len(failed) > 0 {
			b.Fatal(report(failed))
		}
		root.Close()
	}
}
