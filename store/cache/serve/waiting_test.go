// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestUploads holds that files wait, and go when nobody asked for them.
func TestUploads(t *testing.T) {
	dir := t.TempDir()
	var u uploads
	file := func(name string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	left := func(want int) {
		t.Helper()
		if all, err := os.ReadDir(dir); err != nil || len(all) != want {
			t.Errorf("%d files, want %d (%v)", len(all), want, err)
		}
	}
	for name, path := range map[string]string{"a": file("1"), "b": file("2")} {
		if err := u.put(name, path); err != nil {
			t.Fatal(err)
		}
	}
	if err := u.put("a", file("3")); err != nil {
		t.Fatal(err)
	}
	left(2)
	u.files["b"] = upload{path: u.files["b"].path, used: time.Now().Add(-waitFor)}
	f, err := u.open("a")
	if err != nil {
		t.Fatal(err)
	}
	if err := u.sweep(waitFor); err != nil {
		t.Error(err)
	}
	left(1)
	if u.has("b") || !u.has("a") {
		t.Error("the wrong file went")
	}
	if _, err := u.open("b"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
	if err := errors.Join(u.clear(), f.Close()); err != nil {
		t.Error(err)
	}
	left(0)
}

// TestLongPush holds that archives wait for as long as somebody uploads, but
// not for ever.
func TestLongPush(t *testing.T) {
	var u uploads
	long := func(name string, idle time.Duration) {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := u.put(name, path); err != nil {
			t.Fatal(err)
		}
		u.files[name] = upload{path: path, used: time.Now().Add(-idle)}
	}
	left := func(when string, want ...string) {
		t.Helper()
		if err := u.sweep(waitFor); err != nil {
			t.Fatal(err)
		}
		if got := slices.Sorted(maps.Keys(u.files)); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", when, got, want)
		}
	}
	long("hour", time.Hour)
	long("days", 2*waitMost)
	long("taken", time.Hour)
	u.take("taken")
	u.take("nothing")
	end := u.begin()
	left("while one is under way", "hour")
	end()
	left("a moment later", "hour")
	u.ended = time.Now().Add(-waitFor)
	left("long after")
	long("dropped", 0)
	if err := errors.Join(u.drop("dropped"), u.drop("nothing")); err != nil {
		t.Error(err)
	}
	left("after that")
}

// deadlines is an answer that notes the last deadline of reading.
type deadlines struct {
	*httptest.ResponseRecorder
	read time.Time
}

func (d *deadlines) SetReadDeadline(t time.Time) error {
	d.read = t
	return nil
}

// TestPatientBody holds that a client has time while it sends, and is not
// held for silent when all is here and being checked.
func TestPatientBody(t *testing.T) {
	d := &deadlines{ResponseRecorder: httptest.NewRecorder()}
	b := &patientBody{Reader: strings.NewReader("text"), control: http.NewResponseController(d), patience: time.Hour}
	if _, err := b.Read(make([]byte, 4)); err != nil || time.Until(d.read) < time.Minute {
		t.Errorf("%v, %v", d.read, err)
	}
	if _, err := b.Read(make([]byte, 4)); !errors.Is(err, io.EOF) || !d.read.IsZero() {
		t.Errorf("at the end: %v, %v", d.read, err)
	}
}

// TestGroupSync holds that nobody returns before a sync that began after he
// asked.
func TestGroupSync(t *testing.T) {
	var g groupSync
	var begun, ended, syncs atomic.Int64
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			for range 20 {
				at := begun.Load()
				err := g.do(func() error {
					n := begun.Add(1)
					syncs.Add(1)
					time.Sleep(time.Millisecond)
					ended.Store(n)
					return nil
				})
				if err != nil || ended.Load() <= at {
					t.Errorf("asked after sync %d had begun, and %d have ended: %v", at, ended.Load(), err)
				}
			}
		})
	}
	wg.Wait()
	if n := syncs.Load(); n >= 400 {
		t.Errorf("%d syncs for 400 questions of 20 at once: none was shared", n)
	}
	failure := errors.New("no")
	if err := g.do(func() error { return failure }); !errors.Is(err, failure) {
		t.Errorf("%v", err)
	}
}
