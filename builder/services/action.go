// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package services

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"osbuild/builder/derivation"
	"osbuild/runner/spec"
)

// Action is something that herd can ask of a service besides the usual.
type Action struct {
	Pos    derivation.Position `star:"-"`
	Name   string              `star:"name,required" doc:"The word for it: herd NAME SERVICE."`
	Run    *Start              `star:"run" doc:"run(...): a program that does it. It gets the words behind the service's name as further arguments, and the process id of a running service as MAINPID."`
	Doc    string              `star:"doc" doc:"What it does, shown by herd doc."`
	Signal string              `star:"signal" doc:"A signal to the service's main process instead of a program."`
}

// herdWords are what herd does by itself.
var herdWords = []string{
	"actions", "configuration", "disable", "doc", "enable", "logs", "restart", "start", "status", "stop",
}

// Validate checks the fields.
func (a *Action) Validate() error {
	if err := identifier("name", a.Name); err != nil {
		return err
	}
	switch {
	case slices.Contains(herdWords, a.Name):
		return fmt.Errorf("field name: %q is what herd does for every service; choose another name", a.Name)
	case strings.HasPrefix(a.Name, "-"):
		return fmt.Errorf("field name: %q looks like an option of herd", a.Name)
	case (a.Run == nil) == (a.Signal == ""):
		return errors.New("field run: either run(...) or signal is needed")
	case a.Run != nil && len(a.Run.Run) != 1:
		return errors.New("field run: run(...) is needed, a program that runs to completion")
	case a.Signal != "" && !slices.Contains(signalNames, a.Signal):
		return fmt.Errorf("field signal: %q is no signal for a service (%s are)", a.Signal, strings.Join(signalNames, ", "))
	}
	return nil
}

func (a *Action) lower() spec.Action {
	out := spec.Action{Name: a.Name, Documentation: a.Doc, Signal: a.Signal}
	if a.Run != nil {
		p := a.Run.Run[0]
		out.Run = &p
	}
	return out
}
