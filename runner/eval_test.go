// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"osbuild/runner/spec"
)

var allNamespaces = []string{"pid", "net", "ipc", "uts", "cgroup"}

func (r *rig) program(script string) spec.Program {
	return spec.Program{
		Items: r.items, Namespaces: allNamespaces,
		Argv: []string{itemPath("busybox") + "/bin/sh", "-c", script},
		Env:  []string{"PATH=" + itemPath("busybox") + "/bin"},
	}
}

func (r *rig) eval(p spec.Program) (string, spec.Exit, error) {
	r.t.Helper()
	return capture(r.t, func(out *os.File) (spec.Exit, error) {
		return Eval(r.t.Context(), p, Hierarchy{}, Stdio{Out: out, Err: out})
	})
}

func TestEval(t *testing.T) {
	r := newRig(t, nil)
	share := r.folder("share")
	if err := os.WriteFile(filepath.Join(share, "in"), []byte("in\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		summary string
		change  func(p *spec.Program)
		script  string
		out     string
		exit    spec.Exit
	}{
		{"closure", nil, "ls /osbuild/store", strings.Join(names(r.items), "\n") + "\n", spec.Exit{}},
		{"root", nil, "id -u; ls /; touch /x /etc/x 2>&1 | grep -c Read-only", "0\ndev\netc\nosbuild\nproc\ntmp\n2\n", spec.Exit{}},
		{"status", nil, "exit 42", "", spec.Exit{Code: 42}},
		{"signal", nil, "kill -SEGV $$", "", spec.Exit{Signal: int(unix.SIGSEGV)}},
		{"reaper", nil, "echo $$; sleep 1000 & exit 5", "2\n", spec.Exit{Code: 5}},
		{"share", func(p *spec.Program) {
			p.Mappings = []spec.Mapping{{Source: share, Target: "/data", Writable: true}}
		}, "cat /data/in; echo out >/data/out", "in\n", spec.Exit{}},
		{"expose", func(p *spec.Program) {
			p.Mappings = []spec.Mapping{{Source: share, Target: "/data"}}
		}, "cat /data/in; touch /data/out2 2>/dev/null || echo refused", "in\nrefused\n", spec.Exit{}},
		{"folder", func(p *spec.Program) { p.Directory = "/tmp" }, "pwd", "/tmp\n", spec.Exit{}},
		{"without a pid namespace", func(p *spec.Program) {
			p.Namespaces = []string{"net", "ipc", "uts"}
		}, "test $$ -gt 2 && ls /; exit 9", "dev\netc\nosbuild\ntmp\n", spec.Exit{Code: 9}},
		{"without any", func(p *spec.Program) { p.Namespaces = nil }, "kill -TERM $$", "", spec.Exit{Signal: int(unix.SIGTERM)}},
	}
	for _, tt := range tests {
		t.Run(tt.summary, func(t *testing.T) {
			p := r.program(tt.script)
			if tt.change != nil {
				tt.change(&p)
			}
			out, exit, err := r.eval(p)
			if err != nil || exit != tt.exit || out != tt.out {
				t.Errorf("got %q, %+v, %v\nwant %q, %+v", out, exit, err, tt.out, tt.exit)
			}
		})
	}
	if data, err := os.ReadFile(filepath.Join(share, "out")); err != nil || string(data) != "out\n" {
		t.Errorf("the share holds %q, %v", data, err)
	}
}

func TestEvalProbe(t *testing.T) {
	r := newRig(t, nil)
	expose := r.folder("expose")
	if err := os.WriteFile(filepath.Join(expose, "file"), []byte("host"), 0o666); err != nil {
		t.Fatal(err)
	}
	before := sums(t, r.dir)
	p := r.program("")
	p.Mappings = []spec.Mapping{{Source: expose, Target: "/exposed"}}
	p.Argv = []string{itemPath("probe") + "/bin/probe", "/osbuild", "/etc", "/exposed", "/osbuild/store", itemPath("busybox"), itemPath("plain.txt")}
	if out, exit, err := r.eval(p); err != nil || exit.Code != 0 || out != "probe: done\n" {
		t.Errorf("got %+v, %v\n%s", exit, err, out)
	}
	if after := sums(t, r.dir); after != before {
		t.Errorf("files of the host were changed:\n%s", after)
	}
}

func TestEvalErrors(t *testing.T) {
	r := newRig(t, nil)
	p := r.program("true")
	p.Namespaces = []string{"moon"}
	if _, _, err := r.eval(p); err == nil || !strings.Contains(err.Error(), `unknown namespace "moon"`) {
		t.Errorf("got %v", err)
	}
	p = r.program("true")
	p.Argv = []string{"/nonesuch"}
	if _, _, err := r.eval(p); err == nil || !strings.Contains(err.Error(), "cannot execute /nonesuch") {
		t.Errorf("got %v", err)
	}
}
