// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"osbuild/store/fsys"
)

// crashAt is the variable by which this test binary, run as osbuild, is told
// to kill itself before the n-th change that it makes to the store; 0 counts.
const crashAt = "OSBUILD_TEST_CRASH_AT"

// crashingMain is osbuild with a fault in its store. It tells on stderr what
// it was about to do, or how many changes there were.
func crashingMain() int {
	at, err := strconv.ParseInt(os.Getenv(crashAt), 10, 64)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	a := newApp(os.Stdout, os.Stderr)
	fault := &fsys.Fault{FS: fsys.OS{}, Before: func(n int64, op, path string) error {
		if n == at {
			fmt.Fprintf(os.Stderr, "crash before %s %s\n", op, path)
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
		return nil
	}}
	a.fs = fault
	code := a.main(context.Background(), os.Args[1:])
	fmt.Fprintf(os.Stderr, "changes: %d\n", fault.Count())
	return code
}

// crashDeclaration has what builds without a sandbox do: texts, a local tree
// and unions, some of which depend on others.
const crashDeclaration = `load("@osbuild//base.star", "base_services", "etc")

tree = local_file("tree")
files = [("many/%d" % i, plain_file("file-%d" % i, "file %d\n" % i)) for i in range(20)]
system = operating_system(
    host_name = "crash",
    packages = [directory_union("tools", [tree])],
    services = [simple_service("files", etc, files)] + base_services,
)
`

// TestKilledBuilds kills a build at 60 moments spread over all changes that
// it makes to the store, the first file written and the last rename included.
// After each, the store must verify, and the next build succeed.
func TestKilledBuilds(t *testing.T) {
	const moments = 60
	dir := t.TempDir()
	t.Cleanup(func() { makeRemovable(dir) })
	initProgram := buildInit(t)
	decl := filepath.Join(dir, "system.star")
	if err := os.WriteFile(decl, []byte(crashDeclaration), 0o644); err != nil {
		t.Fatal(err)
	}
	for i := range 30 {
		name := filepath.Join(dir, "tree", fmt.Sprintf("d%d", i%3), fmt.Sprintf("f%d", i))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, bytes.Repeat([]byte("x"), i*1000), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	osbuild := func(root string, at int64, args ...string) (string, error) {
		t.Helper()
		cmd := exec.Command("osbuild", args...)
		cmd.Path, cmd.Err = os.Args[0], nil
		cmd.Env = append(os.Environ(), "OSBUILD_ROOT="+root, "OSBUILD_INIT="+initProgram, fmt.Sprintf("%s=%d", crashAt, at))
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		err := cmd.Run()
		return stderr.String(), err
	}
	text, err := osbuild(filepath.Join(dir, "count"), 0, "build", decl)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	_, number, _ := strings.Cut(text, "changes: ")
	total, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
	if err != nil || total < moments {
		t.Fatalf("the build makes %q changes: %v", number, err)
	}
	phases := map[string]int{}
	for i := range int64(moments) {
		at := 1 + i*(total-1)/(moments-1)
		root := filepath.Join(dir, fmt.Sprintf("root-%d", i))
		text, err := osbuild(root, at, "build", decl)
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			// The number of changes varies a little between builds, since
			// several goroutines make them.
			if err == nil && at > total*9/10 {
				t.Logf("change %d of %d: not reached", at, total)
				continue
			}
			t.Fatalf("change %d of %d: not killed: %v\n%s", at, total, err, text)
		}
		_, phase, _ := strings.Cut(text, "crash before ")
		phase = strings.ReplaceAll(strings.TrimSpace(phase), root, "")
		t.Logf("change %4d of %d: %s", at, total, phase)
		phases[strings.Fields(phase)[0]]++
		for _, args := range [][]string{{"store", "verify", "--contents"}, {"build", decl}, {"store", "verify", "--contents"}} {
			if text, err := osbuild(root, -1, args...); err != nil {
				t.Errorf("change %d (%s), then %q: %v\n%s", at, phase, args, err, text)
			}
		}
	}
	t.Logf("killed before: %v", phases)
	if len(phases) < 4 {
		t.Errorf("the moments cover too few kinds of changes: %v", phases)
	}
}

// makeRemovable lets an ordinary user remove stores: items are read-only.
func makeRemovable(dir string) {
	_ = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			_ = os.Chmod(path, 0o755)
		}
		return nil
	})
}
