// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package apt

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"strings"
	"time"
)

// place is where a file may be.
type place struct {
	mirror mirror
	name   string
}

func (p place) String() string { return p.mirror.base.String() + p.name }

// transfer is one file on its way: its size and hash are known.
type transfer struct {
	host *Host
	what string // for the progress
	want sum
	to   io.Writer

	hash hash.Hash
	done int64
}

// rewinder is a writer that can begin anew, such as an [os.File].
type rewinder interface {
	io.Seeker
	Truncate(size int64) error
}

// sinkError is the error of the writer: no other mirror will help.
type sinkError struct{ error }

func (e sinkError) Unwrap() error { return e.error }

// run asks the places in their order until one gave the file. Where a
// connection breaks, the next one goes on from there.
func (t *transfer) run(ctx context.Context, places []place) error {
	t.hash = sha256.New()
	var errs []error
	for _, p := range places {
		begun := t.done > 0
		err := t.from(ctx, p)
		if begun && errors.Is(err, ErrMismatch) && t.rewind() {
			// What another place began may be what is wrong.
			err = t.from(ctx, p)
		}
		if err == nil {
			return nil
		}
		var sink sinkError
		if errors.As(err, &sink) {
			return sink.error
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		errs = append(errs, fmt.Errorf("%s: %w", p, err))
		if t.done == t.want.size && !t.rewind() {
			break
		}
	}
	return joinPlaces(errs)
}

// from gets what is missing from one place, and checks the whole.
func (t *transfer) from(ctx context.Context, p place) error {
	if err := t.host.retry(ctx, func() error { return t.attempt(ctx, p) }); err != nil {
		return err
	}
	if got := hex.EncodeToString(t.hash.Sum(nil)); got != t.want.sha256 {
		return fmt.Errorf("%w: its SHA256 is %s, not %s", ErrMismatch, got, t.want.sha256)
	}
	return nil
}

// rewind begins anew after wrong bytes, if the writer can.
func (t *transfer) rewind() bool {
	if t.done == 0 {
		return true
	}
	r, ok := t.to.(rewinder)
	if !ok || r.Truncate(0) != nil {
		return false
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return false
	}
	t.done = 0
	t.hash.Reset()
	return true
}

// attempt gets what is still missing from one place.
func (t *transfer) attempt(ctx context.Context, p place) error {
	a, err := t.host.ask(ctx, query{mirror: p.mirror, name: p.name, from: t.done})
	if err != nil {
		return err
	}
	defer a.body.Close()
	if a.size >= 0 && a.size != t.want.size {
		return refuse("%w: it has %d bytes, not %d", ErrMismatch, a.size, t.want.size)
	}
	if _, err := io.CopyN(io.Discard, a.body, t.done-a.from); err != nil {
		return cutOff(err)
	}
	buf := make([]byte, 64<<10)
	for {
		n, err := a.body.Read(buf)
		if int64(n) > t.want.size-t.done {
			return refuse("%w: it has more than %d bytes", ErrMismatch, t.want.size)
		}
		if n > 0 {
			if _, err := t.to.Write(buf[:n]); err != nil {
				return sinkError{err}
			}
			t.hash.Write(buf[:n])
			t.done += int64(n)
			t.host.cfg.Progress(t.what, t.done, t.want.size)
		}
		if errors.Is(err, io.EOF) && t.done == t.want.size {
			return nil
		}
		if err != nil {
			return cutOff(err)
		}
	}
}

// cutOff says what an early end is.
func cutOff(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it is cut off", ErrMismatch)
	}
	return err
}

// retry does something again that failed for a reason that may pass.
func (h *Host) retry(ctx context.Context, f func() error) error {
	for n := 1; ; n++ {
		err := f()
		var sink sinkError
		if err == nil || n == attempts || errors.Is(err, errNotFound) || refused(err) ||
			errors.Is(err, ErrOffline) || errors.As(err, &sink) || ctx.Err() != nil {
			return err
		}
		if h.pause(ctx, time.Duration(n*n)*300*time.Millisecond) != nil {
			return err
		}
	}
}

// small gets a file of which only the greatest size is known.
func (h *Host) small(ctx context.Context, q query, limit int64) (data []byte, a *answer, err error) {
	err = h.retry(ctx, func() error {
		if a, err = h.ask(ctx, q); err != nil || a.same {
			return err
		}
		defer a.body.Close()
		if data, err = io.ReadAll(io.LimitReader(a.body, limit+1)); err != nil {
			return cutOff(err)
		}
		if int64(len(data)) > limit {
			return refuse("it has more than %d bytes", limit)
		}
		return nil
	})
	return data, a, err
}

// joinPlaces makes one error of those of all places. That a place does not
// have the file is not told where another has something worse to say, so the
// error is errNotFound only if every place says so; it is ErrOffline or
// ErrNetwork only if no place said anything else that counts.
func joinPlaces(errs []error) error {
	is := func(kinds ...error) func(error) bool {
		return func(err error) bool {
			return slices.ContainsFunc(kinds, func(kind error) bool { return errors.Is(err, kind) })
		}
	}
	told := errs
	for _, less := range [][]error{{errNotFound}, {errNotFound, ErrOffline, ErrNetwork}} {
		rest := slices.DeleteFunc(slices.Clone(errs), is(less...))
		if len(rest) > 0 {
			told = rest
		}
	}
	words := make([]string, len(told))
	for i, err := range told {
		words[i] = err.Error()
	}
	return placesError{strings.Join(slices.Compact(words), "; "), told}
}

// placesError is what is told of all places.
type placesError struct {
	text string
	errs []error
}

func (e placesError) Error() string   { return e.text }
func (e placesError) Unwrap() []error { return e.errs }
