// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"
)

const (
	// waitFor is how long an archive waits since anybody last asked for it.
	// Two narinfos may tell of one archive, so it goes by time, not by use.
	// One of which no narinfo came yet also waits for as long since anybody
	// uploaded: a push sends all its archives first, however long that takes.
	waitFor = 30 * time.Minute
	// waitMost is how long it waits where others upload all the time.
	waitMost = 24 * time.Hour
)

// uploads are archives whose narinfos have not come yet, by name. They lie in
// the lease's folder and go with it.
type uploads struct {
	mu    sync.Mutex
	files map[string]upload
	// active uploads are under way, and the last one ended at this time.
	active int
	ended  time.Time
	// recording is held while a realisation is compared and written.
	recording sync.Mutex
}

type upload struct {
	path  string
	used  time.Time
	taken bool // an item was made of it
}

// begin notes that an upload is under way, until end is called.
func (u *uploads) begin() (end func()) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.active++
	return func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		u.active--
		u.ended = time.Now()
	}
}

// put takes a file over; one of the same name is replaced.
func (u *uploads) put(name, path string) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.files == nil {
		u.files = make(map[string]upload)
	}
	old := u.files[name]
	u.files[name] = upload{path: path, used: time.Now()}
	if old.path == "" {
		return nil
	}
	return os.Remove(old.path)
}

func (u *uploads) has(name string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	file, ok := u.files[name]
	if ok {
		file.used = time.Now()
		u.files[name] = file
	}
	return ok
}

// open opens a file, which may go meanwhile: who has it open reads on.
func (u *uploads) open(name string) (*os.File, error) {
	if !u.has(name) {
		return nil, os.ErrNotExist
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return os.Open(u.files[name].path)
}

// take notes that an item was made of a file.
func (u *uploads) take(name string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if file, ok := u.files[name]; ok {
		file.taken = true
		u.files[name] = file
	}
}

// drop removes a file.
func (u *uploads) drop(name string) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	file, ok := u.files[name]
	if !ok {
		return nil
	}
	delete(u.files, name)
	return os.Remove(file.path)
}

// sweep removes what waited too long.
func (u *uploads) sweep(older time.Duration) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	var errs []error
	busy := older > 0 && (u.active > 0 || time.Since(u.ended) < older)
	for name, file := range u.files {
		if idle := time.Since(file.used); idle >= older && (file.taken || !busy) || idle >= waitMost {
			errs = append(errs, os.Remove(file.path))
			delete(u.files, name)
		}
	}
	return errors.Join(errs...)
}

func (u *uploads) clear() error { return u.sweep(0) }

// sweepNowAndThen sweeps until ctx ends; the function waits for that.
func (u *uploads) sweepNowAndThen(ctx context.Context) (end func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-ctx.Done():
				return
			case <-time.After(time.Minute):
				_ = u.sweep(waitFor) // what is left goes with the lease
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}
