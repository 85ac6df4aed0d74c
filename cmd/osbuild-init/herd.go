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
	"text/tabwriter"

	"golang.org/x/sys/unix"

	"osbuild/runner/spec"
)

// herdActions maps the word on the command line to the operation and says
// whether it needs the name of a service.
var herdActions = map[string]struct {
	op   string
	name bool
}{
	"status":  {spec.OpStatus, false},
	"start":   {spec.OpStart, true},
	"stop":    {spec.OpStop, true},
	"restart": {spec.OpRestart, true},
	"enable":  {spec.OpEnable, true},
	"disable": {spec.OpDisable, true},
	"logs":    {spec.OpLogs, true},
}

// runHerd sends one request to the osbuild-init that supervises this system.
func runHerd(args []string) (int, error) {
	if len(args) == 0 {
		return 0, fmt.Errorf("%w: herd takes status, start, stop, restart, enable, disable or logs", errUsage)
	}
	action, ok := herdActions[args[0]]
	switch {
	case !ok:
		return 0, fmt.Errorf("%w: herd has no action %q", errUsage, args[0])
	case action.name && len(args) != 2:
		return 0, fmt.Errorf("%w: herd %s takes the name of one service", errUsage, args[0])
	case len(args) > 2:
		return 0, fmt.Errorf("%w: herd %s takes at most one service", errUsage, args[0])
	}
	req := spec.Request{ID: 1, Op: action.op}
	if len(args) == 2 {
		req.Service = args[1]
	}
	reply, err := ask(spec.ControlSocket, req)
	if err != nil {
		return 0, err
	}
	if req.Op == spec.OpLogs {
		_, _ = io.WriteString(os.Stdout, reply.Log)
	} else {
		report(os.Stdout, reply, req.Service != "")
	}
	if reply.Error != "" {
		return 0, errors.New(reply.Error)
	}
	return 0, nil
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

// report prints what a reply says of services: a table, or for one service
// all that is known of it.
func report(w io.Writer, reply spec.Reply, one bool) {
	for _, st := range reply.Activation {
		fmt.Fprintf(w, "activation: %s %s: %s\n", st.Name, st.Outcome(), st.Reason)
	}
	if one && len(reply.Services) == 1 {
		describeService(w, reply.Services[0])
		return
	}
	services := slices.SortedFunc(slices.Values(reply.Services), func(a, b spec.ServiceStatus) int {
		return strings.Compare(a.Name, b.Name)
	})
	if len(services) == 0 {
		return
	}
	table := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, "SERVICE\tSTATE\tPID\tREASON")
	for _, s := range services {
		pid := "-"
		if s.PID != 0 {
			pid = fmt.Sprint(s.PID)
		}
		state := s.State
		if !s.Enabled {
			state += ", disabled"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", s.Name, state, pid, s.Reason)
	}
	table.Flush()
}

func describeService(w io.Writer, s spec.ServiceStatus) {
	line := func(what, value string) {
		if value != "" {
			fmt.Fprintf(w, "%-13s %s\n", what+":", value)
		}
	}
	line("service", s.Name)
	line("about", s.Documentation)
	line("state", s.State)
	line("reason", s.Reason)
	if s.PID != 0 {
		line("process", fmt.Sprint(s.PID))
	}
	if s.Respawns > 0 {
		line("respawns", fmt.Sprint(s.Respawns))
	}
	line("provides", strings.Join(s.Provision, " "))
	line("requires", strings.Join(s.Requirement, " "))
	words := map[bool]string{true: "yes", false: "no"}
	line("enabled", words[s.Enabled])
	line("at boot", words[s.AutoStart])
	if s.OneShot {
		line("one-shot", "yes")
	}
}
