// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package supervise

import (
	"bufio"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"osbuild/runner/spec"
)

func TestControl(t *testing.T) {
	s := boot(t, false, one("web", sh("exec sleep 1000")))
	s.up()
	for _, tt := range []struct {
		summary, line string
		want          string // of the reply's error
	}{
		{"not JSON", `start web`, "cannot read the request: invalid character"},
		{"an empty line", ``, "cannot read the request: unexpected end"},
		{"a list", `[]`, "cannot read the request: json: cannot unmarshal array"},
		{"no operation", `{"id":1}`, "it names no operation"},
		{"an unknown operation", `{"id":1,"op":"dance","service":"web"}`, `there is no operation "dance"`},
		{"an unknown service", `{"id":1,"op":"start","service":"wbe"}`, `there is no service "wbe"`},
		{"a run without a process", `{"id":1,"op":"run"}`, "none is given"},
		{"a run of a relative path", `{"id":1,"op":"run","process":{"argv":["sh"]}}`, "must be an absolute path"},
		{"an unknown user", `{"id":1,"op":"run","process":{"argv":["/bin/sh"],"user":"bob"}}`, `there is no user "bob"`},
		{"a line that is too long", `{"op":"` + strings.Repeat("x", maxRequest+10) + `"}`, "the line is too long"},
		{"an unknown field is for later versions", `{"id":1,"op":"status","service":"web","colour":"red"}`, ""},
	} {
		t.Run(tt.summary, func(t *testing.T) {
			s.send(tt.line)
			if r := s.receive(); !strings.Contains(r.Error, tt.want) || tt.want == "" && r.Error != "" {
				t.Errorf("error %q, want %q", r.Error, tt.want)
			}
		})
	}
	if e := s.run("/bin/sh", "-c", "echo out; echo err >&2; test -z \"$(env | grep INIT)\" && exit 42"); e.Code != 42 {
		t.Errorf("command: %+v", e)
	}
	if got := s.file("stdio"); got != "out\nerr\n" {
		t.Errorf("the command wrote %q to our descriptors", got)
	}
	if e := s.run("/bin/sh", "-c", "kill -9 $$"); e.Signal != 9 || e.Status() != 137 {
		t.Errorf("command: %+v", e)
	}
	// Several requests are under way at once.
	s.send(`{"id":7,"op":"run","process":{"argv":["/bin/sh","-c","until test -e ` + s.dir + `/go; do sleep 0.01; done"]}}`)
	if r := s.ask(spec.Request{ID: 8, Op: spec.OpRun, Process: sh("touch " + s.dir + "/go")}); r.ID != 8 && r.ID != 7 {
		t.Errorf("%+v", r)
	}
	s.receive()
	for _, tt := range []struct{ op, state, err string }{
		{spec.OpDisable, spec.StateRunning, ""},
		{spec.OpStop, spec.StateStopped, ""},
		{spec.OpStop, spec.StateStopped, ""},
		{spec.OpStart, spec.StateStopped, "cannot start web: it is disabled; enable it first"},
		{spec.OpEnable, spec.StateStopped, ""},
		{spec.OpStart, spec.StateRunning, ""},
		{spec.OpRestart, spec.StateRunning, ""},
	} {
		r := s.ask(spec.Request{ID: 3, Op: tt.op, Service: "web"})
		if r.Error != tt.err || len(r.Services) != 1 || r.Services[0].State != tt.state || r.ID != 3 {
			t.Errorf("%s: %+v", tt.op, r)
		}
	}
	if status := s.off(); status != 0 {
		t.Errorf("exit status %d", status)
	}
}

// TestInsideSocket asks through the socket that programs of the system reach.
func TestInsideSocket(t *testing.T) {
	s := boot(t, false, one("web", sh("exec sleep 1000")))
	s.up()
	socket := filepath.Join(s.dir, "run", "control")
	st, err := os.Stat(socket)
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the socket: %v, %v", st, err)
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: socket}); err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), socket)
	lines := bufio.NewReader(f)
	ask := func(line string) (r spec.Reply) {
		t.Helper()
		if _, err := f.WriteString(line + "\n"); err != nil {
			t.Fatal(err)
		}
		text, err := lines.ReadBytes('\n')
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, &r); err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := ask(`{"op":"run","process":{"argv":["/bin/sh"]}}`); !strings.Contains(r.Error, "runner's alone") {
		t.Errorf("run: %+v", r)
	}
	if r := ask(`{"op":"status","service":"web"}`); r.Error != "" || r.Services[0].State != spec.StateRunning {
		t.Errorf("status: %+v", r)
	}
	// Its end is not the end of the system.
	f.Close()
	if r := s.ask(spec.Request{Op: spec.OpStatus}); r.Error != "" || len(r.Services) != 1 {
		t.Errorf("status: %+v", r)
	}
}

// TestRunnerDies closes the runner's connection: all ends, at once.
func TestRunnerDies(t *testing.T) {
	for _, sub := range []bool{false, true} {
		t.Run(map[bool]string{false: "as PID 1", true: "as subreaper"}[sub], func(t *testing.T) {
			s := boot(t, sub, one("web", sh("trap 'touch $DIR/term' TERM; echo $$ > $DIR/pid; while :; do sleep 0.01; done")))
			s.up()
			below := descendants(s.cmd.Process.Pid)
			if len(below) == 0 {
				t.Fatal("nothing runs")
			}
			s.control.Close()
			if status := s.wait(); status == 0 {
				t.Error("exit status 0")
			}
			for _, pid := range below {
				if err := unix.Kill(pid, 0); !errors.Is(err, unix.ESRCH) && !zombie(pid) {
					t.Errorf("process %d is left: %v", pid, err)
				}
			}
			if s.file("term") != "" {
				t.Error("services were stopped politely")
			}
		})
	}
}

func zombie(pid int) bool {
	data, err := os.ReadFile("/proc/" + itoa(pid) + "/stat")
	return err == nil && strings.Contains(string(data), ") Z ")
}

func itoa(n int) string {
	text, _ := json.Marshal(n)
	return string(text)
}

func FuzzDecodeRequest(f *testing.F) {
	for _, line := range []string{
		`{"id":1,"op":"status"}`, `{"op":"run","process":{"argv":["/bin/true"],"limits":{"nofile":{"soft":1,"hard":-1}}}}`, `[`, ``, `null`,
	} {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		r, err := DecodeRequest(line)
		if err == nil && r.Op == "" {
			t.Error("a request without an operation is taken")
		}
	})
}

// TestManyConnections has more connections than are served at once: the last
// waits until another ends.
func TestManyConnections(t *testing.T) {
	s := boot(t, false, one("web", sh("exec sleep 1000")))
	s.up()
	dial := func() net.Conn {
		t.Helper()
		c, err := net.Dial("unix", filepath.Join(s.dir, "run", "control"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	var served []net.Conn
	for range maxConns {
		c := dial()
		if _, err := c.Write([]byte(`{"op":"status"}` + "\n")); err != nil {
			t.Fatal(err)
		}
		if _, err := bufio.NewReader(c).ReadBytes('\n'); err != nil {
			t.Fatal(err)
		}
		served = append(served, c)
	}
	last := dial()
	if _, err := last.Write([]byte(`{"op":"status"}` + "\n")); err != nil {
		t.Fatal(err)
	}
	if err := last.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := last.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("one connection too many is served: %v", err)
	}
	served[0].Close()
	if err := last.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(last).ReadBytes('\n'); err != nil {
		t.Errorf("it is not served afterwards: %v", err)
	}
}
