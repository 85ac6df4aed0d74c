// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"osbuild/store"
	"osbuild/store/cache"
	"osbuild/store/cache/location"
	"osbuild/store/fsys"
	"osbuild/store/storetest"
)

const mib = 1 << 20

func item(name string) store.Path {
	return store.Path(store.Dir + "/" + strings.Repeat("0", 32) + "-" + name)
}

// steps are what a meter is told, each so long after the one before.
type step struct {
	after time.Duration
	cache.Transfer
}

func moved(after time.Duration, name string, done, total int64) step {
	return step{after, cache.Transfer{Path: item(name), Done: done, Total: total, Settled: done == total}}
}

func failed(after time.Duration, name string, total int64, err error) step {
	return step{after, cache.Transfer{Path: item(name), Total: total, Settled: true, Err: err}}
}

func TestMeter(t *testing.T) {
	announced := []step{moved(0, "a", 0, 40*mib), moved(0, "b", 0, 80*mib)}
	long := append(announced[:2:2],
		moved(time.Second, "a", 10*mib, 40*mib),
		moved(time.Second, "a", 20*mib, 40*mib),
		moved(2*time.Second, "a", 40*mib, 40*mib),
		moved(16*time.Second, "b", 10*mib, 80*mib),
		moved(time.Second, "b", 80*mib, 80*mib),
	)
	for _, test := range []struct {
		summary string
		width   int
		change  func(a *app)
		loud    int64
		steps   []step
		want    string
	}{
		{"a terminal", 80, nil, 0, long, "\rpulling 0/2 items, 10.0/120.0 MiB\x1b[K" +
			"\rpulling 0/2 items, 20.0/120.0 MiB, 10.0 MiB/s, 10 s left\x1b[K" +
			"\rpulling 1/2 items, 40.0/120.0 MiB, 10.0 MiB/s, 8 s left\x1b[K" +
			"\rpulling 1/2 items, 50.0/120.0 MiB, 640.0 KiB/s, 1 min 52 s left\x1b[K" +
			"\rpulling 2/2 items, 120.0/120.0 MiB, 4.7 MiB/s\x1b[K" +
			"\r\x1b[Kpulled 2 items, 120.0 MiB in 21.0 s\n"},
		{"a narrow terminal", 40, nil, 0, long[:5], "\rpulling 0/2 items, 10.0/120.0 MiB\x1b[K" +
			"\rpulling 0/2 items, 20.0/120.0 MiB\x1b[K" +
			"\rpulling 1/2 items, 40.0/120.0 MiB\x1b[K\r\x1b[K"},
		{"a very narrow terminal", 12, nil, 0, long[:4], "\rpulling 0/2\x1b[K\rpulling 0/2\x1b[K\r\x1b[K"},
		{"no terminal", 0, nil, 0, long, "pulling 2 items, 120.0 MiB\n" +
			"pulling 1/2 items, 50.0/120.0 MiB, 640.0 KiB/s, 1 min 52 s left\n" +
			"pulled 2 items, 120.0 MiB in 21.0 s\n"},
		{"too small to tell of", 0, nil, 200 * mib, append(announced[:2:2], moved(0, "a", 40*mib, 40*mib), moved(0, "b", 80*mib, 80*mib)), ""},
		{"told to be quiet", 80, func(a *app) { a.quiet = true }, 0, long, ""},
		{"JSON is wanted", 80, func(a *app) { a.json = true }, 0, announced, ""},
		{"nothing to do", 80, nil, 0, nil, ""},
		{
			"some fail", 0, nil, 0, append(announced[:2:2],
				moved(0, "c", 0, 1), failed(0, "b", 80*mib, errors.New("no")), moved(0, "a", 40*mib, 40*mib), failed(0, "c", 1, errors.New("no"))),
			"pulling 3 items, 120.0 MiB\npulling: 1 of 3 items done; failed: b, c\n",
		},
		{
			"one fails and others are broken off", 0, nil, 0, append(announced[:2:2],
				failed(0, "b", 80*mib, errors.New("no")), failed(0, "a", 40*mib, fmt.Errorf("cannot: %w", context.Canceled))),
			"pulling 2 items, 120.0 MiB\npulling: 0 of 2 items done; failed: b\n",
		},
		{
			"it is broken off", 80, nil, 0, append(long[:3:3],
				failed(0, "b", 80*mib, context.Canceled), failed(0, "a", 40*mib, context.Canceled)),
			"\rpulling 0/2 items, 10.0/120.0 MiB\x1b[K\r\x1b[K",
		},
		{"one begins anew", 80, nil, 0, append(long[:4:4], moved(3*time.Second, "a", 5*mib, 40*mib)), "\rpulling 0/2 items, 10.0/120.0 MiB\x1b[K" +
			"\rpulling 0/2 items, 20.0/120.0 MiB, 10.0 MiB/s, 10 s left\x1b[K" +
			"\rpulling 0/2 items, 5.0/120.0 MiB, 1.0 MiB/s, 1 min 55 s left\x1b[K\r\x1b[K"},
		{
			"an item is told of twice", 80, nil, 0, append(long[:3:3], moved(time.Second, "a", 0, 40*mib)),
			"\rpulling 0/2 items, 10.0/120.0 MiB\x1b[K\r\x1b[K",
		},
	} {
		t.Run(test.summary, func(t *testing.T) {
			var out bytes.Buffer
			a := newApp(io.Discard, &out)
			if test.change != nil {
				test.change(a)
			}
			m := newMeter(a, "pulling", "pulled", "item", test.loud)
			clock := time.Unix(0, 0)
			m.now, m.every = func() time.Time { return clock }, nil
			if !a.quiet && !a.json {
				m.width = func() int { return test.width }
			}
			for _, s := range test.steps {
				clock = clock.Add(s.after)
				m.observe(s.Transfer)
			}
			m.end()
			m.end()
			if d := cmp.Diff(test.want, out.String()); d != "" {
				t.Errorf("%s\n%q", d, out.String())
			}
		})
	}
}

// TestMeterSteps holds that what comes before and after the parts is shown, too,
// and that the parts are told of as if there were nothing else.
func TestMeterSteps(t *testing.T) {
	for _, test := range []struct {
		summary string
		width   int
		want    string
	}{
		{"a terminal", 80, "\rasking 1/3 items\x1b[K\rasking 3/3 items\x1b[K" +
			"\rpushing 0/1 items, 1.0/2.0 MiB, 341.3 KiB/s, 3 s left\x1b[K\rpushing 1/1 items, 2.0/2.0 MiB, 341.3 KiB/s\x1b[K" +
			"\rtelling 2/3 items\x1b[K\r\x1b[Kpushed 1 item, 2.0 MiB in 9.0 s\n"},
		{"no terminal", 0, "asking 3/3 items\npushing 1 item, 2.0 MiB\npushed 1 item, 2.0 MiB in 9.0 s\n"},
	} {
		t.Run(test.summary, func(t *testing.T) {
			var out bytes.Buffer
			m := newMeter(newApp(io.Discard, &out), "pushing", "pushed", "item", 0)
			clock, ticking := time.Unix(0, 0), 0
			m.now = func() time.Time { return clock }
			m.width = func() int { return test.width }
			m.every = func(func()) func() { ticking++; return func() { ticking-- } }
			after := func(d time.Duration) *meter { clock = clock.Add(d); return m }
			m.steps("asking", 0, 3)
			after(5*time.Second).steps("asking", 1, 3)
			m.steps("asking", 2, 3) // too soon to be shown
			after(5*time.Second).steps("asking", 3, 3)
			after(0).observe(moved(0, "a", 0, 2*mib).Transfer)
			after(3 * time.Second).observe(moved(0, "a", mib, 2*mib).Transfer)
			after(3 * time.Second).observe(moved(0, "a", 2*mib, 2*mib).Transfer)
			m.steps("telling", 0, 3)
			after(3*time.Second).steps("telling", 2, 3)
			m.end()
			if d := cmp.Diff(test.want, out.String()); d != "" || ticking != 0 {
				t.Errorf("%s\n%q, %d", d, out.String(), ticking)
			}
			// Where nothing was to be done, nothing is told at the end.
			out.Reset()
			m.steps("asking", 0, 1)
			m.steps("asking", 1, 1)
			if m.end(); strings.Contains(out.String(), "pushed") || ticking != 0 {
				t.Errorf("%q, %d", out.String(), ticking)
			}
		})
	}
}

// TestMeterAgain holds that a meter of many calls ends with the last part that
// is under way, and begins anew.
func TestMeterAgain(t *testing.T) {
	var out bytes.Buffer
	m := newMeter(newApp(io.Discard, &out), "fetching", "fetched", "item", 0)
	stops := 0
	m.every = func(func()) func() { return func() { stops++ } }
	clock := time.Unix(0, 0)
	m.now = func() time.Time { return clock }
	for _, s := range []step{
		moved(0, "a", 0, mib), moved(0, "a", mib/2, mib), moved(0, "b", 0, mib), moved(0, "a", mib, mib), moved(0, "b", mib, mib),
		moved(0, "c", 0, mib), moved(0, "c", mib, mib),
	} {
		m.observeAll(s.Transfer)
	}
	const want = "fetching 1 item, 1.0 MiB\nfetched 2 items, 2.0 MiB in 0.0 s\nfetching 1 item, 1.0 MiB\nfetched 1 item, 1.0 MiB in 0.0 s\n"
	if out.String() != want || stops != 2 {
		t.Errorf("%q, %d", out.String(), stops)
	}
}

// TestMeterRaces lets calls overlap while the line is drawn.
func TestMeterRaces(t *testing.T) {
	a := newApp(io.Discard, io.Discard)
	m := newMeter(a, "fetching", "fetched", "item", 0)
	m.width = func() int { return 60 }
	m.every = func(tick func()) func() {
		end, over := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(over)
			for {
				select {
				case <-end:
					return
				case <-time.After(time.Microsecond):
					tick()
				}
			}
		}()
		return func() { close(end); <-over }
	}
	var wg sync.WaitGroup
	for k := range 8 {
		wg.Go(func() {
			for n := range 50 {
				name := fmt.Sprintf("%d-%d", k, n)
				m.observeAll(moved(0, name, 0, mib).Transfer)
				m.observeAll(moved(0, name, mib/2, mib).Transfer)
				m.observeAll(moved(0, name, mib, mib).Transfer)
			}
		})
	}
	wg.Wait()
	m.end()
	if len(m.parts) > 0 || m.stop != nil {
		t.Errorf("%d parts, and it still draws", len(m.parts))
	}
}

func TestSpan(t *testing.T) {
	for _, c := range []struct {
		d    time.Duration
		want string
	}{
		{0, "1 s"}, {59400 * time.Millisecond, "59 s"}, {59600 * time.Millisecond, "1 min 0 s"}, {125 * time.Second, "2 min 5 s"}, {3599800 * time.Millisecond, "1 h 0 min"}, {26*time.Hour + 59*time.Minute, "26 h 59 min"},
	} {
		if got := span(c.d); got != c.want {
			t.Errorf("%v: %q, want %q", c.d, got, c.want)
		}
	}
}

func TestSize(t *testing.T) {
	for _, c := range []struct {
		n    int64
		want string
	}{
		{0, "0.0 KiB"}, {1 << 19, "512.0 KiB"}, {1 << 20, "1.0 MiB"}, {10<<30 - 1, "10240.0 MiB"}, {25 << 29, "12.5 GiB"},
	} {
		if got := size(c.n); got != c.want {
			t.Errorf("%d: %q, want %q", c.n, got, c.want)
		}
	}
}

// terminal is one of this width; what is written to it can be read.
func terminal(t *testing.T, width uint16) (slave *os.File, output func() string) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip("SKIP-ENV: no terminals on this machine: " + err.Error())
	}
	fd := int(master.Fd())
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: width})
	}
	if err != nil {
		t.Fatal(err)
	}
	if slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Skip("SKIP-ENV: no terminals on this machine: " + err.Error())
	}
	var buf bytes.Buffer
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(&buf, master) // ends with an error when the slave closes
	}()
	return slave, func() string {
		slave.Close()
		<-done
		master.Close()
		return strings.ReplaceAll(buf.String(), "\r\n", "\n")
	}
}

// TestMeterOnTerminal pulls from a server that stops in the middle, and breaks
// it off: the line shows how far it is, fits, and goes.
func TestMeterOnTerminal(t *testing.T) {
	t.Setenv("TERM", "xterm")
	from, lease := storetest.New(t)
	i, err := from.AddText(t.Context(), lease, "big", bytes.Repeat([]byte("0123456789abcdef"), 1<<17), nil)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir() + "/cache"
	c, err := cache.Create(t.Context(), location.NewFolder(dir, fsys.OS{}))
	if err == nil {
		_, err = cache.Push(t.Context(), from, c, []store.Path{i.Path}, cache.PushOptions{Compression: "none"})
	}
	if err != nil {
		t.Fatal(err)
	}
	files := http.FileServer(http.Dir(dir))
	halfway := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/nar/") {
			files.ServeHTTP(w, r)
			return
		}
		text, err := os.ReadFile(dir + r.URL.Path)
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(text)))
		_, _ = w.Write(text[:len(text)/2]) // the client goes away
		w.(http.Flusher).Flush()
		close(halfway)
		<-r.Context().Done()
	}))
	defer server.Close()
	for _, test := range []struct {
		summary string
		args    []string
		drawn   bool
		want    string // what stands at the end
	}{
		{"as it is", nil, true, "\r\x1b[Kosbuild: interrupted\n"},
		{"quiet", []string{"-q"}, false, "osbuild: interrupted\n"},
		{"JSON", []string{"--json"}, false, "osbuild: interrupted\n"},
	} {
		t.Run(test.summary, func(t *testing.T) {
			halfway = make(chan struct{})
			slave, output := terminal(t, 30)
			ctx, cancel := context.WithCancel(t.Context())
			go func() {
				<-halfway
				time.Sleep(heartbeat + heartbeat/2) // so that the line is drawn
				cancel()
			}()
			var out bytes.Buffer
			args := append([]string{"--root", t.TempDir(), "pull", string(i.Path), server.URL}, test.args...)
			if code := newApp(&out, slave).main(ctx, args); code != 1 || out.Len() > 0 {
				t.Errorf("status %d, %q", code, out.String())
			}
			got := output()
			if !strings.HasSuffix(got, test.want) || strings.Contains(got, "\rpulling 0/1 items") != test.drawn || strings.Contains(got, "\x1b") != test.drawn {
				t.Errorf("%q", got)
			}
			for line := range strings.FieldsFuncSeq(got, func(r rune) bool { return r == '\r' || r == '\n' }) {
				if line = strings.TrimSuffix(line, "\x1b[K"); test.drawn && len(line) >= 30 {
					t.Errorf("%q is wider than the terminal", line)
				}
			}
		})
	}
}
