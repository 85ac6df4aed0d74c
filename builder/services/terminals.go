// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package services

import (
	"fmt"
	"reflect"
	"strings"

	"osbuild/builder/derivation"
	"osbuild/builder/service"
	"osbuild/runner/spec"
)

// nscdCache is the size in bytes of each cache of nscd: many containers share
// one machine's memory.
const nscdCache = 256 * 1024

// NscdConfiguration configures the name service cache.
type NscdConfiguration struct {
	Pos       derivation.Position `star:"-"`
	Program   string              `star:"program,required" doc:"The program nscd, e.g. package(\"nscd\") + \"/usr/sbin/nscd\"."`
	CacheSize int                 `star:"cache_size" doc:"The size of each cache in bytes; no more than 256 KiB in a container."`
}

// Validate checks the fields.
func (c *NscdConfiguration) Validate() error {
	if c.CacheSize < 4096 {
		return fmt.Errorf("field cache_size: %d bytes are too few, at least 4096 are needed", c.CacheSize)
	}
	return fileLike("program", c.Program)
}

// Bounded has no larger caches than a container may have.
func (c *NscdConfiguration) Bounded() *NscdConfiguration {
	small := *c
	small.CacheSize = min(c.CacheSize, nscdCache)
	return &small
}

func (c *NscdConfiguration) text() string {
	var b strings.Builder
	for _, db := range []string{"passwd", "group", "hosts", "services"} {
		fmt.Fprintf(&b, "enable-cache %s yes\nmax-db-size %s %d\npersistent %s no\nshared %s no\n", db, db, c.CacheSize, db, db)
	}
	return b.String()
}

// Nscd is the name service cache.
var Nscd = &service.Type{
	Name:        "nscd",
	Description: "A cache for users, groups and host names.",
	Check:       checkRecord[*NscdConfiguration],
	ValueDoc:    "nscd_configuration",
	ProducesDoc: "the service nscd, and /etc/nscd.conf",
	Extensions: []service.Extension{
		{Target: Etc, Compute: typed(func(env *service.Env, c *NscdConfiguration) ([]any, error) {
			e, err := etcText(env, "nscd.conf", c.text())
			if err != nil {
				return nil, err
			}
			return one(e)
		})},
		{Target: Activation, Compute: func(*service.Env, any) ([]any, error) {
			return many([]*Directory{{Path: "/run/nscd", Mode: 0o755}, {Path: "/var/cache/nscd", Mode: 0o755}})
		}},
		{Target: ShepherdRoot, Compute: typed(func(_ *service.Env, c *NscdConfiguration) ([]any, error) {
			s := point("Cache users, groups and host names.", "nscd")
			s.Pos, s.Requirement = c.Pos, []string{"user-processes"}
			s.Start = &Start{Exec: &spec.Process{
				Argv: []string{c.Program, "--foreground"}, Env: environ(nil),
				Ready: &spec.Ready{Kind: spec.ReadyUnix, Path: "/run/nscd/socket", TimeoutMS: readySeconds * 1000},
			}}
			return one(s)
		})},
	},
}

// MingettyConfiguration configures a login on a virtual terminal.
type MingettyConfiguration struct {
	Pos     derivation.Position `star:"-"`
	Program string              `star:"program,required" doc:"The program mingetty."`
	TTY     string              `star:"tty,required" doc:"The terminal, e.g. \"tty1\"."`
}

// Validate checks the fields.
func (c *MingettyConfiguration) Validate() error { return terminal(c.Program, c.TTY) }

// AgettyConfiguration configures a login on a serial or virtual terminal.
type AgettyConfiguration struct {
	Pos     derivation.Position `star:"-"`
	Program string              `star:"program,required" doc:"The program agetty, e.g. package(\"util-linux\") + \"/usr/sbin/agetty\"."`
	TTY     string              `star:"tty,required" doc:"The terminal, e.g. \"ttyS0\"."`
	Baud    int                 `star:"baud" doc:"The speed of a serial line."`
}

// Validate checks the fields.
func (c *AgettyConfiguration) Validate() error {
	if c.Baud < 1 {
		return fmt.Errorf("field baud: %d is no speed", c.Baud)
	}
	return terminal(c.Program, c.TTY)
}

// ConsoleFontConfiguration configures the font of a virtual terminal.
type ConsoleFontConfiguration struct {
	Pos     derivation.Position `star:"-"`
	Program string              `star:"program,required" doc:"The program setfont."`
	TTY     string              `star:"tty,required" doc:"The terminal, e.g. \"tty1\"."`
	Font    string              `star:"font,required" doc:"The font: a file or a name that setfont knows."`
}

// Validate checks the fields.
func (c *ConsoleFontConfiguration) Validate() error {
	if c.Font == "" {
		return fmt.Errorf("field font: a font is needed")
	}
	return terminal(c.Program, c.TTY)
}

func terminal(program, tty string) error {
	if err := identifier("tty", tty); err != nil {
		return err
	}
	if strings.Contains(tty, "/") {
		return fmt.Errorf("field tty: %q is not the name of a terminal; write it without /dev/", tty)
	}
	return fileLike("program", program)
}

// Mingetty is a login on a virtual terminal.
var Mingetty = &service.Type{
	Name:        "mingetty",
	Description: "A login on a virtual terminal. Containers have none, so this is left out there.",
	Check:       checkRecord[*MingettyConfiguration],
	ValueDoc:    "mingetty_configuration",
	ProducesDoc: "the service term-TTY",
	Extensions: []service.Extension{{Target: ShepherdRoot, Compute: typed(func(_ *service.Env, c *MingettyConfiguration) ([]any, error) {
		return one(terminalService(c.Pos, c.TTY, c.Program, c.TTY))
	})}},
}

// Agetty is a login on a terminal.
var Agetty = &service.Type{
	Name:        "agetty",
	Description: "A login on a serial or virtual terminal. Containers have none, so this is left out there.",
	Check:       checkRecord[*AgettyConfiguration],
	ValueDoc:    "agetty_configuration",
	ProducesDoc: "the service term-TTY",
	Extensions: []service.Extension{{Target: ShepherdRoot, Compute: typed(func(_ *service.Env, c *AgettyConfiguration) ([]any, error) {
		return one(terminalService(c.Pos, c.TTY, c.Program, c.TTY, fmt.Sprint(c.Baud)))
	})}},
}

func terminalService(pos derivation.Position, tty string, argv ...string) *ShepherdService {
	s := point("A login on "+tty+".", "term-"+tty)
	s.Pos, s.Requirement = pos, []string{"user-processes", "udev"}
	s.Start = &Start{Exec: &spec.Process{Argv: argv, Env: environ(nil)}}
	return s
}

// ConsoleFont sets the font of a virtual terminal.
var ConsoleFont = &service.Type{
	Name:        "console_font",
	Description: "The font of a virtual terminal. Containers have none, so this is left out there.",
	Check:       checkRecord[*ConsoleFontConfiguration],
	ValueDoc:    "console_font_configuration",
	ProducesDoc: "the one-shot service console-font-TTY",
	Extensions: []service.Extension{{Target: ShepherdRoot, Compute: typed(func(_ *service.Env, c *ConsoleFontConfiguration) ([]any, error) {
		s := point("Set the font of "+c.TTY+".", "console-font-"+c.TTY)
		s.Pos, s.Requirement = c.Pos, []string{"udev"}
		s.Start = &Start{Run: []spec.Process{{Argv: []string{c.Program, "-C", "/dev/" + c.TTY, c.Font}, Env: environ(nil)}}}
		return one(s)
	})}},
}

// Udev stands for the devices, DBus for the system bus, Elogind for seats and
// sessions. In a container devices are given from outside and there is no
// seat, so they provide their names only, for services that require them, and
// stand back for a service that provides them for real.
var (
	Udev = provider("udev", "The devices, which are there from the start.", "the service udev, unless another provides it", func() []*ShepherdService {
		return []*ShepherdService{standIn("The devices, which are there from the start.", "udev")}
	})
	DBus = provider("dbus", "A stand-in for the system bus.", "the service dbus-system, unless another provides it", func() []*ShepherdService {
		return []*ShepherdService{standIn("A stand-in for the system bus, for services that only order themselves after it.", "dbus-system")}
	})
	Elogind = &service.Type{
		Name: "elogind", Description: "A stand-in for the login manager, and the control groups that it would mount.",
		Elements: []reflect.Type{}, Extend: pulledIn,
		Check: noValue, HasDefault: true, ValueDoc: "none", ContributionDoc: nothing,
		ProducesDoc: "the services elogind and file-system-/sys/fs/cgroup",
		Extensions: []service.Extension{
			{Target: ShepherdRoot, Compute: func(*service.Env, any) ([]any, error) {
				return one(standIn("A stand-in for the login manager, for services that only order themselves after it.", "elogind"))
			}},
			{Target: FileSystems, Compute: func(*service.Env, any) ([]any, error) {
				return one(&FileSystem{
					Device: "none", MountPoint: "/sys/fs/cgroup", Type: "cgroup2", Mount: true, MountMayFail: true,
					Flags: []string{"no-suid", "no-dev", "no-exec"},
				})
			}},
		},
	}
)

func terminalRecords() []Record {
	return []Record{
		{Name: "mingetty_configuration", Proto: &MingettyConfiguration{}, Doc: "A login on a virtual terminal."},
		{Name: "agetty_configuration", Proto: &AgettyConfiguration{Baud: 115200}, Doc: "A login on a serial or virtual terminal."},
		{Name: "console_font_configuration", Proto: &ConsoleFontConfiguration{}, Doc: "The font of a virtual terminal."},
	}
}
