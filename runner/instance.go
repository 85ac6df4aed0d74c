// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// open gets a handle of a process that is still the one with that start time.
func open(pid int, start uint64) (int, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return -1, err
	}
	// The PID may have passed to another process before the handle was opened,
	// but not after.
	if startTime(pid) != start {
		unix.Close(fd)
		return -1, unix.ESRCH
	}
	return fd, nil
}

// open gets a handle of the container's PID 1.
func (i Instance) open() (int, error) {
	fd, err := open(i.PID, i.PIDStart)
	if errors.Is(err, unix.ESRCH) || i.BootID != bootID() {
		if err == nil {
			unix.Close(fd)
		}
		return -1, fmt.Errorf("container %s has ended: %w", i.Name, ErrNotFound)
	}
	if err != nil {
		return -1, fmt.Errorf("cannot reach container %s: %w", i.Name, err)
	}
	return fd, nil
}

// Stop powers the container off in order. What has not ended after grace is
// killed. It returns when the container is gone.
func (i Instance) Stop(ctx context.Context, grace time.Duration) error {
	pid1, err := i.open()
	if err != nil {
		return err
	}
	defer unix.Close(pid1)
	owner, err := open(i.Runner, i.RunnerStart)
	if err != nil {
		// Without its runner the container is ending already.
		return awaitEnd(ctx, pid1)
	}
	defer unix.Close(owner)
	if err := unix.PidfdSendSignal(owner, unix.SIGTERM, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("cannot stop container %s: %w", i.Name, err)
	}
	patience, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	if err := awaitEnd(patience, pid1); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := unix.PidfdSendSignal(pid1, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("cannot kill container %s: %w", i.Name, err)
		}
	}
	// The runner gives the name back last.
	return awaitEnd(ctx, owner)
}

// Wait returns when the container has ended.
func (i Instance) Wait(ctx context.Context) error {
	pid1, err := i.open()
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(pid1)
	return awaitEnd(ctx, pid1)
}

// awaitEnd waits until the process of a handle has ended. It looks up now and
// then, because poll(2) knows nothing of ctx.
func awaitEnd(ctx context.Context, pidfd int) error {
	const patience = 100 // milliseconds
	for {
		fds := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, patience)
		if n > 0 {
			return nil
		}
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("cannot wait for the container: %w", err)
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}
