// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"time"
	"unicode"

	"golang.org/x/sys/unix"

	"osbuild/runner/spec"
)

// defaultWait is how long a command waits for the services.
const defaultWait = 30 * time.Second

// Run boots a system and returns when its container has ended. An interrupt, a
// hang-up or the end of ctx powers the container off in order; a second signal
// kills it. The container never outlives this process.
func Run(ctx context.Context, o Options) (spec.Exit, error) {
	began := time.Now()
	if o.Message == nil {
		o.Message = func(string) {}
	}
	if o.StateRoot == "" {
		o.StateRoot = DefaultStateRoot()
	}
	if o.Wait == 0 {
		o.Wait = defaultWait
	}
	p, err := prepare(ctx, o, false)
	if err != nil {
		return spec.Exit{}, err
	}
	defer p.close()
	ports, err := listen(o.Publish)
	if err != nil {
		return spec.Exit{}, err
	}
	defer ports.close()
	for _, w := range p.warnings {
		o.Message("warning: " + w)
	}
	err = os.MkdirAll(o.StateRoot, 0o700)
	switch {
	case err == nil:
		err = checkOwner(o.StateRoot)
	case os.Getenv("XDG_RUNTIME_DIR") != "":
		err = fmt.Errorf("%w; set XDG_RUNTIME_DIR to a folder of your own, or unset it", err)
	}
	var entry *claimed
	if err == nil {
		entry, err = claimNew(filepath.Join(o.StateRoot, "containers"), o.Name, o.Container.HostName)
	}
	if err != nil {
		return spec.Exit{}, fmt.Errorf("cannot start the container: %w", err)
	}
	// From here on a signal is a wish to end in order.
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	defer signal.Stop(signals)
	c := &container{o: o, prepared: p, ports: ports, entry: entry, began: began}
	c.leaveGroup() // a killed runner may have left one
	exit, err := c.run(ctx, signals)
	c.leaveGroup()
	if errors.Is(err, ErrBoot) {
		// What it printed is worth more than a clean registry.
		entry.lock.Close()
		return exit, fmt.Errorf("%w\nits console: %s", err, filepath.Join(entry.dir, consoleFile))
	}
	return exit, errors.Join(err, entry.remove())
}

// container is one container during its life.
type container struct {
	o Options
	*prepared
	ports *ports
	entry *claimed
	// instance is what the registry says.
	instance Instance
	process  *process
	control  *control
	// group is its control group on the host, nil if it has none of its own.
	group *os.File
	// off is closed when the power-off has been ordered.
	off   chan struct{}
	order sync.Once
	// began is when the runner was asked to start it.
	began time.Time
}

// run starts the container, sees to its command and waits for its end.
func (c *container) run(ctx context.Context, signals <-chan os.Signal) (spec.Exit, error) {
	err := c.controlGroup()
	if c.group != nil {
		defer c.group.Close()
	}
	if err == nil {
		err = c.start(ctx)
	}
	if err != nil {
		return spec.Exit{}, err
	}
	defer c.process.close()
	defer c.process.kill()
	defer c.control.close()
	c.ports.serve()
	if err := c.announce(); err != nil {
		return spec.Exit{}, err
	}
	if c.o.PIDFile != "" {
		defer os.Remove(c.o.PIDFile)
	}
	c.off = make(chan struct{})
	relayed := make(chan struct{})
	go func() {
		defer close(relayed)
		c.relay(ctx, signals)
	}()
	exit, err := c.live(ctx)
	<-relayed
	return exit, err
}

// start makes the process that becomes PID 1.
func (c *container) start(ctx context.Context) error {
	console, err := os.OpenFile(filepath.Join(c.entry.dir, consoleFile), os.O_CREATE|os.O_WRONLY|os.O_APPEND|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("cannot start the container: %w", err)
	}
	defer console.Close()
	own := Stdio{In: c.o.Stdin, Out: c.o.Stdout, Err: c.o.Stderr}
	if len(c.o.Command) == 0 || c.onTerminal() {
		// PID 1 has nobody to hand them to, and what it holds anybody with root
		// in the container can use: a terminal, to read what the user types.
		own = Stdio{Err: console}
	}
	files, done, err := own.files()
	if err != nil {
		return fmt.Errorf("cannot start the container: %w", err)
	}
	defer done()
	ctl, theirs, err := newControl()
	if err != nil {
		return err
	}
	defer theirs.Close()
	files = append(files, theirs, console) // spec.ControlFD, spec.ConsoleFD
	if c.ports.theirs != nil {
		files = append(files, c.ports.theirs) // spec.PublishFD
	}
	c.process, err = c.laid.start(ctx, &job{
		ids: c.who.ids, userNS: c.who.userNS, namespaces: c.namespaces,
		hostName: c.o.Container.HostName, group: c.group, files: files, argv: c.argv, env: c.env, dir: "/",
	}, c.o.Message)
	if err != nil {
		ctl.close()
		return err
	}
	c.control = ctl
	<-c.process.settled
	if c.process.failure != nil {
		c.process.kill()
		c.process.close()
		ctl.close()
		// A PID 1 that cannot be executed is no command of the caller's.
		return fmt.Errorf("%w: %s", ErrBoot, c.process.failure)
	}
	return nil
}

// announce registers the container and tells how to get into it.
func (c *container) announce() error {
	pid := c.process.pid
	name := c.entry.name
	c.instance = Instance{
		Name: name, PID: pid, Runner: os.Getpid(), PIDStart: startTime(pid), RunnerStart: startTime(os.Getpid()),
		BootID: bootID(), Group: c.groupDir(), Published: c.ports.published(), System: c.o.System, Started: time.Now(), FirstID: c.who.base(), IDs: c.count, dir: c.entry.dir,
	}
	if err := c.entry.describe(c.instance); err != nil {
		return fmt.Errorf("cannot register the container: %w", err)
	}
	if c.o.PIDFile != "" {
		if err := writeFile(c.o.PIDFile, fmt.Appendf(nil, "%d\n", pid), 0o644); err != nil {
			return fmt.Errorf("cannot write the PID to %s: %w", c.o.PIDFile, cause(err))
		}
	}
	c.o.Message(fmt.Sprintf("container %s is running as PID %d", name, pid))
	for _, p := range c.ports.ports {
		c.o.Message(fmt.Sprintf("%s of the host leads to its port %d", p.Host, p.Container))
	}
	program, what := "PROGRAM", "run a program in it; it has no shell"
	if path, err := c.instance.shellIn(c.o.System + "/profile/bin"); err == nil {
		program, what = path, "get a shell in it"
	}
	c.o.Message(fmt.Sprintf("'osbuild exec %s %s' or 'nsenter %s -t %d %s' to %s", name, program, nsenter(c.namespaces), pid, program, what))
	return nil
}

// relay turns signals and the end of ctx into a power-off, until the container
// has ended.
func (c *container) relay(ctx context.Context, signals <-chan os.Signal) {
	done := ctx.Done()
	count := 0
	for {
		select {
		case <-c.process.ended:
			return
		case <-done:
			// A signal often ends ctx as well; that is the same wish.
			done = nil
			c.powerOff()
		case <-signals:
			if count++; count > 1 {
				_ = c.process.signal(unix.SIGKILL)
				continue
			}
			c.o.Message("powering off; once more to kill")
			c.powerOff()
		}
	}
}

// powerOff orders the end, once. Where PID 1 does not listen, it gets SIGTERM.
func (c *container) powerOff() {
	c.order.Do(func() {
		close(c.off)
		go func() {
			_, err := c.control.ask(context.Background(), spec.Request{Op: spec.OpPowerOff})
			if err != nil && !errors.Is(err, errGone) {
				_ = c.process.signal(unix.SIGTERM)
			}
		}()
	})
}

// live is what happens between the boot and the end.
func (c *container) live(ctx context.Context) (spec.Exit, error) {
	if len(c.o.Command) == 0 {
		settled := make(chan struct{})
		go func() {
			defer close(settled)
			if _, err := c.settle(ctx); err != nil && !errors.Is(err, errGone) && ctx.Err() == nil {
				c.o.Message("warning: " + err.Error())
			}
		}()
		exit, err := c.process.wait()
		c.control.close()
		<-settled
		return exit, err
	}
	reply, err := c.command(ctx)
	interrupted := ctx.Err() != nil
	select {
	case <-c.off:
		interrupted = true
	default:
	}
	switch {
	case err == nil && reply.Exit == nil:
		err = errors.New("cannot tell how the command ended: PID 1 did not say")
	case err != nil && interrupted:
		// The user did not wait for the command; that is no failure of ours.
		err, reply.Exit = nil, &spec.Exit{Signal: int(unix.SIGINT)}
	case errors.Is(err, errGone):
		exit, werr := c.process.wait()
		if werr == nil {
			werr = fmt.Errorf("%w: PID 1 ended with status %d before the command did", ErrBoot, exit.Status())
		}
		return exit, werr
	}
	// Also after an error: the services get their ordered stop.
	c.powerOff()
	if _, werr := c.process.wait(); werr != nil || err != nil {
		return spec.Exit{}, errors.Join(err, werr)
	}
	return *reply.Exit, nil
}

// settle waits until the services have started or failed, and says which
// failed.
func (c *container) settle(ctx context.Context) (spec.Reply, error) {
	reply, err := c.control.ask(ctx, spec.Request{Op: spec.OpWait, TimeoutMS: int(c.o.Wait.Milliseconds())})
	if err != nil {
		return reply, err
	}
	for _, s := range reply.Activation {
		verb := "failed"
		switch {
		case s.Skipped:
			verb = "was skipped"
		case s.Warning:
			verb = "was not done as declared"
		}
		c.warn("activation step %s/%s %s: %s", s.Phase, s.Name, verb, s.Reason)
	}
	up := 0
	for _, s := range reply.Services {
		switch {
		case s.State == spec.StateFailed:
			c.warn("service %s failed: %s", s.Name, s.Reason)
			c.explain(s)
		case reply.TimedOut && s.AutoStart && (s.State == spec.StateStarting || s.State == spec.StateStopped):
			c.warn("service %s is %s after %s: %s", s.Name, s.State, c.o.Wait, cmp.Or(s.Reason, "it has not started"))
			c.explain(s)
		case s.State == spec.StateRunning || s.State == spec.StateDone:
			up++
			for _, w := range s.Warnings {
				c.warn("service %s: %s", s.Name, w)
			}
		}
	}
	c.o.Message(fmt.Sprintf("ready after %.1f ms: %d services", float64(time.Since(c.began).Microseconds())/1000, up))
	if c.o.Ready != nil {
		c.o.Ready(c.entry.name)
	}
	return reply, nil
}

// warn tells the user something in words that come from the container, which
// must not reach a terminal as control characters.
func (c *container) warn(format string, args ...any) {
	c.o.Message("warning: " + harmless(fmt.Sprintf(format, args...)))
}

// explain adds to the warning about a service what it wrote last and what to do
// about it.
func (c *container) explain(s spec.ServiceStatus) {
	for _, line := range s.Log {
		c.o.Message("  " + harmless(s.Name+"| "+line))
	}
	if s.Next != "" {
		c.o.Message("  next: " + harmless(s.Next))
	}
}

// harmless replaces control characters.
func harmless(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return '\uFFFD'
		}
		return r
	}, text)
}

// onTerminal says whether the command gets a terminal of the container's.
func (c *container) onTerminal() bool { return isTerminal(c.o.Stdin) && isTerminal(c.o.Stdout) }

// command waits for the services and runs the command in the container.
func (c *container) command(ctx context.Context) (spec.Reply, error) {
	if reply, err := c.settle(ctx); err != nil {
		return reply, err
	}
	argv, err := findProgram(c.process.pid, c.o.Command, c.env)
	if err != nil {
		return spec.Reply{}, err
	}
	env := c.env
	if t := os.Getenv("TERM"); t != "" {
		env = append([]string{"TERM=" + t}, env...)
	}
	p := spec.Process{Argv: argv, Env: env, Directory: "/root"}
	if c.onTerminal() {
		// Somebody sits there: give the command a terminal of the container,
		// with job control, instead of the descriptors that PID 1 holds.
		exit, err := c.instance.Exec(ctx, p, Stdio{In: c.o.Stdin, Out: c.o.Stdout, Err: c.o.Stderr}, true)
		return spec.Reply{Exit: &exit}, err
	}
	reply, err := c.control.ask(ctx, spec.Request{Op: spec.OpRun, Process: &p})
	if err != nil && reply.Exit != nil {
		err = &ProgramError{reply.Exit.Code, errors.New(harmless(reply.Error))}
	}
	return reply, err
}
