// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package builtin

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"

	"osbuild/builder/realise"
	"osbuild/store"
)

// ErrOffline is wrapped by the error for a download that is not allowed.
var ErrOffline = errors.New("the network is switched off (--offline)")

// maxRedirects is how many times a server may send us elsewhere.
const maxRedirects = 10

// buildFetch gets a file whose hash is known. The hash is that of what the
// server sends, without any decoding, and is checked while it arrives.
func buildFetch(ctx context.Context, r realise.Request) error {
	fixed := r.Drv.Fixed
	if fixed == nil || fixed.Algo != "sha256" || fixed.Recursive {
		return errors.New("a download needs the sha256 of the file")
	}
	u, err := url.Parse(r.Drv.Env["url"])
	if err != nil {
		return fmt.Errorf("cannot fetch: %w", err)
	}
	// Redacted: an address may hold a password.
	if err := fetch(ctx, r, u, fixed.Hash); err != nil {
		return fmt.Errorf("cannot fetch %s: %w", u.Redacted(), err)
	}
	return nil
}

func fetch(ctx context.Context, r realise.Request, u *url.URL, want string) error {
	body, err := open(ctx, u, r.Offline)
	if err != nil {
		return err
	}
	defer body.Close()
	out, err := os.OpenFile(r.Outs["out"], os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	h := sha256.New()
	_, err = io.Copy(io.MultiWriter(out, h), body)
	if err := errors.Join(err, out.Close()); err != nil {
		return bare(err)
	}
	if got := h.Sum(nil); hex.EncodeToString(got) != want {
		w, err := store.ParseHash(want)
		if err != nil {
			return err
		}
		return &store.HashMismatchError{Name: u.Redacted(), Want: w.SRI(), Got: store.Hash(got).SRI()}
	}
	return nil
}

// open begins the download.
func open(ctx context.Context, u *url.URL, offline bool) (io.ReadCloser, error) {
	switch u.Scheme {
	case "file":
		if u.Host != "" && u.Host != "localhost" {
			return nil, fmt.Errorf("a file:// address names a file of this machine, not of %q: write file:///path", u.Host)
		}
		f, err := os.Open(u.Path)
		if err != nil {
			return nil, bare(err)
		}
		if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
			return nil, errors.Join(err, errors.New("it is no regular file"), f.Close())
		}
		return f, nil
	case "http", "https":
	default:
		return nil, fmt.Errorf("the scheme %q is not known: use https, http or file", u.Scheme)
	}
	if offline {
		return nil, ErrOffline
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "osbuild")
	// Without this the transport would ask for compression and undo it.
	req.Header.Set("Accept-Encoding", "identity")
	resp, err := client.Do(req)
	if err != nil {
		return nil, bare(err)
	}
	if resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		return nil, fmt.Errorf("the server says %q", resp.Status)
	}
	return resp.Body, nil
}

// bare takes the address away from an error that names it: ours does, and
// without the password.
func bare(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// client gives up on a server that does not answer, but takes as long for a
// file as it needs. Proxies are those of the environment.
var client = &http.Client{
	Transport: &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout:   30 * time.Second,
		ResponseHeaderTimeout: 60 * time.Second,
		IdleConnTimeout:       30 * time.Second,
		ForceAttemptHTTP2:     true,
		DisableCompression:    true,
	},
	CheckRedirect: func(_ *http.Request, via []*http.Request) error {
		if len(via) > maxRedirects {
			return fmt.Errorf("the server redirects more than %d times", maxRedirects)
		}
		return nil
	},
}
