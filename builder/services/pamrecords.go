// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package services

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"osbuild/builder/derivation"
	"osbuild/builder/service"
)

// PAMEntry is a line of a PAM service.
type PAMEntry struct {
	Pos       derivation.Position `star:"-"`
	Control   string              `star:"control,required" doc:"How the result counts: required, sufficient, optional or another control."`
	Module    string              `star:"module,required" doc:"The module, e.g. \"pam_unix.so\"."`
	Arguments []string            `star:"arguments" doc:"Arguments of the module."`
}

var pamControls = []string{"include", "optional", "required", "requisite", "substack", "sufficient"}

// Validate checks the fields.
func (e *PAMEntry) Validate() error {
	if !slices.Contains(pamControls, e.Control) && !(strings.HasPrefix(e.Control, "[") && strings.HasSuffix(e.Control, "]")) {
		return fmt.Errorf("field control: %q is no control (%s are)%s", e.Control, strings.Join(pamControls, ", "), service.Meant(e.Control, pamControls))
	}
	if e.Module == "" {
		return errors.New("field module: a module is needed")
	}
	for _, w := range append([]string{e.Control, e.Module}, e.Arguments...) {
		if strings.ContainsAny(w, "\n\r\x00") {
			return fmt.Errorf("field arguments: %q is not one line", w)
		}
	}
	return nil
}

// PAMService is how one program authenticates users.
type PAMService struct {
	Pos      derivation.Position `star:"-"`
	Name     string              `star:"name,required" doc:"The name of the service, e.g. \"login\"."`
	Account  []*PAMEntry         `star:"account" doc:"Whether the account may be used now."`
	Auth     []*PAMEntry         `star:"auth" doc:"Who the user is."`
	Password []*PAMEntry         `star:"password" doc:"How a password is changed."`
	Session  []*PAMEntry         `star:"session" doc:"What is done around a session."`
}

// Validate checks the fields.
func (s *PAMService) Validate() error {
	if err := relativeName("name", s.Name); err != nil {
		return err
	}
	if strings.Contains(s.Name, "/") {
		return fmt.Errorf("field name: %q: a PAM service is a file of /etc/pam.d", s.Name)
	}
	return nil
}

// PAMExtension changes every PAM service.
type PAMExtension struct {
	Pos       derivation.Position `star:"-"`
	Transform any                 `star:"transform,required" doc:"A function that gets each pam_service and returns it, or a changed copy."`
}

// Validate checks that the transformer can be called.
func (e *PAMExtension) Validate() error {
	switch e.Transform.(type) {
	case service.Func, func(*PAMService) *PAMService:
		return nil
	}
	return fmt.Errorf("field transform: %s is not a function", service.Describe(e.Transform))
}

// apply calls the transformer.
func (e *PAMExtension) apply(s *PAMService) (*PAMService, error) {
	switch f := e.Transform.(type) {
	case func(*PAMService) *PAMService:
		return f(s), nil
	case service.Func:
		v, err := f.Call(s)
		if err != nil {
			return nil, err
		}
		changed, ok := v.(*PAMService)
		if !ok {
			return nil, service.At(e.Pos, fmt.Errorf("cannot use %s that transform made of PAM service %q: a pam_service is needed", service.Describe(v), s.Name))
		}
		return changed, nil
	}
	return nil, service.At(e.Pos, e.Validate())
}

// PAMLimitsEntry is a line of limits.conf.
type PAMLimitsEntry struct {
	Pos    derivation.Position `star:"-"`
	Domain string              `star:"domain,required" doc:"A user, @group, or * for everybody."`
	Type   string              `star:"type,required" doc:"hard, soft or both."`
	Item   string              `star:"item,required" doc:"What is limited, e.g. \"nofile\"."`
	Value  any                 `star:"value,required" doc:"A number, \"unlimited\" or \"infinity\"."`
}

var (
	pamLimitTypes = []string{"both", "hard", "soft"}
	pamLimitItems = []string{
		"as", "core", "cpu", "data", "fsize", "locks", "maxlogins", "maxsyslogins", "memlock",
		"msgqueue", "nice", "nofile", "nproc", "priority", "rss", "rtprio", "sigpending", "stack",
	}
)

// Validate checks the fields.
func (e *PAMLimitsEntry) Validate() error {
	if e.Domain == "" || strings.ContainsAny(e.Domain, " \t\n\r\x00#") {
		return fmt.Errorf("field domain: %q is not a user, @group or *", e.Domain)
	}
	if !slices.Contains(pamLimitTypes, e.Type) {
		return fmt.Errorf("field type: invalid limit type %q (hard, soft and both are valid)", e.Type)
	}
	if !slices.Contains(pamLimitItems, e.Item) {
		return fmt.Errorf("field item: invalid limit item %q%s", e.Item, service.Meant(e.Item, pamLimitItems))
	}
	if !e.validValue() {
		return fmt.Errorf("field value: invalid limit value %s for %q", strings.TrimPrefix(strings.TrimPrefix(service.Describe(e.Value), "the text "), "the number "), e.Item)
	}
	return nil
}

func (e *PAMLimitsEntry) validValue() bool {
	n, isNumber := number(e.Value)
	switch {
	case e.Item == "priority":
		return isNumber
	case e.Item == "nice":
		return isNumber && n >= -20 && n <= 19
	case isNumber:
		return n >= -1
	}
	return e.Value == "unlimited" || e.Value == "infinity"
}

// line is the entry as limits.conf spells it.
func (e *PAMLimitsEntry) line() string {
	kind := e.Type
	if kind == "both" {
		kind = "-"
	}
	return fmt.Sprintf("%s\t%s\t%s\t%v\n", e.Domain, kind, e.Item, e.Value)
}

func pamRecords() []Record {
	return []Record{
		{Name: "pam_entry", Proto: &PAMEntry{}, Doc: "A line of a PAM service."},
		{Name: "pam_service", Proto: &PAMService{}, Doc: "How one program authenticates users: a file of /etc/pam.d."},
		{Name: "pam_extension", Proto: &PAMExtension{}, Doc: "A change to every PAM service."},
		{Name: "pam_limits_entry", Proto: &PAMLimitsEntry{}, Doc: "A resource limit of login sessions."},
	}
}
