// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package activate

import (
	"fmt"
	"strings"
)

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
