// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package location

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"osbuild/store/cache/codec"
)

const (
	// progress is how much must come for a connection that breaks to be
	// worth another one.
	progress = 64 << 10
	// slowest is how many bytes a second must come on average, over slowFor
	// times the time for which a server may be silent: over a minute, usually.
	// Each of eight downloads over one modem is about as slow. It is broken off
	// now and then, but not given up: it goes on where it ended, and 64 KiB over
	// a few connections are progress.
	slowest = 1 << 10
	slowFor = 2
	// transferEncoding is the compression that we understand on the way, for
	// files that are not compressed themselves.
	transferEncoding = "zstd"
)

var (
	errStalled = errors.New("the server is silent")
	errSlow    = fmt.Errorf("the server sends less than %d bytes a second", slowest)
)

// download is a file on its way, over as many connections as it takes. Its
// content is not compared between them: archives are checked by their hash.
type download struct {
	web  *Web
	ctx  context.Context
	name string

	size   int64 // of the whole file; -1 where it is not known
	offset int64 // of what was read
	tag    string

	body   io.ReadCloser
	cancel context.CancelCauseFunc
	fails  int   // since mark
	mark   int64 // offset from which progress counts
	err    error

	waited time.Duration // since got was 0
	got    int64
}

// connect asks for what is missing of the file.
func (d *download) connect() error {
	ctx, cancel := context.WithCancelCause(d.ctx)
	header := http.Header{}
	if d.offset == 0 && strings.HasSuffix(d.name, ".nar") {
		header.Set("Accept-Encoding", transferEncoding)
	}
	if d.offset > 0 {
		header.Set("Range", fmt.Sprintf("bytes=%d-", d.offset))
		if d.tag != "" {
			header.Set("If-Range", d.tag)
		}
	}
	res, err := d.web.ask(ctx, http.MethodGet, d.name, header)
	if err == nil {
		d.body, d.cancel = res.Body, cancel
		if err = d.accept(res); err == nil {
			return nil
		}
		_ = res.Body.Close() // the first error counts
	}
	cancel(nil)
	d.body = nil
	return err
}

// accept looks at an answer of success.
func (d *download) accept(res *http.Response) error {
	size := res.ContentLength
	switch encoding := res.Header.Get("Content-Encoding"); encoding {
	case "", "identity":
	case transferEncoding:
		if d.offset > 0 {
			return fmt.Errorf("%w: it sends a part of %s compressed", errRefused, d.name)
		}
		size = -1
		decoded, err := codec.NewReader(encoding, d.body)
		if err != nil {
			return err
		}
		d.body = &decodedBody{decoded, d.body}
	default:
		return fmt.Errorf("%w: it sends %s in the encoding %q, which nobody asked for", errRefused, d.name, encoding)
	}
	if res.StatusCode == http.StatusPartialContent {
		start, total, ok := parseContentRange(res.Header.Get("Content-Range"))
		if !ok || d.offset == 0 || start != d.offset || d.size >= 0 && total >= 0 && total != d.size {
			return fmt.Errorf("%w: it sends another part of %s than was asked for", errRefused, d.name)
		}
		return nil
	}
	if d.offset > 0 {
		// It knows no parts: skip what we have.
		if d.size >= 0 && size >= 0 && size != d.size {
			return fmt.Errorf("%w: %s has changed meanwhile", errRefused, d.name)
		}
		want := d.offset
		d.offset = 0
		for buf := make([]byte, 64<<10); d.offset < want; {
			n, err := d.read(buf[:min(int64(len(buf)), want-d.offset)])
			d.offset += int64(n)
			if err != nil && d.offset < want {
				d.offset = want
				return unexpected(err)
			}
		}
		return nil
	}
	d.size = size
	if tag := res.Header.Get("ETag"); strings.HasPrefix(tag, `"`) {
		d.tag = tag
	}
	return nil
}

// parseContentRange reads "bytes START-END/TOTAL"; total is -1 for *.
func parseContentRange(text string) (start, total int64, ok bool) {
	rest, ok := strings.CutPrefix(text, "bytes ")
	if !ok {
		return 0, 0, false
	}
	span, all, ok := strings.Cut(rest, "/")
	if !ok {
		return 0, 0, false
	}
	first, last, ok := strings.Cut(span, "-")
	if !ok {
		return 0, 0, false
	}
	start, err := strconv.ParseInt(first, 10, 64)
	end, err2 := strconv.ParseInt(last, 10, 64)
	if err != nil || err2 != nil || start < 0 || end < start {
		return 0, 0, false
	}
	if all == "*" {
		return start, -1, true
	}
	total, err = strconv.ParseInt(all, 10, 64)
	return start, total, err == nil && total > end
}

// Read implements io.Reader.
func (d *download) Read(p []byte) (int, error) {
	for d.err == nil {
		n, err := d.read(p)
		d.offset += int64(n)
		if d.size >= 0 && d.offset > d.size {
			err = fmt.Errorf("%w: it sends more of %s than it announced", errRefused, d.name)
		}
		switch {
		case err == nil:
			return n, nil
		case errors.Is(err, io.EOF) && (d.size < 0 || d.offset == d.size):
			d.err = io.EOF
		default:
			d.err = d.reconnect(unexpected(err))
		}
		if n > 0 {
			return n, nil
		}
	}
	return 0, d.err
}

// unexpected is what an end is that comes too early.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// reconnect goes on after an error, or gives the one that ends it.
func (d *download) reconnect(err error) error {
	d.drop()
	for {
		if d.ctx.Err() != nil {
			return d.ctx.Err()
		}
		if d.offset-d.mark >= progress {
			d.fails, d.mark = 0, d.offset
		}
		if d.fails++; d.fails >= attempts || !worthwhile(err) {
			return fmt.Errorf("cannot read %s/%s: %w", d.web, d.name, err)
		}
		if perr := pause(d.ctx, d.web.options.Pause<<d.fails); perr != nil {
			return perr
		}
		if err = d.connect(); err == nil {
			return nil
		}
	}
}

// read reads from the connection and ends it when nothing comes. Only the
// time that is spent here counts: who reads may be slow himself.
func (d *download) read(p []byte) (int, error) {
	stall := d.web.options.Stall
	cancel := d.cancel
	timer := time.AfterFunc(stall, func() { cancel(errStalled) })
	begun := time.Now()
	n, err := d.body.Read(p)
	if !timer.Stop() && err != nil {
		return n, errStalled
	}
	d.got += int64(n)
	if d.waited += time.Since(begun); d.waited > slowFor*stall {
		if float64(d.got) < slowest*d.waited.Seconds() && err == nil {
			err = errSlow
		}
		d.waited, d.got = 0, 0
	}
	return n, err
}

func (d *download) drop() {
	if d.body != nil {
		_ = d.body.Close() // only read
		d.cancel(nil)
		d.body = nil
	}
	d.waited, d.got = 0, 0
}

// Close implements io.Closer.
func (d *download) Close() error {
	d.drop()
	if d.err == nil {
		d.err = errors.New("the download is closed")
	}
	return nil
}

// decodedBody closes what it decodes, too.
type decodedBody struct {
	io.ReadCloser
	body io.Closer
}

func (b *decodedBody) Close() error {
	return errors.Join(b.ReadCloser.Close(), b.body.Close())
}
