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

// waitFor is how long an archive waits since anybody last asked for it. Two
// narinfos may tell of one archive, so it goes by time, not by use.
const waitFor = 30 * time.Minute

// uploads are archives whose narinfos have not come yet, by name. They lie in
// the lease's folder and go with it.
type uploads struct {
	mu    sync.Mutex
	files map[string]upload
	// recording is held while a realisation is compared and written.
	recording sync.Mutex
}

type upload struct {
	path string
	used time.Time
}

// put takes a file over; one of the same name is replaced.
func (u *uploads) put(name, path string) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.files == nil {
		u.files = make(map[string]upload)
	}
	old := u.files[name]
	u.files[name] = upload{path, time.Now()}
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
		u.files[name] = upload{file.path, time.Now()}
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

// sweep removes what waited too long.
func (u *uploads) sweep(older time.Duration) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	var errs []error
	for name, file := range u.files {
		if time.Since(file.used) >= older {
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
