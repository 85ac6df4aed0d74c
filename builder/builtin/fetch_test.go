// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package builtin

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"osbuild/builder/derivation"
	"osbuild/store"
)

// sha256 of "hello".
const helloHash = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"

func TestFetch(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/hello", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept-Encoding") != "identity" {
			http.Error(w, "asked for compression", http.StatusBadRequest)
			return
		}
		fmt.Fprint(w, "hello")
	})
	mux.HandleFunc("/to/{n}", func(w http.ResponseWriter, r *http.Request) {
		n, err := strconv.Atoi(r.PathValue("n"))
		if err != nil || n == 0 {
			http.Redirect(w, r, "/hello", http.StatusFound)
			return
		}
		http.Redirect(w, r, fmt.Sprint("/to/", n-1), http.StatusMovedPermanently)
	})
	mux.HandleFunc("/etc", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "file:///etc/passwd", http.StatusFound)
	})
	mux.HandleFunc("/cut", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "5")
		fmt.Fprint(w, "hel")
	})
	mux.HandleFunc("/private", func(w http.ResponseWriter, r *http.Request) {
		if user, pass, _ := r.BasicAuth(); user != "me" || pass != "secret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		fmt.Fprint(w, "hello")
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := "http://" + closed.Addr().String()
	closed.Close()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "hello"), []byte("hello"), 0o644); err != nil {
		t.Fatal(err)
	}
	withPassword := strings.Replace(server.URL, "http://", "http://me:secret@", 1)

	for _, c := range []struct {
		summary, url, hash, offline string
		err                         []string
	}{
		{"plain", server.URL + "/hello", helloHash, "", nil},
		{"a file", "file://" + dir + "/hello", helloHash, "", nil},
		{"a file, offline", "file://" + dir + "/hello", helloHash, "1", nil},
		{"redirects", server.URL + "/to/9", helloHash, "", nil},
		{"password", withPassword + "/private", helloHash, "", nil},
		{"too many redirects", server.URL + "/to/10", helloHash, "", []string{"cannot fetch " + server.URL + "/to/10", "more than 10 times"}},
		{"redirect to a file", server.URL + "/etc", helloHash, "", []string{"scheme"}},
		{"other content", server.URL + "/hello", strings.Repeat("0", 64), "", []string{"cannot fetch " + server.URL, "sha256-LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=", "sha256-AAAA"}},
		{"not there", server.URL + "/none", helloHash, "", []string{"404 Not Found"}},
		{"cut short", server.URL + "/cut", helloHash, "", []string{"unexpected EOF"}},
		{"nobody there", nobody + "/x", helloHash, "", []string{"cannot fetch " + nobody, "connection refused"}},
		{"offline", server.URL + "/hello", helloHash, "1", []string{"--offline"}},
		{"no such file", "file://" + dir + "/none", helloHash, "", []string{"no such file"}},
		{"a folder", "file://" + dir, helloHash, "", []string{"no regular file"}},
		{"file of another machine", "file://example.org/x", helloHash, "", []string{"of this machine"}},
		{"unknown scheme", "ftp://example.org/x", helloHash, "", []string{`"ftp" is not known`}},
		{"no address", "http://[", helloHash, "", []string{"cannot fetch"}},
		{"wrong password stays secret", strings.Replace(withPassword, "secret", "s3cret", 1) + "/private", helloHash, "", []string{"401", "me:xxxxx@"}},
	} {
		l := newLab(t)
		out, err := l.build(derivation.Derivation{
			Builder: "fetch", Env: map[string]string{"url": c.url, "offline": c.offline},
			Fixed: &derivation.Fixed{Algo: "sha256", Hash: c.hash},
		})
		if c.err == nil {
			if err != nil {
				t.Errorf("%s: %v", c.summary, err)
			} else if data, err := os.ReadFile(out); err != nil || string(data) != "hello" {
				t.Errorf("%s: %q %v", c.summary, data, err)
			}
			continue
		}
		for _, want := range c.err {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: error %v, want %q", c.summary, err, want)
			}
		}
		if err != nil && strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: the error tells the password: %v", c.summary, err)
		}
		var mismatch *store.HashMismatchError
		if errors.As(err, &mismatch) != (c.summary == "other content") {
			t.Errorf("%s: error %v", c.summary, err)
		}
		if errors.Is(err, ErrOffline) != (c.summary == "offline") {
			t.Errorf("%s: error %v", c.summary, err)
		}
	}
	l := newLab(t)
	if _, err := l.build(derivation.Derivation{Builder: "fetch", Env: map[string]string{"url": server.URL + "/hello"}}); err == nil {
		t.Error("fetched without a hash")
	}
}
