// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package location_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"osbuild/store/cache/codec"
	"osbuild/store/cache/location"
)

// content is what servers of these tests have: no part of it is like another.
var content = func() []byte {
	var b bytes.Buffer
	for k := range 30_000 {
		fmt.Fprintf(&b, "%09d\n", k)
	}
	return b.Bytes()
}()

// quick talks to a server without long waits. Its patience is that of a busy
// machine.
func quick(t *testing.T, address string) *location.Web {
	t.Helper()
	return impatient(t, address, 20*time.Second)
}

func impatient(t *testing.T, address string, stall time.Duration) *location.Web {
	t.Helper()
	w, err := location.NewWeb(address, location.WebOptions{Token: "secret", TempDir: func() (string, error) { return t.TempDir(), nil }, Stall: stall, Pause: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// serve answers with h, which is told how many requests came before.
func serve(t *testing.T, h func(n int, w http.ResponseWriter, r *http.Request)) (*location.Web, *atomic.Int64) {
	t.Helper()
	address, count := start(t, h)
	return quick(t, address), count
}

func start(t *testing.T, h func(n int, w http.ResponseWriter, r *http.Request)) (address string, requests *atomic.Int64) {
	t.Helper()
	var count atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h(int(count.Add(1)-1), w, r)
	}))
	t.Cleanup(s.Close)
	return s.URL + "/base/", &count
}

func readAll(t *testing.T, l location.Location, name string) ([]byte, error) {
	t.Helper()
	r, _, err := l.Open(t.Context(), name)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// part sends content from the asked offset on, as a server that knows ranges.
func part(w http.ResponseWriter, r *http.Request) (from int) {
	if text, ok := strings.CutPrefix(r.Header.Get("Range"), "bytes="); ok {
		from, _ = strconv.Atoi(strings.TrimSuffix(text, "-"))
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(content)-1, len(content)))
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(content)-from))
	if from > 0 {
		w.WriteHeader(http.StatusPartialContent)
	}
	return from
}

// breakOff ends the connection.
func breakOff() { panic(http.ErrAbortHandler) }

func TestDownloads(t *testing.T) {
	for _, c := range []struct {
		summary  string
		handler  func(n int, w http.ResponseWriter, r *http.Request)
		requests int64
		want     string // of the error, "" for none
	}{
		{"whole", func(_ int, w http.ResponseWriter, r *http.Request) { w.Write(content[part(w, r):]) }, 1, ""},
		{"without a length", func(_ int, w http.ResponseWriter, _ *http.Request) {
			w.Write(content[:1000])
			w.(http.Flusher).Flush()
			w.Write(content[1000:])
		}, 1, ""},
		{"breaks twice", func(n int, w http.ResponseWriter, r *http.Request) {
			from := part(w, r)
			if n < 2 {
				w.Write(content[from : from+100_000])
				breakOff()
			}
			w.Write(content[from:])
		}, 3, ""},
		{"breaks and knows no ranges", func(n int, w http.ResponseWriter, r *http.Request) {
			r.Header.Del("Range")
			part(w, r)
			if n < 2 {
				w.Write(content[:100_000])
				breakOff()
			}
			w.Write(content)
		}, 3, ""},
		{"breaks always, with progress", func(_ int, w http.ResponseWriter, r *http.Request) {
			from := part(w, r)
			w.Write(content[from:min(len(content), from+70_000)])
			if from+70_000 < len(content) {
				breakOff()
			}
		}, 5, ""},
		{"breaks always, without progress", func(_ int, w http.ResponseWriter, r *http.Request) {
			from := part(w, r)
			w.Write(content[from : from+10])
			breakOff()
		}, 4, "EOF"},
		{"another part", func(n int, w http.ResponseWriter, r *http.Request) {
			if n > 0 {
				r.Header.Set("Range", "bytes=5-")
			}
			w.Write(content[part(w, r):][:100_000])
			breakOff()
		}, 2, "another part"},
		{"has changed", func(n int, w http.ResponseWriter, r *http.Request) {
			r.Header.Del("Range")
			if n > 0 {
				w.Header().Set("Content-Length", "200000")
				w.Write(content[:200_000])
				return
			}
			part(w, r)
			w.Write(content[:100_000])
			breakOff()
		}, 2, "changed meanwhile"},
		{"busy at first", func(n int, w http.ResponseWriter, r *http.Request) {
			if n < 2 {
				w.WriteHeader([]int{http.StatusServiceUnavailable, http.StatusTooManyRequests}[n])
				return
			}
			w.Write(content[part(w, r):])
		}, 3, ""},
		{"broken", func(_ int, w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "no disk\nsecond line", http.StatusInternalServerError)
		}, 4, "answers 500 (internal server error): no disk"},
		{"wants a password", func(_ int, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }, 1, "401"},
		{"compressed without being asked", func(_ int, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "br")
			w.Write(content)
		}, 1, "nobody asked for"},
		{"a part without being asked", func(_ int, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Range", fmt.Sprintf("bytes 0-9/%d", len(content)))
			w.WriteHeader(http.StatusPartialContent)
			w.Write(content[:10])
		}, 1, "another part"},
		{"elsewhere on the server", func(n int, w http.ResponseWriter, r *http.Request) {
			if n == 0 {
				http.Redirect(w, r, "/there", http.StatusFound)
				return
			}
			w.Write(content[part(w, r):])
		}, 2, ""},
		{"round and round", func(_ int, w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, r.URL.Path, http.StatusFound)
		}, 6, "more than 5 times"},
		{"to a file", func(_ int, w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "file:///etc/passwd", http.StatusFound)
		}, 1, "points from http to file:///etc/passwd"},
		{"to another protocol", func(_ int, w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "ftp://example.org/x", http.StatusFound)
		}, 1, "points from http to ftp"},
	} {
		t.Run(c.summary, func(t *testing.T) {
			w, count := serve(t, c.handler)
			got, err := readAll(t, w, "nar/x.nar.zst")
			switch {
			case c.want == "" && (err != nil || !bytes.Equal(got, content)):
				t.Errorf("%d bytes, %v", len(got), err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("%d bytes, %v", len(got), err)
			}
			if n := count.Load(); n != c.requests {
				t.Errorf("%d requests, want %d", n, c.requests)
			}
		})
	}
}

// TestSilence holds that a server which does not send is left, however it
// does that.
func TestSilence(t *testing.T) {
	for _, c := range []struct {
		summary string
		handler func(n int, w http.ResponseWriter, r *http.Request)
		want    string // of the error, "" for none
	}{
		{"silent", func(n int, w http.ResponseWriter, r *http.Request) {
			from := part(w, r)
			if n == 0 {
				w.Write(content[:100_000])
				w.(http.Flusher).Flush()
				<-r.Context().Done()
				return
			}
			w.Write(content[from:])
		}, ""},
		{"silent for ever", func(_ int, _ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "timeout"},
		{"drops by drop", func(_ int, w http.ResponseWriter, r *http.Request) {
			from := part(w, r)
			for k := range 1000 {
				if _, err := w.Write(content[from+k : from+k+1]); err != nil {
					return
				}
				w.(http.Flusher).Flush()
				select {
				case <-r.Context().Done():
					return
				case <-time.After(20 * time.Millisecond):
				}
			}
		}, "less than 1024 bytes a second"},
	} {
		t.Run(c.summary, func(t *testing.T) {
			t.Parallel()
			address, _ := start(t, c.handler)
			got, err := readAll(t, impatient(t, address, 500*time.Millisecond), "nar/x.nar.zst")
			switch {
			case c.want == "" && (err != nil || !bytes.Equal(got, content)):
				t.Errorf("%d bytes, %v", len(got), err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("%d bytes, %v", len(got), err)
			}
		})
	}
}

// TestSlowness holds that a connection on which too little comes is broken off,
// and that the next one goes on where it ended.
func TestSlowness(t *testing.T) {
	for _, c := range []struct {
		summary     string
		each        int // bytes, ten times a second
		connections int64
	}{
		{"too slow", 75, 2},
		{"slow", 900, 1},
	} {
		t.Run(c.summary, func(t *testing.T) {
			t.Parallel()
			address, requests := start(t, func(n int, w http.ResponseWriter, r *http.Request) {
				from := part(w, r)
				for range 70 {
					if n > 0 {
						break
					}
					if _, err := w.Write(content[from : from+c.each]); err != nil {
						return
					}
					w.(http.Flusher).Flush()
					from += c.each
					select {
					case <-r.Context().Done():
						return
					case <-time.After(100 * time.Millisecond):
					}
				}
				_, _ = w.Write(content[from:]) // the client goes away
			})
			got, err := readAll(t, impatient(t, address, 2*time.Second), "nar/x.nar.zst")
			if err != nil || !bytes.Equal(got, content) || requests.Load() != c.connections {
				t.Errorf("%d bytes over %d connections, %v", len(got), requests.Load(), err)
			}
		})
	}
}

// stuck answers with a status and a text that never comes.
func stuck(status int, header ...string) func(int, http.ResponseWriter, *http.Request) {
	return func(_ int, w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		for k := 0; k < len(header); k += 2 {
			w.Header().Set(header[k], header[k+1])
		}
		w.WriteHeader(status)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}
}

// TestSilentRefusals holds that a server which begins to say why it refuses
// and does not go on is not waited for.
func TestSilentRefusals(t *testing.T) {
	read := func(t *testing.T, w *location.Web) error {
		_, err := readAll(t, w, "x")
		return err
	}
	write := func(t *testing.T, w *location.Web) error { return location.Write(t.Context(), w, "x", content) }
	for _, c := range []struct {
		summary string
		handler func(n int, w http.ResponseWriter, r *http.Request)
		ask     func(*testing.T, *location.Web) error
		want    string // of the error, "" for none
	}{
		{"a file that is not there", stuck(http.StatusNotFound, "Content-Length", "500"), read, "404"},
		{"a reason without end", stuck(http.StatusBadRequest), read, "400"},
		{"a redirect", stuck(http.StatusFound, "Location", "/loop"), read, "more than 5 times"},
		{"an upload that is refused", stuck(http.StatusBadRequest), write, "400"},
		{"an upload that is taken", stuck(http.StatusCreated), write, ""},
	} {
		t.Run(c.summary, func(t *testing.T) {
			t.Parallel()
			address, _ := start(t, c.handler)
			done := make(chan error, 1)
			go func() { done <- c.ask(t, impatient(t, address, time.Second)) }()
			select {
			case err := <-done:
				if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
					t.Errorf("%v", err)
				}
			case <-time.After(time.Minute):
				t.Fatal("it still waits")
			}
		})
	}
}

// TestManyQuestions holds that many questions at once do not take as many
// connections, and are all answered, over both versions of HTTP.
func TestManyQuestions(t *testing.T) {
	for _, two := range []bool{false, true} {
		var now, most, count atomic.Int64
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if (r.ProtoMajor == 2) != two {
				t.Errorf("it speaks %s", r.Proto)
			}
			n := now.Add(1)
			defer now.Add(-1)
			for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
			}
			count.Add(1)
			time.Sleep(2 * time.Millisecond)
			w.WriteHeader(http.StatusNotFound)
		}))
		defer s.Close()
		s.EnableHTTP2 = two
		if two {
			s.StartTLS()
		} else {
			s.Start()
		}
		w := quick(t, s.URL)
		if two {
			location.TrustServer(w, s)
		}
		var wg sync.WaitGroup
		for k := range 500 {
			wg.Go(func() {
				if has, err := w.Has(t.Context(), fmt.Sprintf("%d.narinfo", k)); has || err != nil {
					t.Errorf("%v %v", has, err)
				}
			})
		}
		wg.Wait()
		if !two && most.Load() > location.Connections || count.Load() != 500 {
			t.Errorf("%d connections at once, %d requests", most.Load(), count.Load())
		}
	}
}

// TestSaferScheme holds that a redirect may lead to https and not back.
func TestSaferScheme(t *testing.T) {
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(content) }))
	defer plain.Close()
	var target string
	safe := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, target, http.StatusFound) }))
	defer safe.Close()
	w := quick(t, safe.URL)
	location.TrustServer(w, safe)
	target = plain.URL
	if _, err := readAll(t, w, "x"); err == nil || !strings.Contains(err.Error(), "points from https to http://") {
		t.Errorf("%v", err)
	}
	target = safe.URL + "/y"
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, safe.URL+"/x", http.StatusFound)
	}))
	defer front.Close()
	w = quick(t, front.URL)
	location.TrustServer(w, safe)
	if _, err := readAll(t, w, "x"); err == nil || !strings.Contains(err.Error(), "more than 5 times") {
		t.Errorf("to https: %v", err)
	}
	// A certificate that nobody vouches for is an error, and asked for once.
	if _, err := readAll(t, quick(t, safe.URL), "x"); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("%v", err)
	}
}

// TestTransferEncoding reads what a server compresses on the way, and goes on
// without it where the connection breaks.
func TestTransferEncoding(t *testing.T) {
	var packed bytes.Buffer
	z, err := codec.NewWriter("zstd", &packed, -1)
	if err != nil {
		t.Fatal(err)
	}
	for k := 0; k < len(content); k += 10_000 {
		z.Write(content[k : k+10_000])
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	for _, breaks := range []bool{false, true} {
		w, count := serve(t, func(n int, w http.ResponseWriter, r *http.Request) {
			if n > 0 {
				w.Write(content[part(w, r):])
				return
			}
			if r.Header.Get("Accept-Encoding") != "zstd" {
				t.Errorf("accepts %q", r.Header.Get("Accept-Encoding"))
			}
			w.Header().Set("Content-Encoding", "zstd")
			if breaks {
				w.Header().Set("Content-Length", strconv.Itoa(packed.Len()))
				w.Write(packed.Bytes()[:packed.Len()*3/4])
				breakOff()
			}
			w.Write(packed.Bytes())
		})
		if got, err := readAll(t, w, "nar/x.nar"); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%v: %d bytes, %v", breaks, len(got), err)
		}
		if want := map[bool]int64{false: 1, true: 2}[breaks]; count.Load() != want {
			t.Errorf("%d requests", count.Load())
		}
	}
}

func TestAbsence(t *testing.T) {
	for _, code := range []int{http.StatusNotFound, http.StatusGone, http.StatusForbidden} {
		w, count := serve(t, func(_ int, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) })
		if _, err := readAll(t, w, "x"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%d: %v", code, err)
		}
		if has, err := w.Has(t.Context(), "x"); has || err != nil {
			t.Errorf("%d: %v %v", code, has, err)
		}
		if count.Load() != 2 {
			t.Errorf("%d: asked %d times", code, count.Load())
		}
	}
	w, _ := serve(t, func(_ int, w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/base/nar/x" || r.Method != http.MethodHead {
			t.Errorf("%s %s", r.Method, r.URL.Path)
		}
	})
	if has, err := w.Has(t.Context(), "nar/x"); !has || err != nil {
		t.Errorf("%v %v", has, err)
	}
	w, _ = serve(t, func(_ int, _ http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/base/nar/x" || r.URL.RawQuery != "hash=1&y=%20" {
			t.Errorf("%s", r.URL)
		}
	})
	if has, err := w.Has(t.Context(), "nar/x?hash=1&y=%20"); !has || err != nil {
		t.Errorf("%v %v", has, err)
	}
	for _, name := range []string{"../x", "/x", "a/../../x", ""} {
		if _, err := w.Has(t.Context(), name); err == nil {
			t.Errorf("%q was asked for", name)
		}
	}
}

func TestNobodyListens(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	if _, err := readAll(t, quick(t, "http://"+address), "x"); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

func TestUploads(t *testing.T) {
	for _, c := range []struct {
		summary  string
		handler  func(n int, w http.ResponseWriter, r *http.Request)
		requests int64
		want     string
	}{
		{"taken", func(_ int, w http.ResponseWriter, r *http.Request) {
			got, err := io.ReadAll(r.Body)
			if err != nil || !bytes.Equal(got, content) || r.ContentLength != int64(len(content)) || r.Header.Get("Authorization") != "Bearer secret" || r.Method != http.MethodPut {
				t.Errorf("%s of %d bytes, %d announced, %v", r.Method, len(got), r.ContentLength, err)
			}
			w.WriteHeader(http.StatusCreated)
		}, 1, ""},
		{"busy at first", func(n int, w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			if n == 0 {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
		}, 2, ""},
		{"refused", func(_ int, w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusUnauthorized) }, 1, "401 (unauthorized): no (give the token"},
		{"forbidden", func(_ int, w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusForbidden) }, 1, "--upload-token"},
		{"read only", func(_ int, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusMethodNotAllowed) }, 1, "it takes no uploads"},
		{"elsewhere", func(_ int, w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/there", http.StatusTemporaryRedirect)
		}, 1, "uploads follow nobody"},
	} {
		t.Run(c.summary, func(t *testing.T) {
			w, count := serve(t, c.handler)
			err := location.Write(t.Context(), w, "nar/x", content)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%v", err)
			}
			if count.Load() != c.requests {
				t.Errorf("%d requests", count.Load())
			}
		})
	}
}

// TestUploadFile holds that what was not committed is not left behind.
func TestUploadFile(t *testing.T) {
	dir := t.TempDir()
	w, err := location.NewWeb("http://example.org", location.WebOptions{TempDir: func() (string, error) { return dir, nil }})
	if err != nil {
		t.Fatal(err)
	}
	u, err := w.Create(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := u.Write(content); err != nil {
		t.Fatal(err)
	}
	u.Discard()
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("%v %v", left, err)
	}
}

func TestAddresses(t *testing.T) {
	for _, bad := range []string{"", "example.org", "ftp://example.org", "http://", "http://user:pass@example.org", "http://example.org/?x=1", "http://example.org/#x", "http://[::1", "file:///srv"} {
		if w, err := location.NewWeb(bad, location.WebOptions{}); err == nil {
			t.Errorf("%q became %s", bad, w)
		}
	}
	w, err := location.NewWeb("https://example.org/a/", location.WebOptions{})
	if err != nil || w.String() != "https://example.org/a" {
		t.Errorf("%v %v", w, err)
	}
}

// TestSecretsInAddresses holds that errors about an address do not tell what
// may be secret in it.
func TestSecretsInAddresses(t *testing.T) {
	for _, c := range []struct{ address, want string }{
		{"https://example.org/a", "https://example.org/a"},
		{"https://[::1]:8080/a/", "https://[::1]:8080/a/"},
		{"https://user:secret@example.org/a", "https://…@example.org/a"},
		{"https://secret@example.org", "https://…@example.org"},
		{"https://u:sec@ret@example.org:80/@", "https://…@example.org:80/@"},
		{"https://user:sec/secret@example.org", "https://…"},
		{"https://user:sec%zzsecret@example.org/a", "https://…@example.org/a"},
		{"https://example.org/a?token=secret", "https://example.org/a?…"},
		{"https://example.org/a#secret", "https://example.org/a#…"},
		{"https://user:secret@[::1/a", "https://…@[::1/a"},
		{"htps://user:secret@example.org", "htps://…@example.org"},
		{"user:secret@example.org", "…@example.org"},
	} {
		if got := location.Redacted(c.address); got != c.want {
			t.Errorf("%q is shown as %q, want %q", c.address, got, c.want)
		}
		if _, err := location.NewWeb(c.address, location.WebOptions{}); err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%v", err)
		}
	}
}

// FuzzContentRange holds that a part that is taken is a sound one.
func FuzzContentRange(f *testing.F) {
	for _, text := range []string{"bytes 0-9/10", "bytes 5-9/*", "bytes 9-5/10", "bytes */10", "bytes 0-10/10"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		start, total, ok := location.ParseContentRange(text)
		if ok && (start < 0 || total != -1 && total <= start) {
			t.Errorf("%q: from %d of %d", text, start, total)
		}
	})
}
