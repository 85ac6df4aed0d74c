// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package realise_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"osbuild/builder/derivation"
	"osbuild/builder/realise"
	"osbuild/runner/spec"
)

func TestFailures(t *testing.T) {
	p := programs{
		"/fails": func(p *process) error {
			for i := range 30 {
				fmt.Fprintln(p.log, "line", i)
			}
			fmt.Fprint(p.log, "\x1b[31mred\x1b[0m\a")
			return exit{Code: 3}
		},
		"/dies":    func(*process) error { return exit(spec.Exit{Signal: 11}) },
		"/nothing": func(*process) error { return nil },
		"/cannot":  func(*process) error { return errors.New("no namespaces here") },
		"/pipe": func(p *process) error {
			return os.Symlink(strings.Repeat("x", 10), p.out("out")+"x")
		},
	}
	for _, c := range []struct {
		summary string
		d       derivation.Derivation
		want    string
	}{
		{"status", derivation.Derivation{Builder: "/fails"}, `f.star:3:7: cannot build "d": the builder ended with status 3
  the end of its log:
  | ` + strings.Join(lines(11, 30), "\n  | ") + `
  | red
  the whole log: LOG
  run again with --keep-failed to keep the build folder and look into it`},
		{"signal", derivation.Derivation{Builder: "/dies"}, `f.star:3:7: cannot build "d": the builder was killed by signal 11 (SIGSEGV)
  run again with --keep-failed to keep the build folder and look into it`},
		{"no output", derivation.Derivation{Builder: "/nothing"}, `f.star:3:7: cannot build "d": its builder succeeded without making output "out": it must make what the variable "out" names, SCRATCH
  run again with --keep-failed to keep the build folder and look into it`},
		{"output in a wrong place", derivation.Derivation{Builder: "/pipe"}, `f.star:3:7: cannot build "d": its builder succeeded without making output "out": it must make what the variable "out" names, SCRATCH
  run again with --keep-failed to keep the build folder and look into it`},
		{"executor", derivation.Derivation{Builder: "/cannot"}, `f.star:3:7: cannot build "d": no namespaces here`},
		{"unknown builtin", derivation.Derivation{Builder: "builtin:magic", Version: 7}, `f.star:3:7: cannot build "d": this osbuild has no builtin "magic" of version 7`},
		{"other machine", derivation.Derivation{Builder: "/fails", System: "m68k-linux"}, `f.star:3:7: cannot build "d": its builder needs m68k-linux, and this machine is ` + derivation.HostSystem() + `: build it on such a machine, or fetch what was built there`},
	} {
		w := newWorld(t, p)
		g := w.graph()
		c.d.Name, c.d.Pos = "d", pos{File: "f.star", Line: 3, Col: 7}
		d := must(t)(g.Derive(c.d))
		// The error is that of the failed build, not that of what waits for it.
		after := must(t)(g.Text("after", d, false, pos{}))
		_, err := w.r.Realise(t.Context(), g, after)
		var be *realise.BuildError
		if !errors.As(err, &be) {
			t.Errorf("%s: error %v", c.summary, err)
			continue
		}
		got := err.Error()
		if be.LogPath != "" {
			got = strings.ReplaceAll(got, be.LogPath, "LOG")
			if log, err := os.ReadFile(be.LogPath); err != nil || strings.Count(string(log), "\n") != 30 {
				t.Errorf("%s: log %q %v", c.summary, log, err)
			}
		}
		got = regexp.MustCompile(`/osbuild/store/\w{32}-d`).ReplaceAllString(got, "SCRATCH")
		if got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", c.summary, got, c.want)
		}
		if all, err := w.store.All(); err != nil || len(all) > 0 {
			t.Errorf("%s: in the store: %v %v", c.summary, all, err)
		}
		w.verify()
	}
}

func lines(from, to int) []string {
	var list []string
	for i := from; i < to; i++ {
		list = append(list, fmt.Sprint("line ", i))
	}
	return list
}

func TestKeepFailed(t *testing.T) {
	w := newWorld(t, programs{"/fails": func(p *process) error {
		if err := os.Mkdir(p.out("out"), 0o700); err != nil {
			return err
		}
		for _, f := range []string{p.out("out") + "/root", filepath.Join(p.build.WorkDir, "root")} {
			if err := os.WriteFile(f, []byte("x"), 0o755); err != nil {
				return err
			}
			if err := os.Chmod(f, 0o755|fs.ModeSetuid); err != nil {
				return err
			}
		}
		return exit{Code: 1}
	}})
	w.r.KeepFailed = true
	g := w.graph()
	d := must(t)(g.Derive(derivation.Derivation{Name: "d", Builder: "/fails"}))
	_, err := w.r.Realise(t.Context(), g, d)
	var be *realise.BuildError
	if !errors.As(err, &be) || be.KeptDir == "" || !strings.Contains(err.Error(), be.KeptDir) {
		t.Fatalf("error %v", err)
	}
	outs, err := filepath.Glob(be.KeptDir + "/store/*-d/root")
	if err != nil || len(outs) != 1 {
		t.Fatalf("kept outputs %v %v", outs, err)
	}
	for file, want := range map[string]fs.FileMode{outs[0]: 0o555, be.KeptDir + "/build/root": 0o755} {
		if st, err := os.Stat(file); err != nil || st.Mode() != want {
			t.Errorf("%s has mode %v, want %v (%v)", file, st.Mode(), want, err)
		}
	}
	if st, err := os.Stat(filepath.Dir(be.KeptDir)); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("others may look into kept folders: %v %v", st, err)
	}
	w.verify()
}
