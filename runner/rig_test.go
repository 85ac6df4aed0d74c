// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"osbuild/runner/spec"
)

// rig is a small system in a store of its own, and what a test needs to run it.
type rig struct {
	t        testing.TB
	dir      string
	items    []spec.Item
	system   string
	messages []string
	mu       sync.Mutex
}

func itemPath(name string) string {
	return spec.StoreDir + "/" + strings.Repeat("0", 32) + "-" + name
}

// programsEnv names the folder with the programs of testdata, which the tests of
// root build for those of a user.
const programsEnv = "OSBUILD_TEST_PROGRAMS"

var programs = sync.OnceValues(func() (string, error) {
	if dir := os.Getenv(programsEnv); dir != "" {
		return dir, nil
	}
	dir, err := os.MkdirTemp("", "osbuild-test-programs-")
	if err != nil {
		return "", err
	}
	cmd := exec.Command("go", "build", "-o", dir, "./testdata/init", "./testdata/probe", "./testdata/nested")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	cmd.Stderr = os.Stderr
	return dir, errors.Join(cmd.Run(), os.Chmod(dir, 0o755))
})

func TestMain(m *testing.M) {
	if os.Getenv(runEnv) != "" {
		os.Exit(runOnly())
	}
	code := m.Run()
	if dir, err := programs(); err == nil && os.Getenv(programsEnv) == "" {
		os.RemoveAll(dir)
	}
	os.Exit(code)
}

// newRig makes the items: a busybox with its commands, an init, and a system
// whose boot file holds doc.
func newRig(t testing.TB, doc map[string]any) *rig {
	t.Helper()
	r := &rig{t: t, dir: t.TempDir(), system: itemPath("system")}
	if !runsAsRoot() {
		if _, err := containerIdentity(0, 0, "", false); err != nil {
			t.Skip("SKIP-ENV: no containers for this user: " + err.Error())
		}
	}
	dir, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Skip("SKIP-ENV: /bin/busybox is missing: apt-get install busybox-static")
	}
	r.write("busybox/bin/busybox", data, 0o555)
	for _, name := range []string{"sh", "ls", "cat", "id", "mount", "umount", "ps", "ip", "env", "true", "touch", "mkdir", "chmod", "readlink", "hostname", "sleep", "stat", "kill", "echo", "test", "wc", "dd", "mknod", "tty", "stty", "nc", "grep", "find"} {
		if err := os.Symlink("busybox", filepath.Join(r.physical("busybox"), "bin", name)); err != nil {
			t.Fatal(err)
		}
	}
	r.copy(filepath.Join(dir, "init"), "init/bin/osbuild-init")
	r.copy(filepath.Join(dir, "probe"), "probe/bin/probe")
	if doc == nil {
		doc = map[string]any{}
	}
	text, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	boot := "#!" + itemPath("init") + "/bin/osbuild-init init\n" + string(text)
	r.write("system/boot", []byte(boot), 0o555)
	r.write("plain.txt", []byte("a file item\n"), 0o444)
	if err := os.Symlink(filepath.Base(itemPath("plain.txt")), r.physical("alias")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"alias", "busybox", "init", "plain.txt", "probe", "system"} {
		r.items = append(r.items, spec.Item{Logical: itemPath(name), Physical: r.physical(name)})
	}
	return r
}

func (r *rig) physical(name string) string {
	return filepath.Join(r.dir, "store", filepath.Base(itemPath(name)))
}

func (r *rig) write(rel string, data []byte, mode os.FileMode) {
	r.t.Helper()
	name, rest, _ := strings.Cut(rel, "/")
	path := filepath.Join(r.physical(name), rest)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(path, data, mode); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) copy(from, to string) {
	r.t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		r.t.Fatal(err)
	}
	r.write(to, data, 0o555)
}

// folder makes a folder beside the store.
func (r *rig) folder(name string) string {
	r.t.Helper()
	path := filepath.Join(r.dir, name)
	if err := os.MkdirAll(path, 0o755); err != nil {
		r.t.Fatal(err)
	}
	return path
}

func (r *rig) options(script string) Options {
	o := Options{
		System: r.system, Items: r.items, StateRoot: filepath.Join(r.dir, "state"),
		Container: spec.Container{
			Version: spec.Version, HostName: "testbox", Network: spec.NetworkNone,
			Root: spec.Root{
				Usr:   []spec.Lower{{Item: itemPath("busybox")}},
				Links: []spec.Link{{Path: "/bin", Target: "usr/bin"}},
			},
		},
		Message: func(s string) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.messages = append(r.messages, s)
		},
	}
	if script != "" {
		o.Command = []string{"/usr/bin/sh", "-c", script}
	}
	return o
}

func (r *rig) said() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.messages, "\n")
}

// run runs a container to its end and returns what its command printed.
func (r *rig) run(o Options) (string, spec.Exit, error) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
	defer cancel()
	return capture(r.t, func(out *os.File) (spec.Exit, error) {
		o.Stdout, o.Stderr = out, out
		return Run(ctx, o)
	})
}

// script runs a shell script in a container and fails the test unless it ends
// well.
func (r *rig) script(o Options) string {
	r.t.Helper()
	out, exit, err := r.run(o)
	if err != nil || exit.Status() != 0 {
		r.t.Fatalf("the script ended with %+v, %v\n%s\n%s", exit, err, out, r.said())
	}
	return out
}

func capture(t testing.TB, f func(out *os.File) (spec.Exit, error)) (string, spec.Exit, error) {
	t.Helper()
	pr, pw, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(&buf, pr)
	}()
	exit, err := f(pw)
	pw.Close()
	<-done
	pr.Close()
	return buf.String(), exit, err
}

// background starts a container that runs until it is stopped.
func (r *rig) background(o Options) (Instance, func() (spec.Exit, error)) {
	r.t.Helper()
	ctx, cancel := context.WithCancel(r.t.Context())
	type result struct {
		exit spec.Exit
		err  error
	}
	ended := make(chan result, 1)
	go func() {
		exit, err := Run(ctx, o)
		ended <- result{exit, err}
	}()
	stop := sync.OnceValues(func() (spec.Exit, error) {
		cancel()
		res := <-ended
		return res.exit, res.err
	})
	r.t.Cleanup(func() { _, _ = stop() })
	go func() {
		res := <-ended
		ended <- res
		if res.err != nil {
			r.t.Logf("the container ended: %+v, %v", res.exit, res.err)
		}
	}()
	name := o.Name
	if name == "" {
		name = "testbox"
	}
	return r.await(o.StateRoot, name), stop
}

// await waits until the registry has a container.
func (r *rig) await(stateRoot, name string) Instance {
	r.t.Helper()
	for range 4000 {
		list, err := List(stateRoot)
		if err != nil {
			r.t.Fatal(err)
		}
		for _, i := range list {
			if i.Name == name {
				return i
			}
		}
		time.Sleep(5 * time.Millisecond)
	}
	r.t.Fatalf("no container %s appeared", name)
	return Instance{}
}
