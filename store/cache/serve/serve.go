// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

// Package serve is a store as a binary cache over HTTP: GET, HEAD and ranges
// for everybody, and PUT for who has a token.
//
// It owns requests and answers, the log of them, and what is uploaded until
// it is registered: only what was checked in full. What the files hold is the
// business of store/cache/origin. Answers carry no times: those of items are
// all the same, and would lie. Start with [Server.Serve].
package serve

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"

	"osbuild/store"
	"osbuild/store/cache/origin"
	"osbuild/store/cache/policy"
)

const (
	// usualPatience is how long a client may be silent, haste how long it may
	// take for what nobody reads: headers, and the body of what is refused.
	usualPatience = time.Minute
	haste         = 10 * time.Second
	// clientGone is the status in the log of who did not wait for an answer;
	// other servers have the same.
	clientGone = 499
	// grace is how long the requests under way may take when the server
	// stops.
	grace = 30 * time.Second
)

// Server serves an origin. Its fields are set before it starts.
type Server struct {
	Origin *origin.Origin
	// Lease holds uploads until they are registered.
	Lease *store.Lease
	// Token is what uploads must carry; "" allows none.
	Token string
	// Policy says whose signatures uploaded items need; nil means that those
	// without a content address are not taken.
	Policy *policy.Policy
	// MaxSize is the largest upload; 0 means 64 GiB.
	MaxSize int64
	// Compress sends archives compressed to clients that understand it.
	Compress bool
	// Patience is how long a client may be silent; 0 means a minute.
	Patience time.Duration
	// Connections is how many are open at once, and others wait; 0 means what
	// the files that this process may open allow.
	Connections int
	// Log gets a line a request; nil keeps none.
	Log io.Writer

	uploads uploads
	syncing groupSync
	logging sync.Mutex
}

// Serve answers requests until ctx ends; then those under way are finished.
// It takes the listener over.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	h := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: haste,
		IdleTimeout:       s.patience(),
		MaxHeaderBytes:    32 << 10,
		BaseContext:       func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
	}
	stopped := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
		defer cancel()
		err := h.Shutdown(late)
		if errors.Is(err, context.DeadlineExceeded) {
			err = h.Close()
		}
		stopped <- err
	})
	sweepEnd := s.uploads.sweepNowAndThen(ctx)
	defer sweepEnd()
	clients := newCrowd(l, cmp.Or(s.Connections, usualCrowd()))
	h.RegisterOnShutdown(clients.dismiss)
	err := h.Serve(clients)
	if !stop() {
		err = <-stopped // it was asked to stop
	}
	return errors.Join(err, s.uploads.clear(), s.Origin.Close())
}

func (s *Server) patience() time.Duration { return cmp.Or(s.Patience, usualPatience) }

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	begun := time.Now()
	a := &answer{ResponseWriter: w, control: http.NewResponseController(w), patience: s.patience(), status: http.StatusOK}
	defer func() {
		if v := recover(); v != nil {
			// The answer was broken off, so that nobody takes it for whole.
			s.log(r, a, begun)
			panic(v)
		}
		s.log(r, a, begun)
	}()
	if r.ContentLength != 0 {
		// Before an answer net/http reads some of what nobody wanted, and
		// would wait for it without end.
		_ = a.control.SetReadDeadline(begun.Add(min(haste, s.patience()/2))) // a test's recorder has none
	}
	name, ok := strings.CutPrefix(r.URL.Path, "/")
	switch {
	case r.ContentLength != 0 && (r.Method == http.MethodGet || r.Method == http.MethodHead):
		refuse(a, http.StatusBadRequest, "a %s has no body", r.Method)
	case !ok || r.URL.RawQuery != "":
		refuse(a, http.StatusNotFound, "there is no such file")
	case r.Method == http.MethodGet || r.Method == http.MethodHead:
		s.read(a, r, name)
	case r.Method == http.MethodPut && s.Token != "":
		s.write(a, r, name)
	default:
		allowed := "GET, HEAD"
		if s.Token != "" {
			allowed += ", PUT"
		}
		a.Header().Set("Allow", allowed)
		refuse(a, http.StatusMethodNotAllowed, "this server takes no %s", r.Method)
	}
}

// refuse answers with an error that people can read.
func refuse(w http.ResponseWriter, code int, format string, args ...any) {
	http.Error(w, fmt.Sprintf(format, args...), code)
}

func (s *Server) read(w *answer, r *http.Request, name string) {
	c, err := s.Origin.Open(r.Context(), name)
	if errors.Is(err, fs.ErrNotExist) {
		if r.Method == http.MethodHead && s.uploads.has(name) {
			w.WriteHeader(http.StatusOK)
			return
		}
		refuse(w, http.StatusNotFound, "there is no such file")
		return
	}
	if err != nil {
		w.problem = err
		refuse(w, http.StatusInternalServerError, "the store cannot give this file (its owner finds the reason in the log)")
		return
	}
	defer c.Release()
	tidyRange(r)
	h := w.Header()
	h.Set("Content-Type", c.Type)
	if c.Hash == (store.Hash{}) {
		http.ServeContent(w, r, "", time.Time{}, c)
		return
	}
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	if s.Compress {
		h.Set("Vary", "Accept-Encoding")
		if r.Header.Get("Range") == "" && accepts(r.Header, "zstd") {
			h.Set("Content-Encoding", "zstd")
			if r.Method == http.MethodGet {
				s.compressed(w, c)
			} else {
				w.WriteHeader(http.StatusOK)
			}
			return
		}
	}
	h.Set("ETag", `"`+c.Hash.Base32()+`"`)
	http.ServeContent(w, r, "", time.Time{}, c)
	if r.Method == http.MethodGet && w.bytes < w.announced() {
		panic(http.ErrAbortHandler) // an error while reading: what came is not whole
	}
}

// compressed sends a file in the encoding zstd.
func (s *Server) compressed(w *answer, c *origin.Content) {
	z, err := zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20))
	if err == nil {
		_, err = io.Copy(z, c)
		err = errors.Join(err, z.Close())
	}
	if err != nil {
		w.problem = err
		panic(http.ErrAbortHandler) // the client must not take it for whole
	}
}

// authorized says whether a request carries the token: as a bearer, or as the
// password of any user, which is what Nix sends from a netrc file.
func (s *Server) authorized(r *http.Request) bool {
	given, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		_, given, _ = r.BasicAuth()
	}
	// Hashed, so that neither content nor length shows in the time it takes.
	want, got := sha256.Sum256([]byte(s.Token)), sha256.Sum256([]byte(given))
	return subtle.ConstantTimeCompare(want[:], got[:]) == 1
}

// answer counts what is sent, and ends a connection whose client does not
// take it.
type answer struct {
	http.ResponseWriter
	control  *http.ResponseController
	patience time.Duration
	status   int
	bytes    int64
	problem  error // for the log
}

func (a *answer) WriteHeader(code int) {
	a.extend()
	a.status = code
	a.ResponseWriter.WriteHeader(code)
}

func (a *answer) Write(p []byte) (int, error) {
	a.extend()
	n, err := a.ResponseWriter.Write(p)
	a.bytes += int64(n)
	return n, err
}

// extend gives the client time to take what comes next.
func (a *answer) extend() {
	_ = a.control.SetWriteDeadline(time.Now().Add(a.patience)) // a test's recorder has none
}

// announced is the length that was promised, 0 where none was.
func (a *answer) announced() (n int64) {
	_, _ = fmt.Sscan(a.Header().Get("Content-Length"), &n) // 0 where it is no number
	return n
}

// log writes a line: time, client, request, status, bytes, seconds.
func (s *Server) log(r *http.Request, a *answer, begun time.Time) {
	if s.Log == nil {
		return
	}
	client, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		client = "-"
	}
	line := fmt.Sprintf("%s %s %s %s %d %d %.3f", begun.UTC().Format(time.RFC3339), client, printable(r.Method), printable(r.URL.EscapedPath()), a.status, a.bytes, time.Since(begun).Seconds())
	if a.problem != nil {
		line += " " + fmt.Sprintf("%q", a.problem.Error())
	}
	s.logging.Lock()
	defer s.logging.Unlock()
	_, _ = io.WriteString(s.Log, line+"\n") // where it cannot be written nobody can be told
}

// printable keeps what a client sends from forging lines.
func printable(text string) string {
	if len(text) > 300 {
		text = text[:300] + "…"
	}
	if strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '"' }) || text == "" {
		return `"` + url.PathEscape(text) + `"`
	}
	return text
}

// groupSync makes what was registered durable, once for all who wait.
type groupSync struct {
	mu       sync.Mutex
	state    sync.Mutex // guards the counters
	started  int
	finished int
	err      error
}

// do returns when a Sync has ended that began after do was called.
func (g *groupSync) do(sync func() error) error {
	g.state.Lock()
	before := g.started
	g.state.Unlock()
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.finished > before {
		return g.err
	}
	g.state.Lock()
	g.started++
	g.state.Unlock()
	g.err = sync()
	g.finished = g.started
	return g.err
}
