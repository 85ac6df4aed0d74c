// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package activate

import (
	"fmt"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"osbuild/runner/activate/tree"
	"osbuild/runner/spec"
)

// privileged makes the copies of programs that carry set-id bits or
// capabilities. Old copies go first: a program that is not declared any more
// must lose its privileges now. One failure does not stop the others.
func (r *run) privileged(programs []spec.Privileged) []error {
	if err := r.MkdirAll(spec.PrivilegedDir); err != nil && !Unable(err) {
		return []error{err}
	}
	problems := r.Empty(spec.PrivilegedDir)
	if len(programs) > 0 && r.Mounts != nil {
		if err := r.Mounts.PermitSetID(spec.PrivilegedDir); err != nil {
			problems = append(problems, err)
		}
	}
	for _, p := range programs {
		if err := r.privilegedOne(p); err != nil {
			problems = append(problems, fmt.Errorf("cannot give privileges to %s: %w", p.Program, err))
		}
	}
	return problems
}

func (r *run) privilegedOne(p spec.Privileged) error {
	if !p.Setuid && !p.Setgid && len(p.Capabilities) == 0 {
		r.Message(fmt.Sprintf("privileged: %s asks for no privilege", p.Program))
	}
	accounts := names(r.Root)
	uid, _, err := accounts.User(p.User)
	if err != nil {
		return err
	}
	gid, err := accounts.Group(p.Group)
	if err != nil {
		return err
	}
	capabilities, err := capabilityXattr(p.Capabilities)
	if err != nil {
		return err
	}
	mode := uint32(0o555)
	if p.Setuid {
		mode |= unix.S_ISUID
	}
	if p.Setgid {
		mode |= unix.S_ISGID
	}
	// A program that is called by its place in /usr gets its privileged copy
	// bound there; one of an earlier activation hides the program itself.
	inPlace := r.Mounts != nil && !strings.HasPrefix(p.Program, spec.StoreDir+"/")
	if inPlace && r.Mounted(p.Program) {
		if err := r.Mounts.Unmount(p.Program); err != nil {
			return err
		}
	}
	source, err := r.OpenFile(p.Program)
	if err != nil {
		return err
	}
	defer source.Close()
	if st, err := source.Stat(); err != nil {
		return err
	} else if !st.Mode().IsRegular() {
		return fmt.Errorf("it is not a regular file")
	}
	target := path.Join(spec.PrivilegedDir, path.Base(p.Program))
	if r.Kind(target) != 0 {
		return fmt.Errorf("two privileged programs are called %s", path.Base(p.Program))
	}
	err = r.WriteFileFunc(target, source, mode, tree.Owner{UID: uid, GID: gid}, func(fd int) error {
		if capabilities == nil {
			return nil
		}
		if err := unix.Fsetxattr(fd, "security.capability", capabilities, 0); err != nil {
			return fmt.Errorf("cannot set capabilities: %w", err)
		}
		return nil
	})
	if err != nil {
		// Without its owner a set-id file would give the wrong privileges.
		_ = r.Remove(target)
		return err
	}
	if inPlace {
		return r.Mounts.Bind(target, p.Program)
	}
	return nil
}

// capabilityNames are the names of capabilities(7) by number.
var capabilityNames = strings.Fields(`cap_chown cap_dac_override cap_dac_read_search cap_fowner cap_fsetid cap_kill
	cap_setgid cap_setuid cap_setpcap cap_linux_immutable cap_net_bind_service cap_net_broadcast cap_net_admin
	cap_net_raw cap_ipc_lock cap_ipc_owner cap_sys_module cap_sys_rawio cap_sys_chroot cap_sys_ptrace cap_sys_pacct
	cap_sys_admin cap_sys_boot cap_sys_nice cap_sys_resource cap_sys_time cap_sys_tty_config cap_mknod cap_lease
	cap_audit_write cap_audit_control cap_setfcap cap_mac_override cap_mac_admin cap_syslog cap_wake_alarm
	cap_block_suspend cap_audit_read cap_perfmon cap_bpf cap_checkpoint_restore`)

// capabilityXattr is the value of security.capability for names as +ep: the
// revision 2 layout, which the kernel binds to the user namespace by itself.
// nil names give nil.
func capabilityXattr(names []string) ([]byte, error) {
	if len(names) == 0 {
		return nil, nil
	}
	const revision2, effective = 0x02000000, 1
	var permitted uint64
	for _, name := range names {
		bit := -1
		for i, known := range capabilityNames {
			if strings.EqualFold(name, known) {
				bit = i
			}
		}
		if bit < 0 {
			return nil, fmt.Errorf("there is no capability %q", name)
		}
		permitted |= 1 << bit
	}
	var out []byte
	word := func(v uint32) { out = append(out, byte(v), byte(v>>8), byte(v>>16), byte(v>>24)) }
	word(revision2 | effective)
	word(uint32(permitted))
	word(0)
	word(uint32(permitted >> 32))
	word(0)
	return out, nil
}
