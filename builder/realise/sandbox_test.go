// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package realise_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"osbuild/builder/derivation"
	"osbuild/builder/realise"
	"osbuild/runner"
)

// shell is a graph with a shell, in a world whose programs run in the real
// sandbox.
type shell struct {
	*world
	g  *derivation.Graph
	sh string
}

func newShell(t *testing.T) *shell {
	t.Helper()
	probe := exec.Command("/bin/true")
	probe.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS}
	if err := probe.Run(); err != nil {
		t.Skipf("SKIP-ENV: no user namespaces here: %v", err)
	}
	const busybox = "/bin/busybox"
	if _, err := os.Stat(busybox); err != nil {
		t.Skip("SKIP-ENV: /bin/busybox is missing: apt-get install busybox-static")
	}
	w := newWorld(t, nil)
	w.r.Executor = runner.Sandbox{}
	s := &shell{world: w, g: w.graph()}
	src := must(t)(s.g.Source(t.Context(), "busybox", busybox, nil, "", pos{}))
	// Links by the names of its commands, so that scripts can have a PATH.
	tools := map[string]string{"busybox": src}
	for _, name := range []string{"sh", "cat", "chmod", "echo", "head", "ln", "ls", "mkdir", "sleep", "kill", "sed", "sort"} {
		tools[name] = src
	}
	s.sh = must(t)(s.g.FileUnion("shell", tools, true, pos{}))
	return s
}

// script declares what a shell script makes.
func (s *shell) script(name, script string, change ...func(*derivation.Derivation)) string {
	s.t.Helper()
	d := derivation.Derivation{
		Name: name, Builder: s.sh + "/sh", System: derivation.HostSystem(), Args: []string{"-euc", script},
		Env: map[string]string{"PATH": s.sh}, Pos: pos{File: "f.star", Line: 1, Col: 2},
	}
	for _, c := range change {
		c(&d)
	}
	p, err := s.g.Derive(d)
	if err != nil {
		s.t.Fatal(err)
	}
	return p
}

func TestSandboxedBuild(t *testing.T) {
	s := newShell(t)
	dep := must(t)(s.g.Text("dep", "the dependency", false, pos{}))
	between := must(t)(s.g.Text("between", dep, false, pos{}))
	other := must(t)(s.g.Text("other", "not an input", false, pos{}))
	first := s.script("first", `
		mkdir $out $doc $out/bin
		ls /osbuild/store | sed 's/^[^-]*-//' | sort >$out/visible
		cat $(cat `+between+`) >$out/dep
		echo "$out $doc" >$out/bin/self; chmod 6755 $out/bin/self
		ln -s $doc/README $out/link
		echo "docs of `+between+`" >$doc/README; chmod 700 $doc
		for d in $out $doc; do mkdir $d/locked; echo $d >$d/locked/x; chmod 000 $d/locked/x $d/locked; done
		echo $HOME $TMPDIR $PWD >$out/env; echo some words; chmod 000 /build /osbuild/store`, func(d *derivation.Derivation) { d.Outputs = []string{"out", "doc"} })
	second := s.script("second", `cat `+first+`/dep `+first+`/link >$out`)
	paths := s.realise(s.g, second, first, other)

	if got, want := s.read(paths[0], ""), "the dependencydocs of "+between+"\n"; got != want {
		t.Errorf("second says %q, want %q", got, want)
	}
	// The outputs stand there too, by their scratch names.
	if got, want := s.read(paths[1], "visible"), "between\ndep\nfirst\nfirst-doc\nshell\n"; got != want {
		t.Errorf("the build saw\n%s", got)
	}
	if got, want := s.read(paths[1], "env"), "/homeless /build /build\n"; got != want {
		t.Errorf("environment %q", got)
	}
	info, err := s.store.Info(paths[1])
	if err != nil || len(info.References) != 2 {
		t.Errorf("first refers to %v, %v; want itself and its doc", info.References, err)
	}
	if st, err := os.Stat(filepath.Join(s.store.Physical(paths[1]), "bin/self")); err != nil || st.Mode() != 0o555 {
		t.Errorf("mode %v %v", st.Mode(), err)
	}
	if err := s.r.Check(t.Context(), s.g, second); err != nil {
		t.Error(err)
	}
	s.verify()
}

func TestSandboxedFailures(t *testing.T) {
	s := newShell(t)
	for _, c := range []struct{ summary, script, want string }{
		{"status", "echo before the end; exit 7", "f.star:1:2: cannot build \"x\": the builder ended with status 7\n  the end of its log:\n  | before the end\n"},
		{"signal", "kill -KILL $$", "killed by signal 9 (SIGKILL)"},
		{"no output", "true", "without making output \"out\""},
		{"no such program", "/none", "status 127"},
		{"network", "busybox wget http://127.0.0.1:1/", "refused"},
	} {
		_, err := s.r.Realise(t.Context(), s.g, s.script("x", c.script))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", c.summary, err, c.want)
		}
	}
	_, err := s.r.Realise(t.Context(), s.g, s.script("x", "", func(d *derivation.Derivation) { d.Builder = s.sh + "/none" }))
	if err == nil || !strings.Contains(err.Error(), "none") {
		t.Errorf("builder that does not exist: %v", err)
	}
	s.r.KeepFailed = true
	var be *realise.BuildError
	_, err = s.r.Realise(t.Context(), s.g, s.script("kept", `mkdir $out work; echo x >$out/x; chmod 4755 $out/x; echo y >work/y; chmod 000 work; exit 1`))
	if !errors.As(err, &be) || be.KeptDir == "" {
		t.Fatalf("not kept: %v", err)
	}
	if x, err := filepath.Glob(be.KeptDir + "/store/*-kept/x"); err != nil || len(x) != 1 {
		t.Errorf("kept outputs %v %v", x, err)
	} else if st, err := os.Stat(x[0]); err != nil || st.Mode() != 0o555 {
		t.Errorf("mode of a kept output %v %v", st.Mode(), err)
	}
	if st, err := os.Stat(be.KeptDir + "/build/work"); err != nil || st.Mode() != fs.ModeDir|0o700 {
		t.Errorf("kept folder: %v %v", st, err)
	}
	s.verify()
}

func TestSandboxedCheck(t *testing.T) {
	s := newShell(t)
	d := s.script("random", `mkdir $out; echo same >$out/a; head -c 16 /dev/urandom >$out/b`)
	err := s.r.Check(t.Context(), s.g, d)
	var de *realise.DifferenceError
	if !errors.As(err, &de) || de.File != "b" || de.Name != "random" {
		t.Errorf("error %v", err)
	}
	s.verify()
}

func TestSandboxedCancel(t *testing.T) {
	s := newShell(t)
	// The log shows that the script runs.
	d := s.script("hang", `mkdir $out $out/a; chmod 500 $out/a; echo running; sleep 1000 & sleep 1000`)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		for ctx.Err() == nil {
			logs, _ := filepath.Glob(s.root + "/log/*/*.log")
			for _, l := range logs {
				if data, _ := os.ReadFile(l); strings.Contains(string(data), "running") {
					cancel()
				}
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
	if _, err := s.r.Realise(ctx, s.g, d); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	s.verify()
	all, err := s.store.All()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		if p.Name() == "hang" {
			t.Errorf("%s is in the store", p)
		}
	}
}
