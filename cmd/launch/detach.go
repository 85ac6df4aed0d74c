// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"

	"osbuild/runner"
)

// readyFD names the descriptor by which a runner in the background tells its
// starter how it goes: lines of messages, then `OSBUILD-READY NAME`.
const readyFD = "OSBUILD_READY_FD"

const readyLine = "OSBUILD-READY "

// Detach runs this program again in the background, with these arguments but
// --detach, and returns the container's name once its services have started
// or failed. That process then owns the container and lives as long as it.
// What it has to say until then goes to stderr. Where it ends before the
// container was ready, status is how. When ctx ends before, it is told to
// power the container off.
func Detach(ctx context.Context, args []string, stderr io.Writer) (name string, status int, err error) {
	fail := func(err error) (string, int, error) {
		return "", 0, fmt.Errorf("cannot go to the background: %w", err)
	}
	self, err := os.Executable()
	if err != nil {
		return fail(err)
	}
	read, write, err := os.Pipe()
	if err != nil {
		return fail(err)
	}
	defer read.Close()
	cmd := exec.Command(self, withoutDetach(args)...)
	cmd.Env = append(os.Environ(), readyFD+"=3")
	cmd.ExtraFiles = []*os.File{write}
	// A session of its own: the terminal's end and its Ctrl-C are not for it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	write.Close()
	if err != nil {
		return fail(err)
	}
	defer context.AfterFunc(ctx, func() { _ = cmd.Process.Signal(syscall.SIGTERM) })() // it may have ended
	lines := bufio.NewScanner(read)
	for lines.Scan() {
		if name, ok := strings.CutPrefix(lines.Text(), readyLine); ok {
			return name, 0, cmd.Process.Release()
		}
		fmt.Fprintln(stderr, lines.Text())
	}
	err = cmd.Wait()
	if status := cmd.ProcessState.ExitCode(); status > 0 {
		return "", status, nil
	}
	if ctx.Err() != nil {
		return fail(ctx.Err())
	}
	return fail(errors.Join(errors.New("the runner ended before the container was ready"), err))
}

// withoutDetach leaves out --detach, so that the process in the background
// does not go there again.
func withoutDetach(args []string) []string {
	return slices.DeleteFunc(slices.Clone(args), func(a string) bool {
		return a == "--detach" || strings.HasPrefix(a, "--detach=")
	})
}

// Reporter tells the starter of a runner in the background how it goes.
type Reporter struct{ pipe *os.File }

// Background gives the reporter of a process that [Detach] started, and nil in
// any other.
func Background() *Reporter {
	if os.Getenv(readyFD) != "3" {
		return nil
	}
	_ = os.Unsetenv(readyFD)
	syscall.CloseOnExec(3)
	return &Reporter{os.NewFile(3, "ready")}
}

// Attach makes a start use the reporter: nothing is left of the terminal.
func (r *Reporter) Attach(o *runner.Options) {
	o.Stdin, o.Stdout, o.Stderr = nil, nil, nil
	o.Ready = func(name string) {
		fmt.Fprintln(r, readyLine+name)
		r.pipe.Close()
		r.pipe = nil
	}
}

// Write passes a message on, as long as the starter listens.
func (r *Reporter) Write(text []byte) (int, error) {
	if r.pipe != nil {
		_, _ = r.pipe.Write(text)
	}
	return len(text), nil
}
