// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package services

import (
	"fmt"
	"slices"
	"strings"

	"osbuild/builder/derivation"
	"osbuild/runner/spec"
)

// Ready says when a started program counts as started; tcp, unix, path and
// notify make it.
type Ready struct {
	Pos  derivation.Position `star:"-"`
	spec spec.Ready
}

// TCPReady waits for a TCP port.
type TCPReady struct {
	Pos     derivation.Position `star:"-"`
	Port    int                 `star:"port,required" doc:"The port, on 127.0.0.1."`
	Timeout int                 `star:"timeout" doc:"How many seconds to wait before the start has failed."`
}

// Validate checks the fields.
func (r *TCPReady) Validate() error {
	if r.Port < 1 || r.Port > 65535 {
		return fmt.Errorf("field port: %d is not between 1 and 65535", r.Port)
	}
	return timeout(r.Timeout)
}

// PathReady waits for a file; UnixReady for a socket that accepts connections.
type PathReady struct {
	Pos     derivation.Position `star:"-"`
	Path    string              `star:"path,required" doc:"The absolute path to wait for."`
	Timeout int                 `star:"timeout" doc:"How many seconds to wait before the start has failed."`
}

// Validate checks the fields.
func (r *PathReady) Validate() error {
	if !strings.HasPrefix(r.Path, "/") {
		return fmt.Errorf("field path: %q is not an absolute path", r.Path)
	}
	return timeout(r.Timeout)
}

// UnixReady waits for a unix socket that accepts connections.
type UnixReady PathReady

// Validate checks the fields.
func (r *UnixReady) Validate() error { return (*PathReady)(r).Validate() }

// NotifyReady waits for the program's own message on $NOTIFY_SOCKET.
type NotifyReady struct {
	Pos     derivation.Position `star:"-"`
	Timeout int                 `star:"timeout" doc:"How many seconds to wait before the start has failed."`
}

// Validate checks the fields.
func (r *NotifyReady) Validate() error { return timeout(r.Timeout) }

func timeout(seconds int) error {
	if seconds < 1 || seconds > 24*60*60 {
		return fmt.Errorf("field timeout: %d is not between 1 second and a day", seconds)
	}
	return nil
}

// Stop says how a service stops; kill makes it, and run can stand for it.
type Stop struct {
	Pos    derivation.Position `star:"-"`
	Signal string              `star:"signal" doc:"The signal sent to the service's process group."`
	Grace  int                 `star:"grace" doc:"How many seconds to wait before SIGKILL."`

	// kind is one of the spec.Stop constants; empty is spec.StopSignal.
	kind string
}

var signalNames = []string{
	"SIGABRT", "SIGALRM", "SIGCONT", "SIGHUP", "SIGINT", "SIGKILL", "SIGPIPE", "SIGPWR", "SIGQUIT",
	"SIGSTOP", "SIGTERM", "SIGTSTP", "SIGUSR1", "SIGUSR2", "SIGWINCH",
}

// Validate checks the fields.
func (s *Stop) Validate() error {
	if !slices.Contains(signalNames, s.Signal) {
		return fmt.Errorf("field signal: %q is no signal to stop a service with (%s are)", s.Signal, strings.Join(signalNames, ", "))
	}
	if s.Grace < 0 || s.Grace > 60*60 {
		return fmt.Errorf("field grace: %d is not between 0 seconds and an hour", s.Grace)
	}
	return nil
}

// Defaults of the service plan.
const (
	readySeconds       = 30
	stopSignal         = "SIGTERM"
	stopSeconds        = 5
	respawnTimes       = 5
	respawnSeconds     = 30
	respawnDelayMillis = 100
)

// DefaultStop is kill() without arguments.
func DefaultStop() *Stop { return &Stop{Signal: stopSignal, Grace: stopSeconds} }

func processRecords() []Record {
	readyOf := func(kind, path string, port, seconds int, pos derivation.Position) *Ready {
		return &Ready{Pos: pos, spec: spec.Ready{Kind: kind, Path: path, Port: port, TimeoutMS: seconds * 1000}}
	}
	return []Record{
		{
			Name: "shepherd_service", Proto: NewShepherdService(), Doc: "A service that PID 1 starts, watches and stops.",
		},
		{
			Name: "action", Proto: &Action{}, Doc: "Something that herd can ask of a service besides the usual: by a program, or by a signal.",
		},
		{
			Name: "fork_exec", Proto: &ForkExec{}, Doc: "Start a service by a program that keeps running.",
			Convert: func(rec any) (any, error) {
				f := rec.(*ForkExec)
				p := f.process()
				return &Start{Pos: f.Pos, Exec: &p}, nil
			},
		},
		{
			Name: "run", Proto: &Run{}, Doc: "Start (or stop) a service by a program that runs to completion. Such a service is one-shot unless it says otherwise.",
			Convert: func(rec any) (any, error) {
				r := rec.(*Run)
				return &Start{Pos: r.Pos, Run: []spec.Process{r.forkExec().process()}}, nil
			},
		},
		{
			Name: "kill", Proto: DefaultStop(), Doc: "Stop a service by a signal, and by SIGKILL when that does not help.",
		},
		{
			Name: "tcp", Proto: &TCPReady{Timeout: readySeconds}, Doc: "Ready when a TCP port accepts connections.",
			Convert: func(rec any) (any, error) {
				r := rec.(*TCPReady)
				return readyOf(spec.ReadyTCP, "", r.Port, r.Timeout, r.Pos), nil
			},
		},
		{
			Name: "unix", Proto: &UnixReady{Timeout: readySeconds}, Doc: "Ready when a unix socket accepts connections.",
			Convert: func(rec any) (any, error) {
				r := rec.(*UnixReady)
				return readyOf(spec.ReadyUnix, r.Path, 0, r.Timeout, r.Pos), nil
			},
		},
		{
			Name: "path", Proto: &PathReady{Timeout: readySeconds}, Doc: "Ready when a file exists.",
			Convert: func(rec any) (any, error) {
				r := rec.(*PathReady)
				return readyOf(spec.ReadyPath, r.Path, 0, r.Timeout, r.Pos), nil
			},
		},
		{
			Name: "notify", Proto: &NotifyReady{Timeout: readySeconds}, Doc: "Ready when the program says READY=1 on $NOTIFY_SOCKET.",
			Convert: func(rec any) (any, error) {
				r := rec.(*NotifyReady)
				return readyOf(spec.ReadyNotify, "", 0, r.Timeout, r.Pos), nil
			},
		},
		{
			Name: "resource_limit", Proto: &ResourceLimit{}, Doc: "A limit of a process.",
		},
		{
			Name: "respawn_limit", Proto: &RespawnLimit{}, Doc: "How often a service may start again by itself.",
		},
		{
			Name: "activation_step", Proto: &ActivationStep{}, Doc: "A program that runs at activation, after accounts, /etc and folders are there.",
		},
	}
}
