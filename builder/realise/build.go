// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package realise

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"osbuild/builder/derivation"
	"osbuild/store"
)

// build is one derivation whose inputs are there.
type build struct {
	s        *session
	key      derivation.Key
	drv      *derivation.Derivation
	resolved *derivation.Derivation
	// rkey is the key of resolved.
	rkey derivation.Key
}

func (b *build) event(e Event) {
	e.Name, e.Key = b.drv.Name, b.key
	if e.Builder == "" {
		e.Builder = b.drv.Builder
	}
	b.s.event(e)
}

// obtain gets the outputs, and tells of a download.
func (b *build) obtain() (outputs, error) {
	d := b.downloader()
	if d == nil {
		return b.substituteOrMake()
	}
	b.s.downloaded.Store(true)
	total := d.DownloadSize(b.resolved)
	b.event(Event{Kind: EventQueued, Total: total})
	outs, err := b.substituteOrMake()
	settled := Event{Kind: EventSettled, Total: total}
	if err == nil {
		settled.Done = total
	}
	b.event(settled)
	return outs, err
}

// substituteOrMake fetches or builds the outputs, unless another process does
// so first.
func (b *build) substituteOrMake() (outputs, error) {
	var outs outputs
	end, err := b.begin(func() (done bool, err error) {
		// Whoever had the lock may have made just this.
		outs, err = b.s.realisation(b)
		return outs != nil, err
	})
	if end == nil {
		return outs, err
	}
	defer end()
	outs, err = b.substitute()
	if outs != nil || err != nil {
		return outs, err
	}
	return b.make()
}

// begin waits for a slot, and until nobody else builds the same thing. What is
// locked is built at once, where that is possible: of two processes with the
// same work each does a part of it. Where done says, under the lock, that
// nothing is to be done any more, end is nil, and err too.
func (b *build) begin(done func() (bool, error)) (end func(), err error) {
	release, err := b.slot()
	if err != nil {
		return nil, err
	}
	lock, err := b.s.Store.TryLock(b.lockName())
	if err != nil {
		release()
		return nil, fmt.Errorf("cannot lock the build of %q: %w", b.drv.Name, err)
	}
	waited := lock == nil
	if waited {
		release() // for others meanwhile
		release = func() {}
		if lock, err = b.awaitLock(); err != nil {
			return nil, err
		}
	}
	end = func() {
		release()
		_ = lock.Unlock() // closes a file that nothing was written to
	}
	over, err := done()
	if err == nil && !over && waited {
		var again func()
		if again, err = b.slot(); err == nil {
			release = again
		}
	}
	if err != nil || over {
		end()
		return nil, err
	}
	return end, nil
}

// slot waits for the right to build this.
func (b *build) slot() (release func(), err error) {
	if d := b.downloader(); d != nil {
		return b.s.downloads.take(b.s.ctx, d.DownloadSize(b.drv))
	}
	return b.s.slot()
}

// downloader gives the builtin that builds this, if it is a [Downloader].
func (b *build) downloader() Downloader {
	d, _ := b.s.builtin(b.drv).(Downloader)
	return d
}

func (b *build) lockName() string { return "drv-" + string(b.rkey) }

// patience is how long a build waits for another one before it says so.
const patience = time.Second

func (b *build) awaitLock() (*store.Lock, error) {
	soon, cancel := context.WithTimeout(b.s.ctx, patience)
	defer cancel()
	lock, _, err := b.s.Store.Lock(soon, b.lockName())
	if err != nil && soon.Err() != nil && b.s.ctx.Err() == nil {
		b.event(Event{Kind: EventWaiting})
		lock, _, err = b.s.Store.Lock(b.s.ctx, b.lockName())
	}
	if ctxErr := b.s.ctx.Err(); err != nil && ctxErr != nil {
		return nil, ctxErr
	}
	if err != nil {
		return nil, fmt.Errorf("cannot lock the build of %q: %w", b.drv.Name, err)
	}
	return lock, nil
}

// substitute asks the substituters for the outputs; nil means that none has
// them all.
func (b *build) substitute() (outputs, error) {
	if b.s.locations.failed(b.key) {
		return nil, nil
	}
	for _, sub := range b.s.Substituters {
		outs, err := b.substituteFrom(sub)
		if err != nil {
			return nil, err
		}
		if outs != nil {
			return b.s.register(b, outs, true)
		}
	}
	return nil, nil
}

func (b *build) substituteFrom(sub Substituter) (outputs, error) {
	outs := outputs{}
	if b.drv.Fixed != nil {
		p, err := fixedPath(b.drv)
		if err != nil {
			return nil, err
		}
		outs["out"] = p
	} else {
		var err error
		if outs, err = b.askFor(sub); outs == nil || err != nil {
			return nil, err
		}
	}
	for _, o := range b.drv.Outputs {
		ok, err := b.s.fetch(sub, outs[o], b.key)
		if !ok || err != nil {
			return nil, err
		}
	}
	return outs, nil
}

// make builds the outputs, puts them into the store and records them.
func (b *build) make() (outputs, error) {
	start := time.Now()
	b.event(Event{Kind: EventStart})
	outs, err := b.attempt((*attempt).keepOutputs)
	if err == nil {
		outs, err = b.s.register(b, outs, false)
	}
	if err != nil {
		b.event(Event{Kind: EventFailed, Duration: time.Since(start), Detail: firstLine(err)})
		return nil, err
	}
	b.event(Event{Kind: EventDone, Duration: time.Since(start)})
	return outs, nil
}

// attempt builds in a folder of its own, gives what the builder made to use,
// and leaves nothing of the folder unless it is to be kept.
func (b *build) attempt(use func(*attempt) (outputs, error)) (outputs, error) {
	a, err := b.prepare()
	if err != nil {
		return nil, b.s.buildError(b.key, b.drv, err)
	}
	outs, err := outputs(nil), a.run()
	if err == nil {
		outs, err = use(a)
	}
	if logErr := a.log.Close(); err == nil && logErr != nil {
		err = fmt.Errorf("cannot write the log: %w", logErr)
	}
	if err != nil && b.s.ctx.Err() != nil {
		a.remove()
		return nil, b.s.ctx.Err()
	}
	if err != nil {
		return nil, a.fail(err)
	}
	return outs, a.remove()
}

// buildError wraps a reason that has nothing to do with a builder's run.
func (s *session) buildError(k derivation.Key, d *derivation.Derivation, cause error) error {
	e := &BuildError{Name: d.Name, Key: k, Pos: d.Pos, Cause: cause}
	if errors.Is(cause, unix.ENOSPC) {
		e.Hint = s.fullDiskHint()
	}
	return e
}

func (s *session) fullDiskHint() string {
	return fmt.Sprintf("the disk of %s is full: free some space, for example with `osbuild store gc`", s.Store.Root())
}
