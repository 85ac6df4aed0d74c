// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package services

import (
	"errors"
	"fmt"
	"slices"

	"osbuild/builder/derivation"
	"osbuild/builder/service"
	"osbuild/runner/spec"
)

// ShepherdService is one service of PID 1.
type ShepherdService struct {
	Pos           derivation.Position `star:"-"`
	Provision     []string            `star:"provision,required" doc:"The names of the service; the first is its own, the others are what it also stands for."`
	Requirement   []string            `star:"requirement" doc:"Names of services that must have started before."`
	Documentation string              `star:"documentation" doc:"What the service is for, shown by herd status."`
	Start         *Start              `star:"start" doc:"fork_exec(...) or run(...). Without it the service is a name for its requirements."`
	Stop          any                 `star:"stop" doc:"kill(...), or run(...) for a program that stops it; kill() by default."`
	OneShot       *bool               `star:"one_shot" doc:"Whether the service runs to completion: it has started when its program ended with status 0. True for run(...)."`
	AutoStart     bool                `star:"auto_start" doc:"Whether the service starts at boot."`
	Respawn       *bool               `star:"respawn" doc:"Whether a program that ended by itself is started again. True for fork_exec(...)."`
	RespawnLimit  *RespawnLimit       `star:"respawn_limit" doc:"More respawns than this disable the service; (5, 30) by default."`
	RespawnDelay  int                 `star:"respawn_delay_ms" doc:"Milliseconds to wait before a respawn."`
	Actions       []*Action           `star:"actions" doc:"What herd can ask of the service besides the usual: action(...) records."`
	Transient     bool                `star:"transient" doc:"Whether the service is forgotten when it stops or ends."`
	Configuration string              `star:"configuration" doc:"The file that configures the service, shown by herd configuration."`

	// Fallback services stand back, name by name, for any other that provides
	// the same.
	Fallback bool `star:"-"`
}

// NewShepherdService is a service with the defaults of shepherd_service.
func NewShepherdService() *ShepherdService {
	return &ShepherdService{AutoStart: true, RespawnDelay: respawnDelayMillis}
}

// RespawnLimit is "at most Times in Seconds".
type RespawnLimit struct {
	Pos     derivation.Position `star:"-"`
	Times   int                 `star:"times,required" doc:"How many respawns are allowed."`
	Seconds int                 `star:"seconds,required" doc:"Within how many seconds."`
}

// Validate checks the fields.
func (l *RespawnLimit) Validate() error {
	if l.Times < 0 || l.Seconds < 1 {
		return fmt.Errorf("field times: %d respawns in %d seconds is no limit", l.Times, l.Seconds)
	}
	return nil
}

// reserved is a name that herd uses for PID 1 itself.
const reserved = "root"

// Validate checks the fields.
func (s *ShepherdService) Validate() error {
	if len(s.Provision) == 0 {
		return errors.New("field provision: at least one name is needed")
	}
	for _, p := range s.Provision {
		if err := identifier("provision", p); err != nil {
			return err
		}
		if p == reserved {
			return fmt.Errorf("field provision: %q is reserved for PID 1 itself", p)
		}
	}
	for i, r := range s.Requirement {
		if err := identifier("requirement", r); err != nil {
			return err
		}
		if slices.Contains(s.Provision, r) {
			return fmt.Errorf("field requirement: the service requires %q, which it provides itself", r)
		}
		if slices.Contains(s.Requirement[:i], r) {
			return fmt.Errorf("field requirement: %q stands there twice", r)
		}
	}
	if s.RespawnDelay < 0 {
		return fmt.Errorf("field respawn_delay_ms: %d is negative", s.RespawnDelay)
	}
	if s.OneShot != nil && *s.OneShot && s.Start != nil && s.Start.Exec != nil && (s.Start.Exec.Ready != nil || s.Start.Exec.PIDFile != "") {
		return errors.New("field one_shot: a one-shot service is ready when its program has ended; drop ready and pid_file")
	}
	for i, a := range s.Actions {
		if slices.ContainsFunc(s.Actions[:i], func(b *Action) bool { return b.Name == a.Name }) {
			return fmt.Errorf("field actions: %q stands there twice", a.Name)
		}
		if a.Signal != "" && (s.Start == nil || s.Start.Exec == nil || s.OneShot != nil && *s.OneShot) {
			return fmt.Errorf("field actions: %q sends a signal, and the service has no process that keeps running", a.Name)
		}
	}
	if s.Configuration != "" {
		if err := fileLike("configuration", s.Configuration); err != nil {
			return err
		}
	}
	switch stop := s.Stop.(type) {
	case nil, *Stop:
	case *Start:
		if len(stop.Run) != 1 {
			return errors.New("field stop: kill(...) or run(...) is needed")
		}
	default:
		return fmt.Errorf("field stop: %s is not kill(...) or run(...)", service.Describe(s.Stop))
	}
	return nil
}

// name is the canonical name.
func (s *ShepherdService) name() string { return s.Provision[0] }

// lower makes the service plan's form of it.
func (s *ShepherdService) lower() spec.Service {
	out := spec.Service{
		Provision:      slices.Clone(s.Provision),
		Requirement:    slices.Clone(s.Requirement),
		Documentation:  s.Documentation,
		AutoStart:      s.AutoStart,
		RespawnLimit:   spec.RespawnLimit{Times: respawnTimes, Seconds: respawnSeconds},
		RespawnDelayMS: s.RespawnDelay,
		Transient:      s.Transient,
		Configuration:  s.Configuration,
	}
	for _, a := range s.Actions {
		out.Actions = append(out.Actions, a.lower())
	}
	if s.RespawnLimit != nil {
		out.RespawnLimit = spec.RespawnLimit{Times: s.RespawnLimit.Times, Seconds: s.RespawnLimit.Seconds}
	}
	if s.Start != nil {
		out.Start = spec.Start{
			Exec: s.Start.Exec, Run: s.Start.Run, Mount: s.Start.Mount, Homes: s.Start.Homes, Directories: s.Start.Directories,
		}
	}
	out.OneShot = len(out.Start.Run) > 0
	if s.OneShot != nil {
		out.OneShot = *s.OneShot
	}
	if out.OneShot && out.Start.Exec != nil {
		// One-shot means run to completion, however the program was given.
		out.Start.Run, out.Start.Exec = []spec.Process{*out.Start.Exec}, nil
	}
	out.Respawn = out.Start.Exec != nil && (s.Respawn == nil || *s.Respawn)
	out.Stop = s.lowerStop(out)
	return out
}

func (s *ShepherdService) lowerStop(out spec.Service) spec.Stop {
	bySignal := func(k *Stop) spec.Stop {
		return spec.Stop{Kind: spec.StopSignal, Signal: k.Signal, GraceMS: k.Grace * 1000}
	}
	switch stop := s.Stop.(type) {
	case *Stop:
		if stop.kind != "" {
			return spec.Stop{Kind: stop.kind, GraceMS: stop.Grace * 1000}
		}
		return bySignal(stop)
	case *Start:
		by := bySignal(DefaultStop())
		by.Kind, by.Process = spec.StopRun, &stop.Run[0]
		return by
	}
	if out.Start.Exec != nil || len(out.Start.Run) > 0 {
		return bySignal(DefaultStop())
	}
	return spec.Stop{Kind: spec.StopNone}
}
