// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package services

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"osbuild/builder/derivation"
	"osbuild/builder/service"
	"osbuild/runner/spec"
)

// SystemEntry is a name in the system item.
type SystemEntry struct {
	Pos  derivation.Position `star:"-"`
	Name string              `star:"name,required" doc:"The name in the system item."`
	File string              `star:"file,required" doc:"The file or tree that it leads to."`
}

// Validate checks the fields.
func (e *SystemEntry) Validate() error {
	if err := relativeName("name", e.Name); err != nil {
		return err
	}
	if strings.Contains(e.Name, "/") {
		return fmt.Errorf("field name: %q: entries of a system stand at its top", e.Name)
	}
	return fileLike("file", e.File)
}

// EtcEntry is a file or tree below /etc.
type EtcEntry struct {
	Pos  derivation.Position `star:"-"`
	Name string              `star:"name,required" doc:"The path below /etc, e.g. \"containers/policy.json\"."`
	File string              `star:"file,required" doc:"The file it leads to; a text is a path, not content."`
	Mode *int                `star:"mode" doc:"When given, a regular file of this mode is made instead of a link."`

	// Yields says that the file of a package goes before this one.
	Yields bool `star:"-"`
	// Reserved says that an activation step of its own makes the file.
	Reserved bool `star:"-"`
	// Fallback entries stand back for another one of their name.
	Fallback bool `star:"-"`
}

// Validate checks the fields.
func (e *EtcEntry) Validate() error {
	if err := relativeName("name", e.Name); err != nil {
		return err
	}
	if err := mode("mode", e.Mode, 0o777); err != nil {
		return err
	}
	return fileLike("file", e.File)
}

// SpecialFile is a link at a fixed place outside /etc.
type SpecialFile struct {
	Pos    derivation.Position `star:"-"`
	Path   string              `star:"path,required" doc:"Where the link is made, e.g. \"/srv/data/current\"."`
	Target string              `star:"target,required" doc:"The file or path it leads to."`
}

// Validate checks the fields.
func (s *SpecialFile) Validate() error {
	if err := cleanAbsolute("path", s.Path); err != nil {
		return err
	}
	for _, fixed := range []string{"/", "/etc", "/usr", "/osbuild", "/proc", "/sys"} {
		if s.Path == fixed {
			return fmt.Errorf("field path: %q is always a folder", s.Path)
		}
	}
	if s.Path == spec.StoreDir || strings.HasPrefix(s.Path, spec.StoreDir+"/") || strings.HasPrefix(s.Path, "/usr/") {
		return fmt.Errorf("field path: %q lies in a read-only tree", s.Path)
	}
	if s.Target == "" {
		return fmt.Errorf("field target: a path is needed")
	}
	return nil
}

// Directory is a folder that is made at activation.
type Directory struct {
	Pos   derivation.Position `star:"-"`
	Path  string              `star:"path,required" doc:"The absolute path."`
	Mode  int                 `star:"mode" doc:"The mode; 0o755 by default."`
	User  string              `star:"user" doc:"The owner, a name or id; root by default."`
	Group string              `star:"group" doc:"The group, a name or id; root by default."`
}

// Validate checks the fields.
func (d *Directory) Validate() error {
	if err := mode("mode", &d.Mode, 0o7777); err != nil {
		return err
	}
	return cleanAbsolute("path", d.Path)
}

func (d *Directory) spec() spec.Dir {
	return spec.Dir{Path: d.Path, Mode: uint32(d.Mode), User: d.User, Group: d.Group}
}

func mode(field string, m *int, most int) error {
	if m != nil && (*m < 0 || *m > most) {
		return fmt.Errorf("field %s: %#o is not between 0 and %#o", field, *m, most)
	}
	return nil
}

// PrivilegedProgram is a program that gets privileges in spec.PrivilegedDir.
type PrivilegedProgram struct {
	Pos          derivation.Position `star:"-"`
	Program      string              `star:"program,required" doc:"The program file; a copy of it gets the privileges."`
	Setuid       bool                `star:"setuid" doc:"Whether it runs as its owner."`
	Setgid       bool                `star:"setgid" doc:"Whether it runs as its group."`
	User         string              `star:"user" doc:"The owner, a name or id; root by default."`
	Group        string              `star:"group" doc:"The group, a name or id; root by default."`
	Capabilities []string            `star:"capabilities" doc:"Capabilities it gains, e.g. \"cap_net_raw\"."`
}

// Validate checks the fields.
func (p *PrivilegedProgram) Validate() error {
	if err := fileLike("program", p.Program); err != nil {
		return err
	}
	for i, c := range p.Capabilities {
		if !slices.Contains(capabilityNames, c) {
			return fmt.Errorf("field capabilities: %q is no capability%s", c, service.Meant(c, capabilityNames))
		}
		if slices.Contains(p.Capabilities[:i], c) {
			return fmt.Errorf("field capabilities: %q stands there twice", c)
		}
	}
	if !p.Setuid && !p.Setgid && len(p.Capabilities) == 0 {
		return fmt.Errorf("field setuid: no privilege is asked for: set setuid, setgid or capabilities")
	}
	return nil
}

var capabilityNames = []string{
	"cap_audit_control", "cap_audit_read", "cap_audit_write", "cap_block_suspend", "cap_bpf",
	"cap_checkpoint_restore", "cap_chown", "cap_dac_override", "cap_dac_read_search", "cap_fowner",
	"cap_fsetid", "cap_ipc_lock", "cap_ipc_owner", "cap_kill", "cap_lease", "cap_linux_immutable",
	"cap_mac_admin", "cap_mac_override", "cap_mknod", "cap_net_admin", "cap_net_bind_service",
	"cap_net_broadcast", "cap_net_raw", "cap_perfmon", "cap_setfcap", "cap_setgid", "cap_setpcap",
	"cap_setuid", "cap_sys_admin", "cap_sys_boot", "cap_sys_chroot", "cap_sys_module", "cap_sys_nice",
	"cap_sys_pacct", "cap_sys_ptrace", "cap_sys_rawio", "cap_sys_resource", "cap_sys_time",
	"cap_sys_tty_config", "cap_syslog", "cap_wake_alarm",
}

// Host is a line of /etc/hosts.
type Host struct {
	Pos           derivation.Position `star:"-"`
	Address       string              `star:"address,required" doc:"An IPv4 or IPv6 address."`
	CanonicalName string              `star:"canonical_name,required" doc:"The name."`
	Aliases       []string            `star:"aliases" doc:"Further names."`
}

// Validate checks the fields.
func (h *Host) Validate() error {
	if _, err := netip.ParseAddr(h.Address); err != nil {
		return fmt.Errorf("field address: %q is not an IP address", h.Address)
	}
	if err := hostWord("canonical_name", h.CanonicalName); err != nil {
		return err
	}
	for _, a := range h.Aliases {
		if err := hostWord("aliases", a); err != nil {
			return err
		}
	}
	return nil
}

// hostWord accepts a name that stays one word in /etc/hosts.
func hostWord(field, name string) error {
	if name == "" {
		return fmt.Errorf("field %s: a name is needed", field)
	}
	for _, r := range name {
		if r <= ' ' || r == 0x7f || r == '#' {
			return fmt.Errorf("field %s: %q is not a host name: %q is not allowed in it", field, name, r)
		}
	}
	return nil
}

// EnvironmentVariable is a variable of every login session.
type EnvironmentVariable struct {
	Pos   derivation.Position `star:"-"`
	Name  string              `star:"name,required" doc:"The name."`
	Value string              `star:"value,required" doc:"The value, one line."`
}

// Validate checks the fields.
func (v *EnvironmentVariable) Validate() error {
	if err := environment("name", map[string]string{v.Name: v.Value}); err != nil {
		return err
	}
	if strings.ContainsAny(v.Name+v.Value, "\n\r") || strings.ContainsAny(v.Name, " \t#'\"$") {
		return fmt.Errorf("field name: %s=%q is not one plain line", v.Name, v.Value)
	}
	return nil
}

func fileRecords() []Record {
	return []Record{
		{Name: "system_entry", Proto: &SystemEntry{}, Doc: "A name in the system item."},
		{Name: "etc_entry", Proto: &EtcEntry{}, Doc: "A file below /etc."},
		{Name: "special_file", Proto: &SpecialFile{}, Doc: "A link at a fixed place outside /etc."},
		{Name: "directory", Proto: &Directory{Mode: 0o755}, Doc: "A folder that is made at activation."},
		{Name: "privileged_program", Proto: &PrivilegedProgram{}, Doc: "A program that runs with more privileges than its caller."},
		{Name: "environment_variable", Proto: &EnvironmentVariable{}, Doc: "A variable of every login session."},
		{Name: "file_system", Proto: &FileSystem{Mount: true}, Doc: "A file system."},
		{Name: "file_system_mapping", Proto: &FileSystemMapping{}, Doc: "A path of the host that a container sees."},
	}
}
