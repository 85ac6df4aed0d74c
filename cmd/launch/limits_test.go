// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"osbuild/runner"
	"osbuild/runner/cgroup"
)

// options parses a command line.
func options(t *testing.T, args ...string) (runner.Options, error) {
	t.Helper()
	var f Flags
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	f.Declare(fs)
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	return f.Options(nil)
}

func TestLimits(t *testing.T) {
	for _, tc := range []struct {
		summary string
		args    []string
		want    cgroup.Limits
		err     string
	}{
		{"none", nil, cgroup.Limits{}, ""},
		{"bytes", []string{"--memory=1000000"}, cgroup.Limits{Memory: 1000000}, ""},
		{"units", []string{"--memory=512M"}, cgroup.Limits{Memory: 512 << 20}, ""},
		{"small letters", []string{"--memory=2g"}, cgroup.Limits{Memory: 2 << 30}, ""},
		{"all", []string{"--memory=1k", "--pids=7", "--cpus=1.5"}, cgroup.Limits{Memory: 1024, PIDs: 7, CPUs: 1.5}, ""},
		{"a unit alone", []string{"--memory=M"}, cgroup.Limits{}, `cannot limit memory to "M": --memory takes a number of bytes`},
		{"no memory", []string{"--memory=0"}, cgroup.Limits{}, `cannot limit memory to "0"`},
		{"more than there are bytes", []string{"--memory=9999999999T"}, cgroup.Limits{}, `cannot limit memory`},
		{"less than nothing", []string{"--memory=-1M"}, cgroup.Limits{}, `cannot limit memory`},
		{"no process", []string{"--pids=0"}, cgroup.Limits{}, `cannot limit processes to "0": --pids takes a whole number from 1`},
		{"a part of a process", []string{"--pids=1.5"}, cgroup.Limits{}, `cannot limit processes to "1.5"`},
		{"no time", []string{"--cpus=0"}, cgroup.Limits{}, `cannot limit processors to "0": --cpus takes a number from 0.01 to 8192`},
		{"not a number", []string{"--cpus=NaN"}, cgroup.Limits{}, `cannot limit processors`},
		{"endless", []string{"--cpus=inf"}, cgroup.Limits{}, `cannot limit processors`},
	} {
		t.Run(tc.summary, func(t *testing.T) {
			o, err := options(t, tc.args...)
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) {
					t.Errorf("error %v, want %q", err, tc.err)
				}
				return
			}
			if err != nil || o.Limits != tc.want {
				t.Errorf("got %+v, %v", o.Limits, err)
			}
		})
	}
}

func TestPublish(t *testing.T) {
	for _, tc := range []struct {
		summary, text, host string
		inside              uint16
		err                 string
	}{
		{"two ports", "8080:80", "127.0.0.1:8080", 80, ""},
		{"an address", "192.0.2.1:8080:80", "192.0.2.1:8080", 80, ""},
		{"all addresses", "0.0.0.0:8080:80", "0.0.0.0:8080", 80, ""},
		{"an address with colons", "[::1]:8080:80", "[::1]:8080", 80, ""},
		{"any free port", "0:80", "127.0.0.1:0", 80, ""},
		{"one port", "80", "", 0, "a port is missing"},
		{"no port inside", "8080:", "", 0, `"" is no port of the container`},
		{"port 0 inside", "8080:0", "", 0, `"0" is no port of the container`},
		{"too high", "8080:65536", "", 0, `"65536" is no port of the container`},
		{"a name", "http:80", "", 0, `"http" is no port of the host`},
		{"a host's name", "localhost:8080:80", "", 0, `"localhost" is no address`},
		{"without brackets", "::1:8080:80", "", 0, "an address with colons stands in brackets, as in [::1]:8080:80"},
		{"half a bracket", "[::1:8080:80", "", 0, "an address with colons stands in brackets"},
		{"nothing", "", "", 0, "a port is missing"},
	} {
		t.Run(tc.summary, func(t *testing.T) {
			o, err := options(t, "--publish="+tc.text)
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) || !strings.HasPrefix(err.Error(), `cannot publish "`+tc.text+`": `) {
					t.Errorf("error %v, want %q", err, tc.err)
				}
				return
			}
			if err != nil || len(o.Publish) != 1 || o.Publish[0].Host.String() != tc.host || o.Publish[0].Container != tc.inside {
				t.Errorf("got %+v, %v", o.Publish, err)
			}
		})
	}
	if _, err := options(t, "--network", "--publish=8080:80"); err == nil || !strings.Contains(err.Error(), "cannot publish ports with --network") {
		t.Errorf("with the host's network: %v", err)
	}
}

func FuzzParseSize(f *testing.F) {
	for _, s := range []string{"512M", "1", "9223372036854775807", "8388608T", "1kk", "K"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		n, err := parseSize(text)
		if err != nil {
			return
		}
		digits, err := strconv.ParseUint(strings.TrimRight(text, "KMGTkmgt"), 10, 64)
		if err != nil || n <= 0 || digits > math.MaxInt64 || n%int64(digits) != 0 {
			t.Errorf("%q is %d", text, n)
		}
	})
}

func FuzzParsePort(f *testing.F) {
	for _, s := range []string{"8080:80", "[::1]:8080:80", "192.0.2.1:0:80", "[fe80::1%lo]:1:1", ":::"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parsePort(text)
		if err == nil && (!p.Host.IsValid() || p.Container == 0) {
			t.Errorf("%q is %+v", text, p)
		}
	})
}
