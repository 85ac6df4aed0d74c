// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package location

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync/atomic"
	"time"
)

// webUpload waits in a file of its own until it has a name.
type webUpload struct {
	web  *Web
	file *os.File
	size int64
}

// Create implements Location.
func (w *Web) Create(context.Context) (Upload, error) {
	dir := ""
	if w.options.TempDir != nil {
		var err error
		if dir, err = w.options.TempDir(); err != nil {
			return nil, err
		}
	}
	file, err := os.CreateTemp(dir, "upload-")
	if err != nil {
		return nil, err
	}
	return &webUpload{web: w, file: file}, nil
}

func (u *webUpload) Write(p []byte) (int, error) {
	n, err := u.file.Write(p)
	u.size += int64(n)
	return n, err
}

func (u *webUpload) Commit(ctx context.Context, name string) error {
	defer u.Discard()
	for n := 1; ; n++ {
		err := u.put(ctx, name)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if n == attempts || !worthwhile(err) {
			return u.explain(err)
		}
		if err := pause(ctx, u.web.options.Pause<<n); err != nil {
			return err
		}
	}
}

// explain says what to do where the server does not want uploads.
func (u *webUpload) explain(err error) error {
	var status *StatusError
	if !errors.As(err, &status) {
		return err
	}
	switch status.Code {
	case http.StatusUnauthorized, http.StatusForbidden:
		return fmt.Errorf("%w (give the token that it expects with --upload-token)", err)
	case http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return fmt.Errorf("%w (it takes no uploads)", err)
	case http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return fmt.Errorf("%w (it points elsewhere, and uploads follow nobody: push to where it points)", err)
	}
	return err
}

func (u *webUpload) put(ctx context.Context, name string) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	req, err := u.web.request(ctx, http.MethodPut, name)
	if err != nil {
		return err
	}
	moving := &movingReader{r: io.NewSectionReader(u.file, 0, u.size)}
	req.Body = io.NopCloser(moving)
	req.ContentLength = u.size
	if u.size == 0 {
		req.Body = http.NoBody
	}
	req.Header.Set("Content-Type", "application/octet-stream")
	if u.web.options.Token != "" {
		req.Header.Set("Authorization", "Bearer "+u.web.options.Token)
	}
	if u.size > progress {
		req.Header.Set("Expect", "100-continue") // it may refuse at once
	}
	end := moving.watch(u.web.options.Stall, u.size, func() { cancel(errStalled) })
	res, err := u.web.send.Do(req)
	end()
	if errors.Is(context.Cause(ctx), errStalled) {
		return errStalled
	}
	if err != nil {
		return err
	}
	if res.StatusCode/100 == 2 {
		enough := time.AfterFunc(u.web.options.Stall, func() { _ = res.Body.Close() }) // ends the reading
		defer enough.Stop()
		_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10)) // so that the connection can be used again
		_ = res.Body.Close()                                         // it said yes
		return nil
	}
	return statusError(res, u.web.options.Stall)
}

func (u *webUpload) Discard() {
	if u.file != nil {
		_ = u.file.Close() // what it holds goes
		_ = os.Remove(u.file.Name())
		u.file = nil
	}
}

// movingReader counts what was taken from it.
type movingReader struct {
	r     io.Reader
	taken atomic.Int64
}

func (m *movingReader) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	m.taken.Add(int64(n))
	return n, err
}

// watch calls stalled when nothing is taken for a time, until all of size is.
func (m *movingReader) watch(patience time.Duration, size int64, stalled func()) (end func()) {
	done := make(chan struct{})
	go func() {
		tick := time.NewTicker(patience)
		defer tick.Stop()
		for last := int64(0); ; {
			select {
			case <-done:
				return
			case <-tick.C:
			}
			now := m.taken.Load()
			if now == size {
				return
			}
			if now == last {
				stalled()
				return
			}
			last = now
		}
	}()
	return func() { close(done) }
}
