// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package supervise

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"osbuild/runner/spec"
)

func TestLogsAreBounded(t *testing.T) {
	name := filepath.Join(t.TempDir(), "deep", "web.log")
	var full, lost int
	for range 2 { // as by two processes, one after the other
		l := &logFile{name: name, limit: 100, full: func() { full++ }, lost: func(error) { lost++ }}
		if err := l.open(); err != nil {
			t.Fatal(err)
		}
		for i := range 25 {
			l.write(fmt.Appendf(nil, "line %4d\n", i))
		}
		if lost != 0 {
			t.Error("lines are lost")
		}
		l.f.Close()
		for range 3 { // as on a disk without room
			l.limit = 0
			l.write([]byte("nowhere to go\n"))
		}
		if lost != 1 {
			t.Errorf("lost lines were told %d times, want once", lost)
		}
		lost = 0
	}
	if full != 4 {
		t.Errorf("the log began again %d times, want 4", full)
	}
	for file, want := range map[string]string{name: "line   24\n", name + ".1": "line   14\n"} {
		data, err := os.ReadFile(file)
		if err != nil || len(data) > 100 || !strings.HasSuffix(string(data), want) {
			t.Errorf("%s: %d bytes that end with %q, %v", file, len(data), data[max(0, len(data)-10):], err)
		}
	}
	l := &logFile{name: filepath.Join(t.TempDir(), "own.log")}
	if err := l.open(); err != nil {
		t.Fatal(err)
	}
	defer l.f.Close()
	for range 50 {
		l.write([]byte("a line of a file without a bound\n"))
	}
	if _, err := os.Stat(l.name + ".1"); err == nil || l.size < 1000 {
		t.Errorf("a file without a bound moved: %d bytes", l.size)
	}
}

// TestTail reads the ends of logs.
// TestLogFileOfService: what a service puts where its log file is to be does not
// lead PID 1 elsewhere, nor hold it.
func TestLogFileOfService(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(dir, "shadow")
	if err := os.WriteFile(target, []byte("root:*\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		summary string
		make    func(name string) error
		want    string
	}{
		{"link", func(name string) error { return os.Symlink(target, name) }, "it is a symbolic link"},
		{"pipe", func(name string) error { return unix.Mkfifo(name, 0o666) }, "it is a pipe that nobody reads"},
		{"folder", func(name string) error { return os.Mkdir(name, 0o777) }, "is a directory"},
		{"file", func(name string) error { return os.WriteFile(name, nil, 0o666) }, ""},
	} {
		t.Run(tc.summary, func(t *testing.T) {
			name := filepath.Join(dir, tc.summary)
			if err := tc.make(name); err != nil {
				t.Fatal(err)
			}
			l := &logFile{name: name}
			err := l.open()
			if tc.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				l.f.Close()
				return
			}
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v", err)
			}
		})
	}
	if data, err := os.ReadFile(target); err != nil || string(data) != "root:*\n" {
		t.Errorf("%q, %v", data, err)
	}
}

// TestReadPID: a PID file is small and a file, or none.
func TestReadPID(t *testing.T) {
	dir := t.TempDir()
	for _, tc := range []struct {
		summary string
		make    func(name string) error
		want    int
	}{
		{"a number", func(name string) error { return os.WriteFile(name, []byte(" 12\n"), 0o644) }, 12},
		{"no number", func(name string) error { return os.WriteFile(name, []byte("12abc"), 0o644) }, 0},
		{"empty", func(name string) error { return os.WriteFile(name, nil, 0o644) }, 0},
		{"more than memory", func(name string) error {
			if err := os.WriteFile(name, []byte("12\n"), 0o644); err != nil {
				return err
			}
			return os.Truncate(name, 1<<40)
		}, 0},
		{"without end", func(name string) error { return os.Symlink("/dev/zero", name) }, 0},
		{"a pipe", func(name string) error { return unix.Mkfifo(name, 0o644) }, 0},
		{"a folder", func(name string) error { return os.Mkdir(name, 0o755) }, 0},
	} {
		t.Run(tc.summary, func(t *testing.T) {
			name := filepath.Join(dir, tc.summary)
			if err := tc.make(name); err != nil {
				t.Fatal(err)
			}
			pid, err := readPID(name)
			if pid != tc.want || (err == nil) != (tc.want != 0) {
				t.Errorf("got %d, %v", pid, err)
			}
		})
	}
}

func TestTail(t *testing.T) {
	s := &supervisor{Options: Options{LogDir: t.TempDir()}}
	lines := func(n int) string { return strings.Repeat("a line of 20 bytes.\n", n) }
	for _, tt := range []struct{ summary, before, now, want string }{
		{"nothing", "", "", ""},
		{"a short log", "", lines(3), lines(3)},
		{"a long log", lines(9000), lines(9000), lines(logTail / 20)},
		{"a log that has just begun again", lines(9000), "new\n", lines((logTail-4)/20) + "new\n"},
		{"two short logs", lines(2), "new\n", lines(2) + "new\n"},
	} {
		t.Run(tt.summary, func(t *testing.T) {
			for suffix, text := range map[string]string{".log": tt.now, ".log.1": tt.before} {
				if err := os.WriteFile(filepath.Join(s.LogDir, "web"+suffix), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if got, err := s.tail("web"); err != nil || got != tt.want {
				t.Errorf("%d bytes, want %d, %v", len(got), len(tt.want), err)
			}
		})
	}
	if got, err := s.tail("other"); err != nil || got != "" {
		t.Errorf("the log of nobody: %q, %v", got, err)
	}
}

// TestOutput looks at what becomes of lines of all sorts.
func TestOutput(t *testing.T) {
	p := sh(`printf 'plain\r\n\n  indented\n'; head -c 20000 /dev/zero | tr '\0' x; printf '\nno end'`)
	p.LogFile = "$DIR/own/file.log"
	s := boot(t, false, spec.Service{Provision: []string{"file-system-/a/b"}, OneShot: true, Start: spec.Start{Exec: p}})
	s.up()
	x := strings.Repeat("x", maxLine)
	want := "plain\n\n  indented\n" + x + "\n" + x + "\n" + x[:20000-2*maxLine] + "\nno end\n"
	for _, name := range []string{"log/file-system--a-b.log", "own/file.log"} {
		if got := s.file(name); got != want {
			t.Errorf("%s: %d bytes, want %d", name, len(got), len(want))
		}
	}
	if r := s.ask(spec.Request{Op: spec.OpLogs, Service: "file-system-/a/b"}); r.Log != want {
		t.Errorf("logs: %d bytes, error %q", len(r.Log), r.Error)
	}
	s.off()
	if got := s.consoleText(); !strings.Contains(got, "file-system-/a/b|   indented\n") || !strings.Contains(got, "file-system-/a/b| no end\n") {
		t.Errorf("console: %d bytes", len(got))
	}
}

// What a container prints in years must not fill the host's memory.
func TestConsoleIsBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "console")
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const limit = 1000
	c := newConsole(f, limit)
	for n := range 200 {
		c.printWait(fmt.Sprintf("line %d", n))
	}
	c.close()
	text, err := os.ReadFile(path)
	if err != nil || len(text) > limit || !strings.HasSuffix(string(text), "\nline 199\n") || !strings.Contains(string(text), "begins again") {
		t.Errorf("%v, %d bytes:\n%s", err, len(text), text)
	}
}
