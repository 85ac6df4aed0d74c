// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package serve_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"maps"
	"mime"
	"mime/multipart"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"osbuild/store/cache/serve"
)

// request asks for a file with some fields.
func request(t *testing.T, s *running, method, name string, header http.Header) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.url+"/"+name, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header = header.Clone()
	res, err := (&http.Transport{DisableCompression: true}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Error(err)
	}
	return res, body
}

// TestHead holds that a HEAD answers as a GET does, without what a range
// would change: that is defined for a GET only.
func TestHead(t *testing.T) {
	from := newRoot(t)
	from.closure()
	for _, compress := range []bool{false, true} {
		s := start(t, from, func(s *serve.Server) { s.Compress = compress })
		n, err := s.cache(t).Narinfo(t.Context(), from.find("tree").Path)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"nix-cache-info", n.Path.Digest() + ".narinfo", n.Path.Digest() + ".ls", n.URL, "nothing"} {
			for _, header := range []http.Header{{}, {"Accept-Encoding": {"gzip, zstd"}}, {"If-None-Match": {`"` + n.NarHash.Base32() + `"`}}} {
				get, _ := request(t, s, http.MethodGet, name, header)
				with := header.Clone()
				with.Set("Range", "bytes=1-2")
				head, _ := request(t, s, http.MethodHead, name, with)
				get.Header.Del("Date")
				head.Header.Del("Date")
				if head.Header.Get("Content-Encoding") != "" {
					get.Header.Del("Content-Length") // which only sending tells
				}
				if get.StatusCode != head.StatusCode || !maps.EqualFunc(get.Header, head.Header, slices.Equal) {
					t.Errorf("%s %v: GET %d %v, HEAD %d %v", name, header, get.StatusCode, get.Header, head.StatusCode, head.Header)
				}
			}
		}
	}
}

// TestParts holds that several ranges come as parts.
func TestParts(t *testing.T) {
	from := newRoot(t)
	from.closure()
	s := start(t, from, nil)
	i := from.find("tree")
	n, err := s.cache(t).Narinfo(t.Context(), i.Path)
	if err != nil {
		t.Fatal(err)
	}
	var want bytes.Buffer
	if err := from.store.DumpNAR(t.Context(), i.Path, &want); err != nil {
		t.Fatal(err)
	}
	res, body := request(t, s, http.MethodGet, n.URL, http.Header{"Range": {"bytes=0-7, 300000-300009,-5"}})
	typ, params, err := mime.ParseMediaType(res.Header.Get("Content-Type"))
	if res.StatusCode != http.StatusPartialContent || err != nil || typ != "multipart/byteranges" {
		t.Fatalf("%d %v", res.StatusCode, res.Header)
	}
	parts := multipart.NewReader(bytes.NewReader(body), params["boundary"])
	size := want.Len()
	for _, span := range [][2]int{{0, 7}, {300_000, 300_009}, {size - 5, size - 1}} {
		p, err := parts.NextPart()
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(p)
		if field := fmt.Sprintf("bytes %d-%d/%d", span[0], span[1], size); err != nil || p.Header.Get("Content-Range") != field || !bytes.Equal(got, want.Bytes()[span[0]:span[1]+1]) {
			t.Errorf("%v, want %s: %q, %v", p.Header, field, got, err)
		}
	}
	if _, err := parts.NextPart(); err != io.EOF {
		t.Errorf("%v", err)
	}
	if res, _ := request(t, s, http.MethodGet, n.URL, http.Header{"Range": {"bytes=1-2"}, "If-Range": {`"another"`}}); res.StatusCode != http.StatusOK {
		t.Errorf("a part of another file: %d", res.StatusCode)
	}
	if res, _ := request(t, s, http.MethodGet, n.URL, http.Header{"Range": {"bytes=99999999-"}}); res.Header.Get("Content-Range") != fmt.Sprintf("bytes */%d", size) {
		t.Errorf("%v", res.Header)
	}
}

// TestWithheld holds that who announces a body and does not send it, or sends
// headers without end, is not waited for: nobody else could stop the server.
func TestWithheld(t *testing.T) {
	s := start(t, newRoot(t), func(s *serve.Server) { s.Patience = 300 * time.Millisecond })
	for _, c := range []struct{ summary, request, want string }{
		{"a body of a GET", "GET /nix-cache-info HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n", " 400 "},
		{"chunks of a HEAD", "HEAD /nix-cache-info HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", " 400 "},
		{"an upload without a token", "PUT /nar/x HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n", " 401 "},
		{"an upload with a token", "PUT /nar/x HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + token + "\r\nContent-Length: 9\r\n\r\nabc", " 408 "},
		{"what nobody may do", "DELETE /nar/x HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n", " 405 "},
		{"the next request", "GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n", " 404 "},
	} {
		t.Run(c.summary, func(t *testing.T) {
			t.Parallel()
			conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(conn, c.request); err != nil {
				t.Fatal(err)
			}
			r := bufio.NewReader(conn)
			if line, err := r.ReadString('\n'); err != nil || !strings.Contains(line, c.want) {
				t.Errorf("%q, %v", line, err)
			}
			if _, err := io.Copy(io.Discard, r); err != nil {
				t.Errorf("the connection stays: %v", err)
			}
		})
	}
}

// TestGone holds that the log tells who went away during an upload.
func TestGone(t *testing.T) {
	s := start(t, newRoot(t), nil)
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "PUT /nar/x HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "+token+"\r\nContent-Length: 9\r\n\r\nabc"); err != nil {
		t.Fatal(err)
	}
	conn.Close()
	log := ""
	for end := time.Now().Add(time.Minute); log == "" && time.Now().Before(end); time.Sleep(time.Millisecond) {
		log = s.log.String()
	}
	if !strings.Contains(log, " 400 ") && !strings.Contains(log, " 499 ") {
		t.Errorf("the log: %s", log)
	}
}

// TestAnnounced holds that what is too large is refused before it comes.
func TestAnnounced(t *testing.T) {
	for _, c := range []struct {
		size int64
		want string
	}{
		{1<<58 + 1, " 413 "},
		{1 << 58, " 507 "}, // no disk has so much room
	} {
		s := start(t, newRoot(t), func(s *serve.Server) { s.MaxSize = 1 << 58 })
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Fprintf(conn, "PUT /nar/x HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", token, c.size); err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.Contains(line, c.want) {
			t.Errorf("%d bytes: %q, %v", c.size, line, err)
		}
	}
}

// TestCrowd holds that more connections than are allowed wait, and that none
// is lost.
func TestCrowd(t *testing.T) {
	from := newRoot(t)
	from.closure()
	s := start(t, from, func(s *serve.Server) { s.Connections, s.Patience = 2, time.Second })
	// Two say nothing, and are sent away at last.
	for range 2 {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, "GET /nix-cache-info HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.Contains(line, " 200 ") {
			t.Fatalf("%q, %v", line, err)
		}
	}
	begun := time.Now()
	for range 5 {
		if res, _ := request(t, s, http.MethodGet, "nix-cache-info", http.Header{"Connection": {"close"}}); res.StatusCode != http.StatusOK {
			t.Errorf("%d", res.StatusCode)
		}
	}
	if took := time.Since(begun); took < 300*time.Millisecond {
		t.Errorf("nobody waited: %v", took)
	}
}

// TestStopCrowd holds that a server stops whose places are all taken.
func TestStopCrowd(t *testing.T) {
	s := start(t, newRoot(t), func(s *serve.Server) { s.Connections = 1 })
	for range 3 {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	done := make(chan struct{})
	go func() {
		s.stop()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Fatal("it does not stop")
	}
}
