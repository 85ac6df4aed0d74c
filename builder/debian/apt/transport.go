// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package apt

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"sync/atomic"
	"time"
)

const (
	// maxRedirects is how many times a server may send us elsewhere.
	maxRedirects = 10
	// serverSilence is how long a server may say nothing.
	serverSilence = 30 * time.Second
	// attempts is how many times a place is asked for a file.
	attempts = 3
)

// errNotFound says that a place does not have a file.
var errNotFound = errors.New("not found")

// refusal is an error that asking again will not cure.
type refusal struct{ error }

func (r refusal) Unwrap() error { return r.error }

func refuse(format string, args ...any) error { return refusal{fmt.Errorf(format, args...)} }

func refused(err error) bool {
	var r refusal
	return errors.As(err, &r)
}

// query is what is asked of a mirror.
type query struct {
	mirror mirror
	name   string // relative to the mirror's base
	// modified and tag are those of the copy at hand, if there is one.
	modified, tag string
	// from is the first byte that is wanted.
	from int64
}

// answer is what a mirror says.
type answer struct {
	body          io.ReadCloser
	size          int64 // of the whole file, -1 where it is not known
	from          int64 // the first byte of body
	same          bool  // the copy at hand is as good; there is no body
	modified, tag string
}

// newClient makes the client of all connections.
func (h *Host) newClient() (*http.Client, error) {
	if n, ok := h.conf.number("Acquire::http::Timeout"); ok && n > 0 {
		h.silence = time.Duration(n) * time.Second
	}
	secure, err := h.tlsConfig()
	if err != nil {
		return nil, err
	}
	return &http.Client{
		Transport: &http.Transport{
			Proxy:                  func(r *http.Request) (*url.URL, error) { return h.proxy(r.Context(), r.URL) },
			DialContext:            (&net.Dialer{Timeout: min(h.silence, 15*time.Second), KeepAlive: 30 * time.Second}).DialContext,
			TLSClientConfig:        secure,
			TLSHandshakeTimeout:    h.silence,
			ResponseHeaderTimeout:  h.silence,
			IdleConnTimeout:        30 * time.Second,
			MaxIdleConnsPerHost:    8,
			MaxResponseHeaderBytes: 256 << 10,
			ForceAttemptHTTP2:      true,
			DisableCompression:     true,
		},
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			if len(via) > maxRedirects {
				return refuse("the server redirects more than %d times", maxRedirects)
			}
			if r.URL.Scheme != "https" && (r.URL.Scheme != "http" || via[0].URL.Scheme == "https") {
				return refuse("the server redirects from %s to %s", via[0].URL.Scheme, r.URL.Scheme)
			}
			// What one server may know is not for another.
			if r.URL.Host != via[0].URL.Host {
				r.Header.Del("Authorization")
				h.authorize(r, mirror{})
			}
			return nil
		},
	}, nil
}

// tlsConfig follows the options for all servers: signatures and hashes say
// what is believed, so that the certificates only keep secrets.
func (h *Host) tlsConfig() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if file := h.conf.get("Acquire::https::CaInfo"); file != "" {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("cannot read the certificates that Acquire::https::CaInfo names: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(data) {
			return nil, fmt.Errorf("cannot read the certificates that Acquire::https::CaInfo names: %s holds none", file)
		}
	}
	if cert := h.conf.get("Acquire::https::SslCert"); cert != "" {
		key := h.conf.get("Acquire::https::SslKey")
		if key == "" {
			key = cert
		}
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return nil, fmt.Errorf("cannot read the certificate that Acquire::https::SslCert names: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	if !h.conf.flag("Acquire::https::Verify-Peer", true) {
		h.warn("the certificates of servers are not checked, as the configuration of apt says (Acquire::https::Verify-Peer)")
		c.InsecureSkipVerify = true
	}
	return c, nil
}

// authorize says who we are, by the URI of the source or by auth.conf.
func (h *Host) authorize(r *http.Request, m mirror) {
	user := m.user
	if user == nil {
		user = h.credentials(r.URL)
	}
	if user != nil {
		password, _ := user.Password()
		r.SetBasicAuth(user.Username(), password)
	}
}

// ask sends one query. The errors name no address: the callers do.
func (h *Host) ask(ctx context.Context, q query) (*answer, error) {
	u := q.mirror.at(q.name)
	if local(u) {
		return openLocal(u.Path)
	}
	if h.cfg.Offline {
		return nil, ErrOffline
	}
	ctx, cancel := context.WithCancel(ctx)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		cancel()
		return nil, err
	}
	req.Header.Set("User-Agent", "osbuild")
	req.Header.Set("Accept-Encoding", "identity")
	if q.modified != "" {
		req.Header.Set("If-Modified-Since", q.modified)
	}
	if q.tag != "" {
		req.Header.Set("If-None-Match", q.tag)
	}
	if q.from > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", q.from))
	}
	h.authorize(req, q.mirror)
	resp, err := h.client.Do(req)
	if err != nil {
		cancel()
		return nil, connectError(err)
	}
	a := &answer{
		body: newWatched(resp.Body, h.silence, cancel), size: resp.ContentLength,
		modified: resp.Header.Get("Last-Modified"), tag: resp.Header.Get("Etag"),
	}
	switch resp.StatusCode {
	case http.StatusOK:
		return a, nil
	case http.StatusNotModified:
		a.same = true
		return a, a.body.Close()
	case http.StatusPartialContent:
		var first, last, size int64
		if _, err := fmt.Sscanf(resp.Header.Get("Content-Range"), "bytes %d-%d/%d", &first, &last, &size); err == nil && first == q.from && q.from > 0 {
			a.from, a.size = first, size
			return a, nil
		}
		err = errors.New("the server sends another part than was asked for")
	case http.StatusNotFound, http.StatusGone:
		err = errNotFound
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusProxyAuthRequired:
		err = refuse("the server says %q (apt takes passwords for archives from auth.conf)", resp.Status)
	default:
		err = fmt.Errorf("the server says %q", resp.Status)
		if resp.StatusCode < 500 && resp.StatusCode != http.StatusTooManyRequests && resp.StatusCode != http.StatusRequestTimeout {
			err = refusal{err}
		}
	}
	return nil, errors.Join(err, a.body.Close())
}

// openLocal opens a file of this machine.
func openLocal(name string) (*answer, error) {
	// A pipe would block the opening: look first.
	info, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errNotFound
	}
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("it is no regular file")
	}
	if err != nil {
		return nil, refusal{bare(err)}
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, refusal{bare(err)}
	}
	return &answer{body: f, size: info.Size()}, nil
}

// connectError takes the address away, which may hold a password, and says
// when no server was there at all.
func connectError(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	var dial *net.OpError
	var name *net.DNSError
	if errors.As(err, &name) || errors.As(err, &dial) && dial.Op == "dial" {
		return fmt.Errorf("%w: %w", ErrNetwork, err)
	}
	if err.Error() == "net/http: timeout awaiting response headers" {
		return errors.New("the server does not answer")
	}
	return err
}

// watched is the body of an answer that ends when the server falls silent.
type watched struct {
	io.ReadCloser
	silence time.Duration
	cancel  context.CancelFunc
	timer   *time.Timer // runs while somebody reads, who may take their time
	silent  atomic.Bool
}

func newWatched(body io.ReadCloser, silence time.Duration, cancel context.CancelFunc) *watched {
	w := &watched{ReadCloser: body, silence: silence, cancel: cancel}
	w.timer = time.AfterFunc(silence, func() {
		w.silent.Store(true)
		cancel()
	})
	w.timer.Stop()
	return w
}

func (w *watched) Read(p []byte) (int, error) {
	w.timer.Reset(w.silence)
	n, err := w.ReadCloser.Read(p)
	w.timer.Stop()
	if err != nil && !errors.Is(err, io.EOF) && w.silent.Load() {
		err = fmt.Errorf("the server said nothing for %v", w.silence)
	}
	return n, err
}

func (w *watched) Close() error {
	w.timer.Stop()
	err := w.ReadCloser.Close()
	w.cancel()
	return err
}

// sleep waits, or ends early when the work is given up.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
