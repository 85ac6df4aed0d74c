// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"osbuild/runner/spec"
)

// build is a build program of a shell script.
func (r *rig) build(script string) spec.Build {
	r.t.Helper()
	host := r.folder("host")
	if err := os.WriteFile(filepath.Join(host, "tool"), []byte("tool"), 0o644); err != nil {
		r.t.Fatal(err)
	}
	return spec.Build{
		Name: "test", Items: r.items, StoreDir: r.folder("out"), WorkDir: r.folder("work"),
		Host: []spec.Mapping{{Source: host, Target: "/go"}},
		Argv: []string{itemPath("busybox") + "/bin/sh", "-c", script},
		Env:  []string{"PATH=" + itemPath("busybox") + "/bin", "out=" + itemPath("result")},
	}
}

func TestSandbox(t *testing.T) {
	r := newRig(t, nil)
	b := r.build(`
		echo id $(id -u):$(id -g)
		echo map $(cat /proc/self/uid_map | wc -l)
		echo root $(ls /)
		echo store $(ls /osbuild/store)
		echo tool $(cat /go/tool)
		echo pwd $(pwd)
		echo net $(ip -o link | wc -l) $(ip -o addr show lo | grep -c 127.0.0.1)
		echo fds $(ls /proc/self/fd)
		echo hostname $(hostname)
		echo pid1 "$(cat /proc/1/cmdline)" $(cat /proc/1/comm)
		echo env $(env | grep -v -e ^PWD -e ^SHLVL | wc -l)
		echo environ $(cat /proc/1/environ 2>&1)
		echo nnp $(grep NoNewPrivs /proc/self/status)
		echo caps $(grep CapEff /proc/self/status)
		cat; echo stdin done
		echo to stderr >&2
		mkdir $out && echo made >$out/file && echo x >$TMPDIR/build/x; echo y >/build/y
		touch /x /etc/x /dev/x /go/x ` + itemPath("busybox") + `/x 2>&1
		exit 3`)
	var log bytes.Buffer
	exit, err := Sandbox{}.Run(t.Context(), b, &log)
	if err != nil || exit.Code != 3 {
		t.Errorf("got %+v, %v", exit, err)
	}
	for _, want := range []string{
		"id 1000:1000\n", "map 1\n", "root build dev etc go osbuild proc tmp\n",
		"store " + strings.Join(names(r.items), " ") + "\n", "tool tool\n", "pwd /build\n", "net 1 1\n",
		"fds 0 1 2 3\n", "hostname localhost\n", "pid1  osbuild\n", "env 2\n", "'/proc/1/environ': Permission denied", "NoNewPrivs: 1", "CapEff: 0000000000000000",
		"stdin done\n", "to stderr\n",
		"/x: Read-only", "/etc/x: Read-only", "/dev/x: Read-only", "/go/x: Read-only", "busybox/x: Read-only",
	} {
		if !strings.Contains(strings.ReplaceAll(log.String(), "\t", " "), want) {
			t.Errorf("%q is missing in:\n%s", want, log.String())
		}
	}
	for path, want := range map[string]string{
		filepath.Join(b.StoreDir, filepath.Base(itemPath("result")), "file"): "made\n",
		filepath.Join(b.WorkDir, "y"):                                        "y\n",
	} {
		data, err := os.ReadFile(path)
		var st unix.Stat_t
		if err == nil {
			err = unix.Stat(path, &st)
		}
		if err != nil || string(data) != want || int(st.Uid) != os.Geteuid() {
			t.Errorf("%s holds %q, owner %d, %v", path, data, st.Uid, err)
		}
	}
}

// A builder is root of nothing, and its inputs are out of its reach.
func TestSandboxProbe(t *testing.T) {
	r := newRig(t, nil)
	before := sums(t, r.dir+"/store")
	b := r.build("")
	b.Argv = []string{itemPath("probe") + "/bin/probe", "/go", "/etc"}
	for _, i := range r.items {
		b.Argv = append(b.Argv, i.Logical)
	}
	var log bytes.Buffer
	exit, err := Sandbox{}.Run(t.Context(), b, &log)
	if err != nil || exit.Code != 0 || log.String() != "probe: done\n" {
		t.Errorf("got %+v, %v\n%s", exit, err, log.String())
	}
	if after := sums(t, r.dir+"/store"); after != before {
		t.Errorf("inputs were changed:\n%s", after)
	}
}

// PID 1 of the sandbox is the runner's own; the program's fate is kept.
func TestSandboxStatus(t *testing.T) {
	tests := []struct {
		summary, script string
		want            spec.Exit
	}{
		{"success", "exit 0", spec.Exit{}},
		{"abort", "kill -ABRT $$", spec.Exit{Signal: int(unix.SIGABRT)}},
		{"orphans do not hold it up", "sleep 1000 & exit 4", spec.Exit{Code: 4}},
		{"orphans are reaped", "for i in 1 2 3; do (true &); done; sleep 0.05; test $(cat /proc/[0-9]*/stat | grep -c ') Z ') = 0", spec.Exit{}},
	}
	for _, tt := range tests {
		t.Run(tt.summary, func(t *testing.T) {
			r := newRig(t, nil)
			var log bytes.Buffer
			exit, err := Sandbox{}.Run(t.Context(), r.build(tt.script), &log)
			if err != nil || exit != tt.want {
				t.Errorf("got %+v, %v, want %+v\n%s", exit, err, tt.want, log.String())
			}
		})
	}
}

func TestSandboxErrors(t *testing.T) {
	r := newRig(t, nil)
	tests := []struct {
		summary string
		change  func(b *spec.Build)
		want    string
	}{
		{"no such program", func(b *spec.Build) { b.Argv = []string{"/nonesuch"} }, "cannot execute /nonesuch: no such file"},
		{"no program", func(b *spec.Build) { b.Argv = nil }, "names no program"},
		{"an input that is gone", func(b *spec.Build) {
			b.Items = append(b.Items, spec.Item{Logical: itemPath("gone"), Physical: r.physical("gone")})
		}, "cannot show item " + itemPath("gone")},
		{"a host tree that is gone", func(b *spec.Build) {
			b.Host = []spec.Mapping{{Source: "/nonesuch/go", Target: "/go"}}
		}, "/nonesuch/go"},
	}
	for _, tt := range tests {
		t.Run(tt.summary, func(t *testing.T) {
			b := r.build("true")
			b.Items = append([]spec.Item(nil), b.Items...)
			tt.change(&b)
			var log bytes.Buffer
			_, err := Sandbox{}.Run(t.Context(), b, &log)
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "builder of test") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestSandboxCancel(t *testing.T) {
	r := newRig(t, nil)
	mark := strconv.Itoa(200000 + os.Getpid())
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		eventually(t, "the builder runs", func() bool { return marked(t, mark) >= 2 })
		cancel()
	}()
	var log bytes.Buffer
	_, err := Sandbox{}.Run(ctx, r.build("sleep "+mark+" & sleep "+mark), &log)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	eventually(t, "its processes are gone", func() bool { return marked(t, mark) == 0 })
}

// A system can build, so a container can be a build machine.
func TestSandboxInContainer(t *testing.T) {
	r := newRig(t, nil)
	b := r.build(`id -u; ls /osbuild/store; echo made >$out; cat $out; touch ` + itemPath("busybox") + `/x 2>/dev/null || exit 6`)
	b.StoreDir, b.WorkDir, b.Host = "/tmp/out", "/tmp/work", nil
	b.Items = nil
	for _, i := range r.items {
		b.Items = append(b.Items, spec.Item{Logical: i.Logical, Physical: i.Logical})
	}
	text, err := json.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	o := r.options("")
	o.Mappings = []spec.Mapping{{Source: dir, Target: "/programs"}}
	o.Command = []string{"/programs/nested", string(text)}
	out, exit, err := r.run(o)
	if want := "1000\n" + strings.Join(names(r.items), "\n") + "\nmade\n"; err != nil || exit.Code != 6 || out != want {
		t.Errorf("got %q, %+v, %v, want %q", out, exit, err, want)
	}
}

func TestSandboxDiesWithItsRunner(t *testing.T) {
	r := newRig(t, nil)
	mark := strconv.Itoa(300000 + os.Getpid())
	b := r.build("sleep " + mark + " & sleep " + mark)
	cmd := runOptions{Build: &b}.command(t)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the builder runs", func() bool { return marked(t, mark) >= 2 })
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	eventually(t, "its processes are gone", func() bool { return marked(t, mark) == 0 })
}

func TestSandboxesAtOnce(t *testing.T) {
	r := newRig(t, nil)
	var group sync.WaitGroup
	for n := range 8 {
		b := r.build(fmt.Sprintf("echo %d >$out; sleep 0.05", n))
		b.StoreDir, b.WorkDir = r.folder(fmt.Sprintf("out%d", n)), r.folder(fmt.Sprintf("work%d", n))
		group.Go(func() {
			var log bytes.Buffer
			exit, err := Sandbox{}.Run(t.Context(), b, &log)
			data, _ := os.ReadFile(filepath.Join(b.StoreDir, filepath.Base(itemPath("result"))))
			if err != nil || exit.Code != 0 || string(data) != fmt.Sprintln(n) {
				t.Errorf("build %d: %+v, %v, %q\n%s", n, exit, err, data, log.String())
			}
		})
	}
	done := make(chan struct{})
	go func() { group.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Fatal("the builds hang")
	}
}

// Build programs that run at the same time have different ids; one that comes
// later may have an earlier one's, in a user namespace of its own.
func TestBuildIdentities(t *testing.T) {
	if !runsAsRoot() {
		t.Skip("SKIP-ENV: only root gives build programs ids of a range")
	}
	next := func() *identity {
		who, err := buildIdentity()
		if err != nil {
			t.Fatal(err)
		}
		return who
	}
	a, b := next(), next()
	defer b.close()
	if a.base() == b.base() {
		t.Errorf("both have the id %d", a.base())
	}
	// It stays open, so that no other one gets its number.
	old := a.userNS
	defer old.Close()
	a.userNS = nil
	a.close()
	c := next()
	defer c.close()
	if c.base() != a.base() {
		t.Errorf("the next program has the id %d, want %d", c.base(), a.base())
	}
	before, err1 := old.Stat()
	after, err2 := c.userNS.Stat()
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	if os.SameFile(before, after) {
		t.Error("the next program has the user namespace of an earlier one")
	}
}
