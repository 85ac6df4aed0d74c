// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/spf13/pflag"
	"golang.org/x/term"

	"osbuild/runner"
	"osbuild/runner/spec"
)

// containerVerbs act on containers that run.
func containerVerbs() []verb {
	return []verb{
		{
			name: "ps", summary: "list the running containers",
			setup: func(*pflag.FlagSet) runFunc { return ps },
		},
		{
			name: "exec", args: "NAME or PID COMMAND…", summary: "run a program in a running container",
			help: `osbuild exec web /run/current-system/profile/bin/hello get http://127.0.0.1:8080/`,
			raw:  true, program: true,
			setup: func(fs *pflag.FlagSet) runFunc {
				var o execOptions
				fs.StringVar(&o.user, "user", "", "the user to run as (default: root)")
				fs.BoolVarP(&o.tty, "tty", "t", false, "give the program a terminal of its own")
				return o.run
			},
		},
		{
			name: "shell", args: "NAME or PID", summary: "a shell in a running container",
			program: true,
			setup:   func(*pflag.FlagSet) runFunc { return shell },
		},
		{
			name: "stop", args: "NAME or PID", summary: "power a container off",
			setup: func(fs *pflag.FlagSet) runFunc {
				grace := fs.Duration("grace", 10*time.Second, "how long the services may take")
				return func(ctx context.Context, _ *app, args []string) error {
					return withInstance(args, func(i runner.Instance) error { return i.Stop(ctx, *grace) })
				}
			},
		},
		{
			name: "wait", args: "NAME or PID", summary: "wait until a container has ended",
			setup: func(*pflag.FlagSet) runFunc {
				return func(ctx context.Context, _ *app, args []string) error {
					return withInstance(args, func(i runner.Instance) error { return i.Wait(ctx) })
				}
			},
		},
		{
			name: "rm", args: "NAME", summary: "remove what a container that ended left in the registry",
			setup: func(*pflag.FlagSet) runFunc {
				return func(_ context.Context, _ *app, args []string) error {
					return withInstance(args, runner.Instance.Remove)
				}
			},
		},
		{
			name: "logs", args: "NAME or PID", summary: "print a container's console",
			setup: func(*pflag.FlagSet) runFunc { return logs },
		},
		{
			name: "herd", args: "NAME or PID VERB [SERVICE [ARGUMENT…]]", summary: "see and steer the services of a container",
			help: `osbuild herd web status
osbuild herd web restart nginx
osbuild herd web logs nginx
osbuild herd web doc nginx
osbuild herd web reload nginx
verbs: status [SERVICE], start, stop, restart, enable, disable, logs, actions, configuration SERVICE,
doc SERVICE [ACTION], and the actions that a service has`,
			raw: true, program: true,
			setup: func(*pflag.FlagSet) runFunc { return herd },
		},
	}
}

func withInstance(args []string, act func(runner.Instance) error) error {
	if len(args) != 1 {
		return usagef("give the NAME or PID of one container; `osbuild ps` lists them")
	}
	i, err := runner.Find(runner.DefaultStateRoot(), args[0])
	if err != nil {
		return err
	}
	return act(i)
}

func ps(_ context.Context, a *app, args []string) error {
	if len(args) != 0 {
		return usagef("ps takes no arguments")
	}
	list, err := runner.List(runner.DefaultStateRoot())
	if err != nil {
		return err
	}
	if a.json {
		if list == nil {
			list = []runner.Instance{}
		}
		return a.printJSON(list)
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tPID\tSTARTED\tSYSTEM")
	for _, i := range list {
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\n", i.Name, i.PID, i.Started.Local().Format(time.DateTime), i.System)
	}
	return w.Flush()
}

// inside is the environment of programs that exec runs: what PID 1 has.
func inside() []string {
	env := []string{"HOME=/root", "PATH=/run/privileged/bin:/run/current-system/profile/bin:/usr/sbin:/usr/bin", "TMPDIR=/tmp"}
	if t := os.Getenv("TERM"); t != "" {
		env = append([]string{"TERM=" + t}, env...)
	}
	return env
}

func (a *app) enter(ctx context.Context, name string, p spec.Process, tty bool) error {
	return withInstance([]string{name}, func(i runner.Instance) error {
		p.Env = inside()
		run := func() error {
			exit, err := i.Exec(ctx, p, runner.Stdio{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}, tty)
			if err == nil && exit.Status() != 0 {
				err = exitError{code: exit.Status()}
			}
			return err
		}
		if tty {
			return a.inOrder(run) // the caller's terminal is put back
		}
		return run()
	})
}

type execOptions struct {
	user string
	tty  bool
}

func (o *execOptions) run(ctx context.Context, a *app, args []string) error {
	if len(args) < 2 {
		return usagef("exec: give the NAME or PID of a container, and a command")
	}
	return a.enter(ctx, args[0], spec.Process{Argv: args[1:], User: o.user}, o.tty)
}

// shell runs the first shell that the container has.
func shell(ctx context.Context, a *app, args []string) error {
	return withInstance(args, func(i runner.Instance) error {
		path, err := i.Shell()
		if err != nil {
			return err
		}
		return a.enter(ctx, i.Name, spec.Process{Argv: []string{path}}, term.IsTerminal(int(os.Stdin.Fd())))
	})
}

func herd(ctx context.Context, a *app, args []string) error {
	if len(args) < 2 {
		return usagef("herd: give the NAME or PID of a container, and a verb such as status")
	}
	return withInstance(args[:1], func(i runner.Instance) error {
		argv := []string{"/proc/1/exe", "herd"}
		if a.json {
			argv = append(argv, "--json")
		}
		argv = append(argv, args[1:]...)
		return a.enter(ctx, i.Name, spec.Process{Argv: argv}, false)
	})
}

func logs(_ context.Context, a *app, args []string) error {
	return withInstance(args, func(i runner.Instance) error {
		f, err := os.Open(i.ConsoleLog())
		if err != nil {
			return fmt.Errorf("cannot read the console of %s: %w", i.Name, err)
		}
		defer f.Close()
		if out, ok := a.stdout.(*os.File); ok && term.IsTerminal(int(out.Fd())) {
			return copyHarmless(out, f)
		}
		_, err = io.Copy(a.stdout, f)
		return err
	})
}

// copyHarmless copies lines without their control characters: what programs in
// a container print shall not steer the terminal of who reads it.
func copyHarmless(w io.Writer, r io.Reader) error {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadString('\n')
		line = strings.Map(func(c rune) rune {
			if unicode.IsControl(c) && c != '\n' && c != '\t' {
				return '\uFFFD'
			}
			return c
		}, line)
		if _, werr := io.WriteString(w, line); werr != nil {
			return werr
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
