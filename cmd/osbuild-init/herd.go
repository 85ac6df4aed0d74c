// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"osbuild/runner/spec"
)

// herdVerbs maps what herd does for every service to the operation that it
// asks for. The others are actions of the services.
var herdVerbs = map[string]string{
	"status":        spec.OpStatus,
	"start":         spec.OpStart,
	"stop":          spec.OpStop,
	"restart":       spec.OpRestart,
	"enable":        spec.OpEnable,
	"disable":       spec.OpDisable,
	"logs":          spec.OpLogs,
	"doc":           spec.OpStatus,
	"actions":       spec.OpStatus,
	"configuration": spec.OpStatus,
}

const herdUsage = `herd takes status [SERVICE], start, stop, restart, enable, disable, logs, actions or configuration SERVICE, doc SERVICE [ACTION], or ACTION SERVICE [ARGUMENT…]`

// herdCall is a command line of herd.
type herdCall struct {
	verb string
	// word is the action that doc is asked about.
	word string
	json bool
	req  spec.Request
}

// parseHerd reads a command line. What stands behind the service of an action
// is the action's.
func parseHerd(args []string) (herdCall, error) {
	var c herdCall
	if len(args) > 0 && args[0] == "--json" {
		c.json, args = true, args[1:]
	}
	if len(args) == 0 {
		return c, fmt.Errorf("%w: %s", errUsage, herdUsage)
	}
	c.verb, args = args[0], args[1:]
	c.req = spec.Request{ID: 1, Op: herdVerbs[c.verb]}
	if c.req.Op == "" {
		if strings.HasPrefix(c.verb, "-") {
			return c, fmt.Errorf("%w: herd has no option %q; %s", errUsage, c.verb, herdUsage)
		}
		if len(args) == 0 {
			return c, fmt.Errorf("%w: %q is nothing that herd does by itself, and an action needs a service; %s", errUsage, c.verb, herdUsage)
		}
		c.req.Op, c.req.Action, c.req.Service, c.req.Args = spec.OpAction, c.verb, args[0], args[1:]
		return c, nil
	}
	if i := slices.Index(args, "--json"); i >= 0 {
		c.json, args = true, slices.Delete(slices.Clone(args), i, i+1)
	}
	most := 1
	if c.verb == "doc" {
		most = 2
	}
	switch {
	case len(args) == 0 && c.verb != "status":
		return c, fmt.Errorf("%w: herd %s takes the name of a service", errUsage, c.verb)
	case len(args) > most:
		return c, fmt.Errorf("%w: herd %s: %q is too much", errUsage, c.verb, args[most])
	}
	if len(args) > 0 {
		c.req.Service = args[0]
	}
	if len(args) > 1 {
		c.word = args[1]
	}
	return c, nil
}

// runHerd sends one request to the osbuild-init that supervises this system.
func runHerd(args []string) (int, error) {
	c, err := parseHerd(args)
	if err != nil {
		return 0, err
	}
	reply, err := ask(spec.ControlSocket, c.req)
	if err != nil {
		return 0, err
	}
	return c.show(os.Stdout, reply)
}

// show prints a reply and says with what status herd ends.
func (c herdCall) show(w io.Writer, reply spec.Reply) (int, error) {
	var failed error
	if reply.Error != "" {
		failed = errors.New(reply.Error)
	}
	status := 0
	if reply.Exit != nil {
		status = reply.Exit.Status()
	}
	if c.json {
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		if err := e.Encode(struct {
			Services   []spec.ServiceStatus `json:"services,omitempty"`
			Activation []spec.StepStatus    `json:"activation,omitempty"`
			Log        string               `json:"log,omitempty"`
			Exit       *spec.Exit           `json:"exit,omitempty"`
			Upgrade    *spec.Upgrade        `json:"upgrade,omitempty"`
		}{reply.Services, reply.Activation, reply.Log, reply.Exit, reply.Upgrade}); err != nil {
			return 0, err
		}
		return status, failed
	}
	switch {
	case failed != nil && len(reply.Services) == 0:
	case c.req.Op == spec.OpLogs || c.req.Op == spec.OpAction:
		if _, err := io.WriteString(w, harmlessLines(reply.Log)); err != nil {
			return 0, err
		}
	case c.verb != "status" && c.req.Op == spec.OpStatus && len(reply.Services) == 1:
		if err := c.tell(w, reply.Services[0]); err != nil {
			return 0, err
		}
	default:
		report(w, reply, c.req.Service != "")
	}
	return status, failed
}

// tell prints what was asked about one service.
func (c herdCall) tell(w io.Writer, s spec.ServiceStatus) error {
	switch {
	case c.verb == "configuration" && s.Configuration == "":
		return fmt.Errorf("the service %s names no file that configures it", s.Name)
	case c.verb == "configuration":
		fmt.Fprintln(w, s.Configuration)
	case c.verb == "actions":
		printActions(w, s, "")
	case c.word != "":
		i := slices.IndexFunc(s.Actions, func(a spec.ActionDoc) bool { return a.Name == c.word })
		if i < 0 {
			return fmt.Errorf("the service %s has no action %q; `herd actions %[1]s` lists them", s.Name, c.word)
		}
		fmt.Fprintf(w, "%s: %s\n", c.word, documented(s.Actions[i].Documentation))
	default:
		fmt.Fprintf(w, "%s: %s\n", s.Name, documented(s.Documentation))
		printActions(w, s, "  ")
	}
	return nil
}

// ask sends a request and waits for its reply.
func ask(socket string, req spec.Request) (spec.Reply, error) {
	fail := func(err error) (spec.Reply, error) {
		switch {
		case errors.Is(err, unix.EACCES):
			err = fmt.Errorf("%w; only root may steer services", err)
		case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ECONNREFUSED):
			err = fmt.Errorf("%w; no osbuild-init supervises services here", err)
		}
		return spec.Reply{}, fmt.Errorf("cannot ask osbuild-init: %s: %w", socket, err)
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fail(err)
	}
	f := os.NewFile(uintptr(fd), socket)
	defer f.Close()
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: socket}); err != nil {
		return fail(err)
	}
	if err := json.NewEncoder(f).Encode(req); err != nil {
		return fail(err)
	}
	var reply spec.Reply
	if err := json.NewDecoder(bufio.NewReader(f)).Decode(&reply); err != nil {
		return fail(err)
	}
	return reply, nil
}
