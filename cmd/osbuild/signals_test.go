// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"io"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// TestHeed holds that the first signal ends the context and nothing else, and
// that errors tell of it.
func TestHeed(t *testing.T) {
	ctx, stop := newApp(io.Discard, io.Discard).heed(t.Context())
	defer stop()
	if ctx.Err() != nil {
		t.Fatal("it has ended before")
	}
	if err := unix.Kill(os.Getpid(), unix.SIGHUP); err != nil {
		t.Fatal(err)
	}
	<-ctx.Done()
	cause := context.Cause(ctx)
	if !errors.Is(cause, context.Canceled) || cause.Error() != "interrupted (hangup)" {
		t.Errorf("%v", cause)
	}
}
