// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"osbuild/runner/mount"
	"osbuild/runner/spec"
)

// prepared is a container that is ready to be started.
type prepared struct {
	*laid
	who        *identity
	state      *state
	namespaces uint64
	argv, env  []string
	count      int
	// warnings are for the user to read.
	warnings []string
}

func (p *prepared) close() {
	if p.laid != nil {
		p.laid.close()
	}
	if p.who != nil {
		p.who.close()
	}
	if p.state != nil {
		p.state.close()
	}
}

// environment is all that PID 1 gets.
func environment() []string {
	return []string{
		"HOME=/root",
		"PATH=" + searchPath,
		"TMPDIR=/tmp",
		"container=osbuild",
	}
}

// searchPath is where the commands of a container are.
const searchPath = "/run/privileged/bin:/run/current-system/profile/bin:/usr/sbin:/usr/bin"

// Plan says what Run would do to the file system, in order. It starts nothing.
func Plan(o Options) (mount.Plan, error) {
	p, err := prepare(context.Background(), o, true)
	if err != nil {
		return mount.Plan{}, err
	}
	p.close()
	return p.plan, nil
}

// prepare decides everything about a container. With dry nothing is written
// into a state folder.
func prepare(ctx context.Context, o Options, dry bool) (_ *prepared, err error) {
	p := &prepared{count: o.IDs}
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	if err := check(o); err != nil {
		return nil, err
	}
	network := o.Container.Network
	if o.Network != "" {
		network = o.Network
	}
	switch network {
	case spec.NetworkNone, "":
		p.namespaces = unix.CLONE_NEWNET
	case spec.NetworkHost:
	default:
		return nil, fmt.Errorf("cannot start the container: network %q is not known; choose none or host", network)
	}
	if network == spec.NetworkHost && len(o.Publish) > 0 {
		return nil, errors.New("cannot publish ports: the container shares the host's network, where its ports are open already; leave --publish out")
	}
	p.namespaces |= unix.CLONE_NEWPID | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP
	if p.count == 0 {
		p.count = spec.Ids
	}
	if o.SingleID {
		p.count = 1
	}
	base, seed := 0, ""
	_, missing := os.Stat(o.StateDir)
	if o.StateDir != "" && (!dry || missing == nil) {
		if p.state, err = openState(o.StateDir); err != nil {
			return nil, err
		}
		base, seed = p.state.record.FirstID, p.state.dir
	}
	if p.who, err = containerIdentity(p.count, base, seed, o.SingleID); err != nil {
		return nil, err
	}
	in := mount.Container{
		Spec: o.Container, OwnNetwork: p.namespaces&unix.CLONE_NEWNET != 0, Nested: o.Nested,
	}
	if p.state != nil {
		if !dry {
			if err := p.state.settle(p.who, p.count); err != nil {
				return nil, err
			}
		}
		in.State = p.state.binds()
	}
	if err := p.inspect(o, &in); err != nil {
		return nil, err
	}
	p.argv = []string{o.System + "/boot"}
	p.env = environment()
	p.laid, err = o.Hierarchy.lay(ctx, &o.Container.Root, func(v *views) (mount.Plan, error) {
		in.Views = v.Views
		var err error
		in.Anchor, err = anchor(append(sourcesOf(in.Items, in.Declared, in.State, in.User), v.dirs()...))
		if err != nil {
			return mount.Plan{}, err
		}
		return mount.ForContainer(in)
	})
	if err != nil {
		return nil, err
	}
	p.plan.HostName, p.plan.Program, p.plan.Env = o.Container.HostName, p.argv, p.env
	p.plan.IDs = p.who.onHost()
	p.plan.Limits = o.Limits.Settings()
	for _, port := range o.Publish {
		p.plan.Publish = append(p.plan.Publish, port.String())
	}
	p.plan.Namespaces = append([]string{"user", "mnt"}, namesOf(p.namespaces)...)
	return p, nil
}

// check refuses options that cannot work.
func check(o Options) error {
	if o.Container.Version != spec.Version {
		return fmt.Errorf("cannot start the container: its container.json has version %d, this osbuild knows %d", o.Container.Version, spec.Version)
	}
	for _, need := range o.Container.Requires {
		if need != "nested" || !o.Nested {
			return fmt.Errorf("cannot start the container: the system requires %q; start it with --%s", need, need)
		}
	}
	if o.IDs < 0 || o.IDs > 1<<30 {
		return fmt.Errorf("cannot give a container %d ids", o.IDs)
	}
	if !slices.ContainsFunc(o.Items, func(i spec.Item) bool { return i.Logical == o.System }) {
		return fmt.Errorf("cannot start the container: %s is not in its own closure", o.System)
	}
	return nil
}

// inspect looks at the sources of all mounts.
func (p *prepared) inspect(o Options, in *mount.Container) error {
	var err error
	if in.Items, err = inspectItems(o.Items); err != nil {
		return err
	}
	for _, m := range o.Container.Mounts {
		if m.Kind != spec.MountBind {
			continue
		}
		b, err := inspectMapping(spec.Mapping{Source: m.Source, Target: m.Target, Writable: !m.ReadOnly})
		if m.Optional && errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		b.Optional = m.Optional
		b.Flags.NoExec = m.NoExec
		in.Declared = append(in.Declared, b)
	}
	if in.User, err = inspectMappings(o.Mappings); err != nil {
		return err
	}
	if in.Secrets, err = readSecrets(o.Secrets); err != nil {
		return err
	}
	in.Devices = openDevices("/dev", "fuse", "net/tun")
	p.mapOwners(in)
	return nil
}

// openDevices are those of the devices in dev that everybody on the host may
// open. The others would be nobody's in the container, of no use.
func openDevices(dev string, names ...string) (out []string) {
	for _, d := range names {
		st, err := os.Stat(filepath.Join(dev, d))
		if err == nil && st.Mode()&os.ModeCharDevice != 0 && st.Mode()&0o006 == 0o006 {
			out = append(out, d)
		}
	}
	return out
}

// mapOwners shows files of host root as container root's, where the file system
// can: root started the container, and its files are what it shares.
func (p *prepared) mapOwners(in *mount.Container) {
	if !p.who.asRoot {
		return
	}
	in.IDMap = true
	tried := map[string]bool{}
	for _, it := range in.Items {
		dir := filepath.Dir(it.Physical)
		if tried[dir] {
			continue
		}
		tried[dir] = true
		if !canIDMap(it.Physical, p.who.userNS) {
			in.IDMap = false
			p.warnings = append(p.warnings, "files of the store are shown as nobody's: the file system of "+dir+" cannot map owners")
			break
		}
	}
	for _, group := range [][]mount.Bind{in.Declared, in.User} {
		for i := range group {
			if group[i].Flags.IDMap = canIDMap(group[i].Source, p.who.userNS); !group[i].Flags.IDMap {
				p.warnings = append(p.warnings, "files of "+group[i].Source+" are shown as nobody's: its file system cannot map owners")
			}
		}
	}
}

// maxSecret bounds what a secret may hold.
const maxSecret = 1 << 20

// readSecrets reads the files of the secrets.
func readSecrets(files map[string]string) (map[string][]byte, error) {
	out := map[string][]byte{}
	for name, file := range files {
		st, err := os.Stat(file)
		if err == nil && (!st.Mode().IsRegular() || st.Size() > maxSecret) {
			err = fmt.Errorf("it must be a file of at most %d bytes", maxSecret)
		}
		if err == nil {
			out[name], err = os.ReadFile(file)
		}
		if err != nil {
			return nil, fmt.Errorf("cannot read secret %s from %s: %w", name, file, cause(err))
		}
	}
	return out, nil
}

// kind is a kind of namespace: its clone flag, its word on the command line and
// nsenter's option.
type kind struct {
	flag       uint64
	name, join string
}

// kinds are those besides user and mount, which every process here has.
var kinds = []kind{
	{unix.CLONE_NEWPID, "pid", "-p"},
	{unix.CLONE_NEWNET, "net", "-n"},
	{unix.CLONE_NEWIPC, "ipc", "-i"},
	{unix.CLONE_NEWUTS, "uts", "-u"},
	{unix.CLONE_NEWCGROUP, "cgroup", "-C"},
}

func namesOf(namespaces uint64) []string {
	var out []string
	for _, k := range kinds {
		if namespaces&k.flag != 0 {
			out = append(out, k.name)
		}
	}
	return out
}

// nsenter are nsenter's options for the namespaces that a container has of its
// own; joining one that it shares would be refused.
func nsenter(namespaces uint64) string {
	out := "-U -m"
	for _, k := range kinds {
		if namespaces&k.flag != 0 {
			out += " " + k.join
		}
	}
	return out
}
