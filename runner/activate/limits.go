// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package activate

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"osbuild/runner/spec"
)

// Limits tells what the kernel lets a session have.
type Limits interface {
	// Highest is the highest hard limit, up to want, that a process started
	// here may be given, and why it is less than want.
	Highest(resource int, want uint64) (highest uint64, why string)
	// Priority says whether a process may be given the nice value n.
	Priority(n int) bool
}

// pamItem is how an item of limits.conf(5) counts.
type pamItem struct {
	resource int
	unit     uint64
}

// pamItems are the items that end in setrlimit(2). The others are counted by
// PAM itself.
var pamItems = map[string]pamItem{
	"as": {unix.RLIMIT_AS, 1024}, "core": {unix.RLIMIT_CORE, 1024}, "cpu": {unix.RLIMIT_CPU, 60},
	"data": {unix.RLIMIT_DATA, 1024}, "fsize": {unix.RLIMIT_FSIZE, 1024}, "locks": {unix.RLIMIT_LOCKS, 1},
	"memlock": {unix.RLIMIT_MEMLOCK, 1024}, "msgqueue": {unix.RLIMIT_MSGQUEUE, 1}, "nice": {unix.RLIMIT_NICE, 1},
	"nofile": {unix.RLIMIT_NOFILE, 1}, "nproc": {unix.RLIMIT_NPROC, 1}, "rss": {unix.RLIMIT_RSS, 1024},
	"rtprio": {unix.RLIMIT_RTPRIO, 1}, "sigpending": {unix.RLIMIT_SIGPENDING, 1}, "stack": {unix.RLIMIT_STACK, 1024},
}

// limits makes a limits.conf that no session fails of: pam_limits(8) refuses a
// session when the kernel refuses one of its limits.
func (r *run) limits(l spec.Limits) []error {
	data, err := r.ReadFile(l.From)
	if err != nil {
		return []error{fmt.Errorf("cannot make %s: %w", l.To, err)}
	}
	var cautions []error
	if r.Limits != nil {
		data, cautions = fitLimits(data, r.Limits)
	}
	if err := r.parent(l.To); err != nil && !Unable(err) {
		return []error{err}
	}
	return append(r.generate(l.To, data, 0o644), cautions...)
}

// fitLimits lowers what cannot be had, and says so.
func fitLimits(data []byte, limits Limits) (fitted []byte, cautions []error) {
	var out bytes.Buffer
	for line := range bytes.Lines(data) {
		text, instead, why := fitLimit(string(line), limits)
		if why == "" {
			out.Write(line)
			continue
		}
		out.WriteString(instead)
		cautions = append(cautions, caution(fmt.Sprintf("the limit %q cannot be had: %s", text, why)))
	}
	return out.Bytes(), cautions
}

// fitLimit looks at one line. why is empty where it can stay.
func fitLimit(line string, limits Limits) (text, instead, why string) {
	declared, _, _ := strings.Cut(line, "#")
	f := strings.Fields(declared)
	if len(f) != 4 {
		return "", "", ""
	}
	text = strings.Join(f, " ")
	dropped := "# " + strings.TrimSuffix(line, "\n") + "\n"
	n, err := strconv.Atoi(f[3])
	if f[2] == "priority" {
		if err != nil || limits.Priority(n) {
			return "", "", ""
		}
		return text, dropped, "sessions keep their priority: raising it needs CAP_SYS_NICE on the machine itself, see setpriority(2)"
	}
	item, ok := pamItems[f[2]]
	if !ok {
		return "", "", ""
	}
	want := uint64(unix.RLIM_INFINITY)
	switch {
	case f[3] == "unlimited" || f[3] == "infinity":
	case err != nil || n < -1 && f[2] != "nice":
		return "", "", "" // not a line that PAM takes
	case f[2] == "nice":
		want = niceLimit(n)
	case n >= 0:
		want = uint64(math.MaxUint64)
		if uint64(n) < math.MaxUint64/item.unit {
			want = uint64(n) * item.unit
		}
	}
	highest, reason := limits.Highest(item.resource, want)
	if highest >= want {
		return "", "", ""
	}
	value := int64(highest / item.unit)
	if f[2] == "nice" {
		value = 20 - int64(highest)
	}
	if highest < item.unit {
		// There is no line for it: 0 minutes, or a nice value of 20.
		return text, dropped, fmt.Sprintf("it is left as it is: %s", reason)
	}
	return text, fmt.Sprintf("%s\t%s\t%s\t%d\n", f[0], f[1], f[2], value), fmt.Sprintf("%d is in force: %s", value, reason)
}

// niceLimit is the limit of getrlimit(2) for a nice value.
func niceLimit(n int) uint64 { return uint64(20 - min(max(n, -20), 19)) }
