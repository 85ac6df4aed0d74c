// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"osbuild/runner"
	"osbuild/runner/cgroup"
)

// limits are --memory, --pids and --cpus.
type limits struct {
	memory string
	pids   string
	cpus   string
}

func (l *limits) declare(fs *pflag.FlagSet) {
	fs.StringVar(&l.memory, "memory", "", "let the container use `SIZE` of memory at most, e.g. 512M or 2G")
	fs.StringVar(&l.pids, "pids", "", "let the container have `N` processes and threads at most")
	fs.StringVar(&l.cpus, "cpus", "", "let the container use the time of `N` processors at most, e.g. 1.5")
}

func (l limits) parse() (out cgroup.Limits, err error) {
	if l.memory != "" {
		if out.Memory, err = parseSize(l.memory); err != nil {
			return out, fmt.Errorf("cannot limit memory to %q: %w", l.memory, err)
		}
	}
	if l.pids != "" {
		out.PIDs, err = strconv.ParseInt(l.pids, 10, 64)
		if err != nil || out.PIDs < 1 {
			return out, fmt.Errorf("cannot limit processes to %q: --pids takes a whole number from 1", l.pids)
		}
	}
	if l.cpus != "" {
		out.CPUs, err = strconv.ParseFloat(l.cpus, 64)
		if err != nil || math.IsNaN(out.CPUs) || out.CPUs < cgroup.MinCPUs || out.CPUs > cgroup.MaxCPUs {
			return out, fmt.Errorf("cannot limit processors to %q: --cpus takes a number from %g to %g, such as 1.5", l.cpus, cgroup.MinCPUs, cgroup.MaxCPUs)
		}
	}
	return out, nil
}

// parseSize reads a number of bytes, with a unit of 1024 each if it ends in one.
func parseSize(text string) (int64, error) {
	digits, factor := text, int64(1)
	if n := len(text) - 1; n > 0 {
		if i := strings.IndexByte("KMGT", text[n]&^0x20); i >= 0 {
			digits, factor = text[:n], 1<<(10*(i+1))
		}
	}
	n, err := strconv.ParseUint(digits, 10, 63)
	if err != nil || n == 0 || int64(n) > math.MaxInt64/factor {
		return 0, fmt.Errorf("--memory takes a number of bytes, or one with K, M, G or T behind it, such as 512M")
	}
	return int64(n) * factor, nil
}

// parsePort reads [ADDRESS:]PORT:PORT. An IPv6 address stands in brackets.
func parsePort(text string) (runner.Port, error) {
	fail := func(reason string) (runner.Port, error) {
		return runner.Port{}, fmt.Errorf("cannot publish %q: %s; --publish takes [ADDRESS:]PORT:PORT, of the host and of the container, such as 8080:80", text, reason)
	}
	host, inside, ok := cutLast(text)
	if !ok {
		return fail("a port is missing")
	}
	address, outside, ok := cutLast(host)
	if !ok {
		address, outside = "127.0.0.1", host
	} else if strings.Contains(address, ":") {
		if len(address) < 2 || address[0] != '[' || address[len(address)-1] != ']' {
			return fail("an address with colons stands in brackets, as in [::1]:8080:80")
		}
		address = address[1 : len(address)-1]
	}
	to, err := strconv.ParseUint(inside, 10, 16)
	if err != nil || to == 0 {
		return fail(fmt.Sprintf("%q is no port of the container, which is a number from 1 to 65535", inside))
	}
	from, err := strconv.ParseUint(outside, 10, 16)
	if err != nil {
		return fail(fmt.Sprintf("%q is no port of the host, which is a number up to 65535, 0 for any free one", outside))
	}
	addr, err := netip.ParseAddr(address)
	if err != nil {
		return fail(fmt.Sprintf("%q is no address", address))
	}
	return runner.Port{Host: netip.AddrPortFrom(addr.Unmap(), uint16(from)), Container: uint16(to)}, nil
}

// cutLast cuts at the last colon.
func cutLast(text string) (before, after string, ok bool) {
	i := strings.LastIndexByte(text, ':')
	if i < 0 {
		return "", text, false
	}
	return text[:i], text[i+1:], true
}
