// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Limits bound what all processes of a container together use. Zero is no limit.
type Limits struct {
	// Memory is a number of bytes.
	Memory int64
	// PIDs is a number of processes and threads.
	PIDs int64
	// CPUs is a number of processors' time, 1.5 for one and a half.
	CPUs float64
}

// cpuPeriod is the time, in microseconds, within which a group's share of the
// processors is spent. The kernel's own default; it takes quotas from 1 ms.
const (
	cpuPeriod   = 100_000
	minCPUQuota = 1_000
)

// MinCPUs and MaxCPUs bound Limits.CPUs: the kernel takes no smaller share of a
// processor, and has no more of them.
const (
	MinCPUs = float64(minCPUQuota) / cpuPeriod
	MaxCPUs = float64(8192)
)

// setting is one file of a group.
type setting struct{ controller, file, value string }

func (l Limits) settings() []setting {
	var out []setting
	if l.CPUs > 0 {
		quota := max(minCPUQuota, int64(math.Round(l.CPUs*cpuPeriod)))
		out = append(out, setting{"cpu", "cpu.max", fmt.Sprintf("%d %d", quota, cpuPeriod)})
	}
	if l.Memory > 0 {
		out = append(out, setting{"memory", "memory.max", strconv.FormatInt(l.Memory, 10)})
	}
	if l.PIDs > 0 {
		out = append(out, setting{"pids", "pids.max", strconv.FormatInt(l.PIDs, 10)})
	}
	return out
}

// Settings are the limits as files of a group and what is written to them.
func (l Limits) Settings() (out []string) {
	for _, s := range l.settings() {
		out = append(out, s.file+" "+s.value)
	}
	return out
}

// limit sets the limits of a new group. They were asked for, so one that cannot
// be set is an error.
func (h Hierarchy) limit(r Request) error {
	settings := r.Limits.settings()
	here := words(r.Dir, controllers)
	var missing []string
	for _, s := range settings {
		if !slices.Contains(here, s.controller) {
			missing = append(missing, s.controller)
		}
	}
	if len(missing) > 0 {
		return h.missing(r.Dir, missing)
	}
	for _, s := range settings {
		if err := write(r.Dir, s.file, s.value); err != nil {
			return fmt.Errorf("cannot limit the container's %s to %s: %w", s.controller, s.value, err)
		}
	}
	return nil
}

// missing says why controllers are not there.
func (h Hierarchy) missing(dir string, names []string) error {
	list := strings.Join(names, ", ")
	var reason error
	host := words(h.Root, controllers)
	absent := slices.DeleteFunc(slices.Clone(names), func(c string) bool { return slices.Contains(host, c) })
	if len(absent) > 0 {
		has := "none"
		if len(host) > 0 {
			has = strings.Join(host, ", ")
		}
		reason = fmt.Errorf("the host's control groups at %s have no controller %s (they have: %s); boot the host with cgroup_no_v1=%s, or leave the limits out",
			h.Root, strings.Join(absent, ", "), has, strings.Join(absent, ","))
	} else {
		reason = fmt.Errorf("they cannot be enabled for the groups in %s, where other processes are; as a user, start osbuild by `systemd-run --user --scope --property=Delegate=yes`", filepath.Dir(dir))
	}
	return fmt.Errorf("cannot limit the container's %s: %w", list, reason)
}
