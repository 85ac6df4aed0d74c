// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// sameWish is for how long signals are the same wish: some wrappers send
	// each one twice.
	sameWish = 200 * time.Millisecond
	// lastWords is how long the last words may take, where nobody reads them.
	lastWords = 100 * time.Millisecond
	// orderly is how long a verb may take at a second signal that sees to it
	// itself.
	orderly = 10 * time.Second
)

// heed gives a context that the first signal ends, so that a verb cleans up
// after itself. The second one ends the program as if nobody had heard the
// first. What is left behind is no more than after a crash.
func (a *app) heed(parent context.Context) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	over := make(chan struct{})
	go func() {
		var first time.Time
		for {
			select {
			case <-over:
				return
			case s := <-signals:
				if first.IsZero() {
					first = time.Now()
					cancel(wish{s.(syscall.Signal)})
				} else if time.Since(first) >= sameWish {
					a.endBy(s.(syscall.Signal))
				}
			}
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(over)
		cancel(nil)
	}
}

// wish is the cause of a context that a signal has ended.
type wish struct{ syscall.Signal }

func (w wish) Error() string { return "interrupted (" + w.Signal.String() + ")" }

// Is makes it a context.Canceled.
func (w wish) Is(target error) bool { return target == context.Canceled }

// endBy ends the program by a signal.
func (a *app) endBy(s syscall.Signal) {
	if a.ordered.Load() {
		time.AfterFunc(orderly, func() { dieOf(s) })
		return
	}
	time.AfterFunc(lastWords, func() { dieOf(s) })
	a.status.print(a.stderr, "osbuild: ended by a second signal\n")
	dieOf(s)
}

// dieOf ends the program as the signal does by default, so that the shell
// knows; or with its status, where the signal is ignored by default or this is
// the first process of a PID namespace.
func dieOf(s syscall.Signal) {
	signal.Reset(s)
	if err := unix.Kill(os.Getpid(), s); err == nil {
		time.Sleep(lastWords)
	}
	os.Exit(128 + int(s))
}

// inOrder calls what sees to a second signal itself, and has something to take
// away then that would be left behind otherwise: an entry in the registry, a
// control group, the mode of a terminal.
func (a *app) inOrder(f func() error) error {
	a.ordered.Store(true)
	defer a.ordered.Store(false)
	return f()
}
