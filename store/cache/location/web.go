// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package location

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// WebOptions say how a server is talked to. Zero values are the usual ones.
type WebOptions struct {
	// Token is sent with uploads.
	Token string
	// TempDir gives the folder in which uploads wait for their names.
	TempDir func() (string, error)
	// Stall is how long a server may be silent.
	Stall time.Duration
	// Pause is the first wait before another attempt; later ones are longer.
	Pause time.Duration
}

const (
	usualStall = 30 * time.Second
	usualPause = 250 * time.Millisecond
	// longestPause bounds what a server can ask for.
	longestPause = 10 * time.Second
	// attempts is how often one question is asked.
	attempts = 4
	// redirects is how often an answer may point elsewhere.
	redirects = 5
	// uploadAnswer is how long a server may check what it got.
	uploadAnswer = 10 * time.Minute
	// connections are kept open for the next question.
	connections = 48
)

// errRefused is wrapped by errors that another attempt would not mend.
var errRefused = errors.New("refused")

// Web is a server that speaks HTTP.
type Web struct {
	base      *url.URL
	options   WebOptions
	get, send *http.Client
}

// NewWeb gives the location at a http or https URL.
func NewWeb(address string, o WebOptions) (*Web, error) {
	base, err := url.Parse(address)
	switch {
	case err != nil:
		var e *url.Error
		if errors.As(err, &e) {
			err = e.Err // without the address, which may hold a password
		}
		return nil, fmt.Errorf("cannot use the URL %q: %w", Redacted(address), err)
	case base.Scheme != "http" && base.Scheme != "https" || base.Host == "":
		return nil, fmt.Errorf("cannot use the URL %q: write for example https://cache.example.org", Redacted(address))
	case base.RawQuery != "" || base.Fragment != "" || base.User != nil:
		return nil, fmt.Errorf("cannot use the URL %q: it may hold a host and a path only", Redacted(address))
	}
	o.Stall, o.Pause = cmp.Or(o.Stall, usualStall), cmp.Or(o.Pause, usualPause)
	dial := &net.Dialer{Timeout: min(o.Stall, 10*time.Second), KeepAlive: 15 * time.Second}
	transport := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           dial.DialContext,
		TLSHandshakeTimeout:   o.Stall,
		ResponseHeaderTimeout: o.Stall,
		ExpectContinueTimeout: time.Second,
		IdleConnTimeout:       time.Minute,
		MaxIdleConnsPerHost:   connections,
		MaxConnsPerHost:       connections, // a build may ask thousands of questions at once
		ForceAttemptHTTP2:     true,
		// Archives are compressed already, and their hash is that of the file.
		DisableCompression: true,
	}
	slow := transport.Clone()
	slow.ResponseHeaderTimeout = max(uploadAnswer, o.Stall)
	w := &Web{base: base, options: o}
	w.get = &http.Client{Transport: transport, CheckRedirect: checkRedirect}
	w.send = &http.Client{Transport: slow, CheckRedirect: func(req *http.Request, _ []*http.Request) error {
		return fmt.Errorf("%w: it points to %s, and uploads follow nobody", errRefused, req.URL.Redacted())
	}}
	return w, nil
}

// Redacted is an address without what may be secret in it: user, password and
// query.
func Redacted(address string) string {
	scheme, rest, ok := strings.Cut(address, "://")
	if ok {
		scheme += "://"
	} else {
		scheme, rest = "", address
	}
	host, _, _ := strings.Cut(rest, "/")
	if k := strings.LastIndexByte(host, '@'); k >= 0 {
		rest = "…" + rest[k:]
	} else if strings.Contains(rest, "@") {
		return scheme + "…" // a password with a slash, perhaps
	}
	if k := strings.IndexAny(rest, "?#"); k >= 0 {
		rest = rest[:k+1] + "…"
	}
	return scheme + rest
}

// checkRedirect follows to the same or a safer scheme only.
func checkRedirect(req *http.Request, via []*http.Request) error {
	// Nobody reads it, and net/http would wait for it.
	_ = req.Response.Body.Close()
	req.Response.Body = http.NoBody
	last := via[len(via)-1].URL
	switch {
	case len(via) > redirects:
		return fmt.Errorf("%w: it points from place to place more than %d times", errRefused, redirects)
	case req.URL.Scheme != last.Scheme && !(last.Scheme == "http" && req.URL.Scheme == "https"):
		return fmt.Errorf("%w: it points from %s to %s", errRefused, last.Scheme, req.URL.Redacted())
	}
	return nil
}

// String implements Location.
func (w *Web) String() string { return strings.TrimSuffix(w.base.String(), "/") }

func (w *Web) request(ctx context.Context, method, name string) (*http.Request, error) {
	if !filepath.IsLocal(name) {
		return nil, fmt.Errorf("cannot use %q as the name of a file in %s", name, w)
	}
	// A narinfo may tell of a file with a query, which other servers use.
	name, query, _ := strings.Cut(name, "?")
	place := w.base.JoinPath(name)
	place.RawQuery = query
	req, err := http.NewRequestWithContext(ctx, method, place.String(), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "osbuild")
	return req, nil
}

// Has implements Location.
func (w *Web) Has(ctx context.Context, name string) (bool, error) {
	res, err := w.ask(ctx, http.MethodHead, name, nil)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, res.Body.Close()
}

// Sync implements Location: a server looks after itself.
func (w *Web) Sync() error { return nil }

// Open implements Location. Where the connection breaks, the reader goes on
// from there with another one.
func (w *Web) Open(ctx context.Context, name string) (io.ReadCloser, int64, error) {
	d := &download{web: w, ctx: ctx, name: name}
	if err := d.connect(); err != nil {
		return nil, 0, err
	}
	return d, d.size, nil
}

// ask asks until there is an answer: one of success, whose body the caller
// closes, or that the file is not there.
func (w *Web) ask(ctx context.Context, method, name string, header http.Header) (*http.Response, error) {
	for n := 1; ; n++ {
		req, err := w.request(ctx, method, name)
		if err != nil {
			return nil, err
		}
		for k, v := range header {
			req.Header[k] = v
		}
		res, err := w.get.Do(req)
		wait := w.options.Pause << n
		if err == nil {
			if res.StatusCode == http.StatusOK || res.StatusCode == http.StatusPartialContent {
				return res, nil
			}
			err = statusError(res, w.options.Stall)
			wait = max(wait, retryAfter(res))
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if n >= mostAttempts(err) || !worthwhile(err) {
			return nil, err
		}
		if err := pause(ctx, wait); err != nil {
			return nil, err
		}
	}
}

// mostAttempts is how often a question is worth asking that ends in this way.
// Where nobody listens, nobody will in a moment; and silence takes long.
func mostAttempts(err error) int {
	var op *net.OpError
	var timeout net.Error
	switch {
	case errors.As(err, &op) && op.Op == "dial":
		return 1
	case errors.As(err, &timeout) && timeout.Timeout():
		return 2
	}
	return attempts
}

// pause waits, not all for the same time.
func pause(ctx context.Context, d time.Duration) error {
	d = min(d/2+rand.N(d/2+1), longestPause)
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// StatusError is an answer that is neither success nor absence.
type StatusError struct {
	Method, URL string
	Code        int
	// Reason is the first line of what the server said.
	Reason string
}

func (e *StatusError) Error() string {
	text := fmt.Sprintf("%s %s: the server answers %d", e.Method, e.URL, e.Code)
	if name := http.StatusText(e.Code); name != "" {
		text += " (" + strings.ToLower(name) + ")"
	}
	if e.Reason != "" {
		text += ": " + e.Reason
	}
	return text
}

// statusError closes the answer, for whose text it waits no longer than
// patience. Some stores of files forbid what is not there.
func statusError(res *http.Response, patience time.Duration) error {
	enough := time.AfterFunc(patience, func() { _ = res.Body.Close() }) // ends the reading
	defer enough.Stop()
	text, _ := io.ReadAll(io.LimitReader(res.Body, 1<<10)) // only for people
	_ = res.Body.Close()                                   // only read
	e := &StatusError{Method: res.Request.Method, URL: res.Request.URL.Redacted(), Code: res.StatusCode, Reason: firstLine(text)}
	reading := e.Method == http.MethodGet || e.Method == http.MethodHead
	switch e.Code {
	case http.StatusNotFound, http.StatusGone, http.StatusForbidden:
		if reading {
			return fmt.Errorf("%w: %w", e, fs.ErrNotExist)
		}
	}
	return e
}

// firstLine gives what can be shown of a server's words.
func firstLine(text []byte) string {
	line, _, _ := strings.Cut(strings.TrimSpace(strings.ToValidUTF8(string(text), "")), "\n")
	if strings.HasPrefix(line, "<") || strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return ""
	}
	return line[:min(len(line), 300)]
}

func retryAfter(res *http.Response) time.Duration {
	n, err := strconv.Atoi(res.Header.Get("Retry-After"))
	if err != nil || n < 0 {
		return 0
	}
	return min(time.Duration(n)*time.Second, longestPause)
}

// worthwhile says whether another attempt may end better.
func worthwhile(err error) bool {
	var status *StatusError
	if errors.As(err, &status) {
		switch status.Code {
		case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError,
			http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
			return true
		}
		return false
	}
	// A name that does not exist, or a certificate that is wrong, stays so.
	var name *net.DNSError
	var op *net.OpError
	switch {
	case errors.Is(err, errRefused):
		return false
	case errors.As(err, &name):
		return name.IsTemporary || name.IsTimeout
	case errors.As(err, &op), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, errStalled), errors.Is(err, errSlow):
		return true
	}
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}
