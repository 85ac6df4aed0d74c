// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"osbuild/builder/debian/apt/apttest"
)

var update = flag.Bool("update", false, "rewrite the golden parts of test scripts")

func TestMain(m *testing.M) {
	if os.Getenv(crashAt) != "" {
		os.Exit(crashingMain())
	}
	testscript.Main(m, map[string]func(){
		"osbuild": func() { os.Exit(run(os.Args[1:])) },
	})
}

// TestScripts runs one script a behaviour of a verb; the first word of a
// script's name is the verb. Each script has a store, a home and a runtime
// folder of its own.
func TestScripts(t *testing.T) {
	initProgram := buildInit(t)
	known := &archives{t: t, repos: map[string]*apttest.Repo{}}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("OSBUILD_ROOT", filepath.Join(env.WorkDir, ".root"))
			env.Setenv("OSBUILD_INIT", initProgram)
			env.Setenv("XDG_RUNTIME_DIR", filepath.Join(env.WorkDir, ".run"))
			env.Setenv("GOROOT", goroot(t))
			env.Setenv("GOTELEMETRY", "off")
			return os.MkdirAll(filepath.Join(env.WorkDir, ".run"), 0o700)
		},
		Condition: scriptCondition,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"archive":   known.command,
			"exits":     exits,
			"plain":     plainText,
			"snapshot":  snapshot,
			"unchanged": unchanged,
		},
	})
}

// buildInit builds the osbuild-init of this checkout as `make build` does.
func buildInit(t *testing.T) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "osbuild-init")
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=", "-o", out, "../osbuild-init")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("cannot build osbuild-init: %v\n%s", err, text)
	}
	return out
}

func goroot(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// scriptCondition knows [root], and [has:PROGRAM] for programs to compare
// with.
func scriptCondition(cond string) (bool, error) {
	if name, ok := strings.CutPrefix(cond, "has:"); ok {
		_, err := exec.LookPath(name)
		return err == nil, nil
	}
	if cond == "root" {
		return os.Geteuid() == 0, nil
	}
	return false, fmt.Errorf("unknown condition %q", cond)
}

// exits runs a program that must end with exactly the status given:
//
//	exits 2 osbuild build
//
// It also fails on what no error of osbuild may hold: a stack trace.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits STATUS PROGRAM [ARG]…")
	}
	status := 0
	var exit *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &exit) {
		status = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if strconv.Itoa(status) != args[0] {
		ts.Fatalf("exit status %d, want %s", status, args[0])
	}
	if strings.Contains(ts.ReadFile("stderr"), "goroutine ") {
		ts.Fatalf("the error is a stack trace")
	}
}

// plainText writes what a program printed to a file, with what differs from
// run to run replaced by a word:
//
//	plain stderr got.txt
func plainText(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: plain stdout|stderr FILE")
	}
	text := strings.ReplaceAll(ts.ReadFile(args[0]), ts.Getenv("WORK"), "$WORK")
	text = keyPattern.ReplaceAllString(text, "KEY")
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(text), 0o600))
}

var keyPattern = regexp.MustCompile(`\b([0-9a-f]{2}/)?[0-9a-f]{64}\b`)

// snapshot remembers the whole tree below the script's folder, the store
// included; unchanged fails if anything in it differs by now.
func snapshot(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: snapshot")
	}
	ts.Check(os.WriteFile(snapshotFile(ts), []byte(dumpTree(ts)), 0o600))
}

func unchanged(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: unchanged")
	}
	before, err := os.ReadFile(snapshotFile(ts))
	ts.Check(err)
	if after := dumpTree(ts); after != string(before) {
		ts.Fatalf("the tree changed\nbefore:\n%s\nafter:\n%s", before, after)
	}
}

func snapshotFile(ts *testscript.TestScript) string {
	return filepath.Join(filepath.Dir(ts.Getenv("WORK")), "snapshot-"+filepath.Base(ts.Getenv("WORK")))
}

// dumpTree writes one line a file or link: mode, content and path. What a
// store keeps of a failed build on purpose does not count: its log, the caches
// of hashes and of derivations, and the empty files that are locked.
func dumpTree(ts *testscript.TestScript) string {
	work := ts.Getenv("WORK")
	var b strings.Builder
	ts.Check(filepath.WalkDir(work, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(work, path)
		for _, skip := range []string{".tmp", ".root/log", ".root/db/statcache", ".root/db/drv", ".root/locks"} {
			if rel == skip && d.IsDir() {
				return filepath.SkipDir
			}
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		switch {
		case d.IsDir():
			return nil
		case d.Type()&fs.ModeSymlink != 0:
			target, _ := os.Readlink(path)
			fmt.Fprintf(&b, "symlink %s -> %s\n", rel, target)
		default:
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, "file %04o %x %s\n", info.Mode().Perm(), sha256.Sum256(text), rel)
		}
		return nil
	}))
	return b.String()
}
