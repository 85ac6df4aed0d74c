// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package apt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// server answers with a function, and notes what it is asked for.
type server struct {
	*httptest.Server
	mu    sync.Mutex
	asked []string
}

func serve(t *testing.T, answer http.HandlerFunc) *server {
	t.Helper()
	s := &server{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		user, _, _ := r.BasicAuth()
		s.asked = append(s.asked, strings.TrimSpace(r.URL.EscapedPath()+" "+r.Header.Get("Range")+user))
		s.mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

// opened opens a host with these lines as sources, and without waiting.
func opened(t *testing.T, sources string, files map[string]string, cfg Config) *Host {
	t.Helper()
	all := map[string]string{"sources.list": sources}
	for name, text := range files {
		all[name] = text
	}
	cfg.Root = host(t, all)
	for _, name := range []string{"http_proxy", "https_proxy"} {
		t.Setenv(name, "")
	}
	h, err := Open(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	h.pause = func(context.Context, time.Duration) error { return nil }
	return h
}

const wanted = "these bytes, and no others"

func wantedFile() File {
	return File{Suite: "first", Path: "pool/h/hello_1+2~3.deb", SHA256: digest([]byte(wanted)), Size: int64(len(wanted))}
}

// good gives the file, or a part of it.
func good(w http.ResponseWriter, r *http.Request) {
	http.ServeContent(w, r, "hello.deb", time.Time{}, strings.NewReader(wanted))
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", code) }
}

// cut breaks the connection after some bytes.
func cut(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Length", itoa(len(wanted)))
	_, _ = io.WriteString(w, wanted[:10])
	w.(http.Flusher).Flush()
	panic(http.ErrAbortHandler)
}

// inTurn answers with one function after the other, and then with the last.
func inTurn(answers ...http.HandlerFunc) http.HandlerFunc {
	var mu sync.Mutex
	n := 0
	return func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		answer := answers[min(n, len(answers)-1)]
		n++
		mu.Unlock()
		answer(w, r)
	}
}

func TestFetch(t *testing.T) {
	other := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) }
	}
	same := strings.Replace(wanted, "no others", "NO OTHERS", 1)
	endless := func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := w.Write(make([]byte, 1<<10)); err != nil {
				return
			}
		}
	}
	const name = "/pool/h/hello_1%2B2~3.deb"
	tests := []struct {
		summary       string
		first, second http.HandlerFunc // mirrors of the suite and of another one
		asked         []string         // of the first
		fallback      bool             // the second is asked
		kind          error
		err           string
	}{
		{summary: "at once", first: good, second: good, asked: []string{name}},
		{summary: "another mirror has it", first: status(404), second: good, asked: []string{name}, fallback: true},
		{summary: "an error that passes", first: inTurn(status(503), status(429), good), asked: []string{name, name, name}},
		{summary: "an error that stays", first: status(500), second: good, asked: []string{name, name, name}, fallback: true},
		{summary: "forbidden", first: status(403), second: good, asked: []string{name}, fallback: true},
		{summary: "a connection that breaks", first: inTurn(cut, good), asked: []string{name, name + " bytes=10-"}},
		{summary: "a server that knows no parts", first: inTurn(cut, other(wanted)), asked: []string{name, name + " bytes=10-"}},
		{summary: "the rest from another mirror", first: inTurn(cut, status(404)), second: good, asked: []string{name, name + " bytes=10-"}, fallback: true},
		{
			summary: "another part than the one asked for", second: good, fallback: true,
			first: inTurn(cut, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Range", fmt.Sprintf("bytes 5-%d/%d", len(wanted)-1, len(wanted)))
				w.WriteHeader(http.StatusPartialContent)
				_, _ = io.WriteString(w, wanted[5:])
			}),
			asked: []string{name, name + " bytes=10-", name + " bytes=10-"},
		},
		{summary: "wrong bytes, then a good mirror", first: other(same), second: good, asked: []string{name}, fallback: true},
		{summary: "a page instead of the file", first: other("<html>Please log in to this network</html>"), second: good, asked: []string{name}, fallback: true},
		{summary: "wrong bytes, cut off, then a good mirror", first: inTurn(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", itoa(len(wanted)))
			_, _ = io.WriteString(w, strings.ToUpper(wanted[:10]))
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}, status(404)), second: good, asked: []string{name, name + " bytes=10-"}, fallback: true},
		{summary: "redirected", first: func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, "/pool") {
				http.Redirect(w, r, "/there", http.StatusFound)
				return
			}
			good(w, r)
		}, asked: []string{name, "/there"}},

		{summary: "wrong bytes", first: other(same), kind: ErrMismatch, err: "its SHA256 is [0-9a-f]+, not"},
		{summary: "too few bytes", first: other(wanted[:20]), kind: ErrMismatch, err: "it has 20 bytes, not 26"},
		{summary: "too many bytes", first: other(wanted + "!"), kind: ErrMismatch, err: "it has 27 bytes, not 26"},
		{summary: "bytes without end", first: endless, kind: ErrMismatch, err: "it has more than 26 bytes"},
		{summary: "always cut off", first: cut, kind: ErrMismatch, err: "it is cut off"},
		{summary: "gone", first: status(404), second: status(410), kind: ErrGone, fallback: true, err: "cannot fetch pool/h/hello_1\\+2~3.deb of the suite first: the archives do not have it any more"},
		{summary: "gone here, forbidden there", first: status(404), second: status(401), fallback: true, err: `the server says "401 Unauthorized" \(apt takes passwords for archives from auth.conf\)`},
		{summary: "redirected in a circle", first: func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path, http.StatusFound) }, err: "redirects more than 10 times"},
		{summary: "redirected to a file", first: func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "file:///etc/passwd", http.StatusFound)
		}, err: "redirects from http to file"},
		{summary: "silent before the answer", first: func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, err: "the server does not answer"},
		{summary: "silent within the answer", first: func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", itoa(len(wanted)))
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}, err: "the server said nothing for 100ms"},
	}
	for _, test := range tests {
		t.Run(test.summary, func(t *testing.T) {
			first := serve(t, test.first)
			sources := "deb " + first.URL + " first main\n"
			var second *server
			if test.second != nil {
				second = serve(t, test.second)
				sources = "deb " + second.URL + "/ other main\n" + sources
			}
			h := opened(t, sources, nil, Config{})
			if strings.HasPrefix(test.summary, "silent") {
				h.silence = 100 * time.Millisecond
				client, err := h.newClient()
				if err != nil {
					t.Fatal(err)
				}
				h.client = client
			}
			out, err := os.Create(filepath.Join(t.TempDir(), "out"))
			if err != nil {
				t.Fatal(err)
			}
			defer out.Close()
			err = h.Fetch(context.Background(), wantedFile(), out)
			if test.err != "" {
				if !matches(err, test.err) || test.kind != nil && !errors.Is(err, test.kind) || errors.Is(err, ErrGone) != (test.kind == ErrGone) {
					t.Errorf("the error is %v, not %q", err, test.err)
				}
			} else {
				got, _ := os.ReadFile(out.Name())
				if err != nil || string(got) != wanted {
					t.Errorf("got %q and %v", got, err)
				}
			}
			if test.asked != nil && !slices.Equal(first.asked, test.asked) {
				t.Errorf("the first mirror was asked for %q, not %q", first.asked, test.asked)
			}
			if second != nil && (len(second.asked) > 0) != test.fallback {
				t.Errorf("the second mirror was asked for %q", second.asked)
			}
		})
	}
}

// TestFetchToStream has a writer that cannot begin anew.
func TestFetchToStream(t *testing.T) {
	bad := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, strings.ToUpper(wanted)) })
	fine := serve(t, good)
	h := opened(t, "deb "+bad.URL+" first main\ndeb "+fine.URL+" other main", nil, Config{})
	var out bytes.Buffer
	if err := h.Fetch(context.Background(), wantedFile(), io.MultiWriter(&out)); !errors.Is(err, ErrMismatch) {
		t.Errorf("got %v", err)
	}
	if len(fine.asked) > 0 || out.Len() > len(wanted) {
		t.Errorf("another mirror's bytes went behind the wrong ones: %q", out.String())
	}
	full := errors.New("the disk is full")
	if err := h.Fetch(context.Background(), wantedFile(), failing{full}); !errors.Is(err, full) {
		t.Errorf("got %v", err)
	}
}

type failing struct{ error }

func (f failing) Write([]byte) (int, error) { return 0, f.error }

// TestFetchWithout has nothing to fetch from.
func TestFetchWithout(t *testing.T) {
	dead := serve(t, good)
	dead.Close()
	f := wantedFile()
	here := filepath.Join(t.TempDir(), f.Path)
	if err := os.MkdirAll(filepath.Dir(here), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(here, []byte(wanted), 0o644); err != nil {
		t.Fatal(err)
	}
	local := "deb copy:" + strings.TrimSuffix(here, f.Path) + " local main\n"
	tests := []struct {
		summary, sources string
		file             File
		offline          bool
		kind             error
		err              string
	}{
		{summary: "no network", sources: "deb " + dead.URL + " first main", file: f, kind: ErrNetwork, err: `cannot fetch pool/h/hello_1\+2~3.deb of the suite first: http://.*: no server answers: .*\(is there a network\?`},
		{summary: "offline", sources: "deb " + dead.URL + " first main", file: f, offline: true, kind: ErrOffline, err: `cannot fetch pool/h/hello_1\+2~3.deb of the suite first: the network is switched off \(--offline\) \(run it once with the network\)`},
		{summary: "offline, but a folder has it", sources: local + "deb " + dead.URL + " first main", file: f, offline: true},
		{summary: "offline, and the folder does not have it", sources: "deb file:/none local main\ndeb " + dead.URL + " first main", file: f, offline: true, kind: ErrOffline, err: "--offline"},
		{summary: "a folder instead of the file", sources: local, file: File{Path: "pool", SHA256: f.SHA256, Size: f.Size}, err: "it is no regular file"},
		{summary: "a path that climbs", sources: local, file: File{Path: "../x", SHA256: f.SHA256, Size: f.Size}, err: "leads out of the archive"},
		{summary: "an absolute path", sources: local, file: File{Path: "/etc/passwd", SHA256: f.SHA256, Size: f.Size}, err: "leads out of the archive"},
		{summary: "no hash", sources: local, file: File{Path: f.Path, Size: f.Size}, err: "is not known"},
		{summary: "no size", sources: local, file: File{Path: f.Path, SHA256: f.SHA256}, err: "is not known"},
	}
	for _, test := range tests {
		t.Run(test.summary, func(t *testing.T) {
			h := opened(t, test.sources, nil, Config{Offline: test.offline})
			var out bytes.Buffer
			err := h.Fetch(context.Background(), test.file, &out)
			switch {
			case test.err == "" && (err != nil || out.String() != wanted):
				t.Errorf("got %q and %v", out.String(), err)
			case test.err != "" && (!matches(err, test.err) || test.kind != nil && !errors.Is(err, test.kind)):
				t.Errorf("the error is %v, not %q", err, test.err)
			}
		})
	}
}

// TestCredentials sends them to the server that they are for, and to no
// other, and shows them to nobody.
func TestCredentials(t *testing.T) {
	for _, way := range []string{"auth.conf", "URI"} {
		t.Run(way, func(t *testing.T) {
			elsewhere := serve(t, status(403))
			private := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if _, password, _ := r.BasicAuth(); password != "secret" {
					w.WriteHeader(http.StatusUnauthorized)
					return
				}
				if r.URL.Path == "/there" {
					http.Redirect(w, r, elsewhere.URL+"/x", http.StatusFound)
					return
				}
				http.Redirect(w, r, "/there", http.StatusFound)
			})
			// The servers are told apart by their names, as both have one address.
			uri := strings.Replace(private.URL, "127.0.0.1", "localhost", 1)
			files := map[string]string{}
			if way == "auth.conf" {
				files["auth.conf.d/x.conf"] = "machine " + uri + " login anna password secret"
			} else {
				uri = strings.Replace(uri, "://", "://anna:secret@", 1)
			}
			var warnings []string
			h := opened(t, "deb "+uri+" first main", files, Config{Warn: func(s string) { warnings = append(warnings, s) }})
			err := h.Fetch(context.Background(), wantedFile(), io.Discard)
			if err == nil || !strings.Contains(err.Error(), "403") {
				t.Errorf("got %v", err)
			}
			_, indexErr := h.Indexes(context.Background(), IndexOptions{})
			if text := fmt.Sprint(err, indexErr, warnings); strings.Contains(text, "secret") || strings.Contains(text, "anna") {
				t.Errorf("credentials are shown: %s", text)
			}
			if got := private.asked[:2]; !strings.HasSuffix(got[0], "anna") || !strings.HasSuffix(got[1], "anna") {
				t.Errorf("the server was asked for %q", got)
			}
			for _, asked := range elsewhere.asked {
				if asked != "/x" {
					t.Errorf("another server was told: %q", asked)
				}
			}
		})
	}
}

// TestMirrorList takes the mirrors of a file by their priority.
func TestMirrorList(t *testing.T) {
	low, high, none := serve(t, good), serve(t, status(404)), serve(t, good)
	list := fmt.Sprintf("# mirrors\n%s\n%s\tpriority:2 type:deb\n%s\tpriority:1\n", none.URL, low.URL, high.URL)
	h := opened(t, "deb mirror+file:/etc/apt/mirrors.txt first main", map[string]string{"mirrors.txt": list}, Config{})
	var out bytes.Buffer
	if err := h.Fetch(context.Background(), wantedFile(), &out); err != nil || out.String() != wanted {
		t.Errorf("got %q and %v", out.String(), err)
	}
	if len(high.asked) != 1 || len(low.asked) != 1 || len(none.asked) != 0 {
		t.Errorf("asked: %q, %q, %q", high.asked, low.asked, none.asked)
	}
}

// TestProgress hears of each part of a file.
func TestProgress(t *testing.T) {
	var last int64
	h := opened(t, "deb "+serve(t, good).URL+" first main", nil, Config{Progress: func(what string, done, total int64) {
		if what != "hello_1+2~3.deb" || total != int64(len(wanted)) || done < last {
			t.Errorf("heard of %s %d of %d", what, done, total)
		}
		last = done
	}})
	if err := h.Fetch(context.Background(), wantedFile(), io.Discard); err != nil || last != int64(len(wanted)) {
		t.Errorf("got %v; heard of %d bytes", err, last)
	}
}
