// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package activate

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"osbuild/runner/spec"
)

// hardLimits is a kernel that raises no limit above these.
type hardLimits map[int]uint64

func (h hardLimits) Highest(resource int, want uint64) (uint64, string) {
	if top, ok := h[resource]; ok && want > top {
		return top, "the machine says so"
	}
	return want, ""
}

func (h hardLimits) Priority(n int) bool { return n >= 0 }

func TestFitLimits(t *testing.T) {
	kernel := hardLimits{
		unix.RLIMIT_NOFILE: 20000, unix.RLIMIT_MEMLOCK: 8<<20 + 5, unix.RLIMIT_CPU: 59,
		unix.RLIMIT_NICE: 0, unix.RLIMIT_RTPRIO: 0, unix.RLIMIT_AS: 1 << 40,
	}
	for _, tt := range []struct {
		summary, line, want, caution string
	}{
		{"what can be had stays to the letter", "*\t-\tnofile\t20000\n", "*\t-\tnofile\t20000\n", ""},
		{"too much is lowered", "*\t-\tnofile\t100000\n", "*\t-\tnofile\t20000\n", `the limit "* - nofile 100000" cannot be had: 20000 is in force: the machine says so`},
		{"so is too much of the soft limit alone", "@dev soft nofile 20001", "@dev\tsoft\tnofile\t20000\n", "20000 is in force"},
		{"unlimited is lowered", "a\thard\tnofile\tunlimited\n", "a\thard\tnofile\t20000\n", "20000 is in force"},
		{"infinity too", "a\thard\tnofile\tinfinity\n", "a\thard\tnofile\t20000\n", "20000 is in force"},
		{"-1 is unlimited", "a\thard\tnofile\t-1\n", "a\thard\tnofile\t20000\n", "20000 is in force"},
		{"a unit of 1024 bytes", "a\t-\tmemlock\tunlimited\n", "a\t-\tmemlock\t8192\n", "8192 is in force"},
		{"as many as there are", "a\t-\tmemlock\t8192\n", "a\t-\tmemlock\t8192\n", ""},
		{"a number that is too long for bytes", "a\t-\tas\t9223372036854775807\n", "a\t-\tas\t1073741824\n", "1073741824 is in force"},
		{"less than a minute is no line", "a\t-\tcpu\t5\n", "# a\t-\tcpu\t5\n", "it is left as it is"},
		{"a nice value that cannot be had is no line", "a\t-\tnice\t-5\n", "# a\t-\tnice\t-5\n", "it is left as it is"},
		{"a real-time priority", "a\t-\trtprio\t10\n", "# a\t-\trtprio\t10\n", "it is left as it is"},
		{"a real-time priority of 0", "a\t-\trtprio\t0\n", "a\t-\trtprio\t0\n", ""},
		{"a priority above the usual", "a\t-\tpriority\t-3\n", "# a\t-\tpriority\t-3\n", "sessions keep their priority"},
		{"a priority below it", "a\t-\tpriority\t3\n", "a\t-\tpriority\t3\n", ""},
		{"what PAM counts by itself", "@users\thard\tmaxlogins\t4\n", "@users\thard\tmaxlogins\t4\n", ""},
		{"a resource without a bound", "*\t-\tnproc\tunlimited\n", "*\t-\tnproc\tunlimited\n", ""},
		{"comments", "# * - nofile 100000\n", "# * - nofile 100000\n", ""},
		{"a comment behind a line", "* - nofile 100000 # many\n", "*\t-\tnofile\t20000\n", "20000 is in force"},
		{"lines that PAM does not know", "* - nofile lots\n* -\n\n", "* - nofile lots\n* -\n\n", ""},
	} {
		t.Run(tt.summary, func(t *testing.T) {
			got, cautions := fitLimits([]byte(tt.line), kernel)
			if diff := cmp.Diff(tt.want, string(got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if text := fmt.Sprint(cautions); (text == "[]") != (tt.caution == "") || !strings.Contains(text, tt.caution) {
				t.Errorf("cautions %s, want %q", text, tt.caution)
			}
		})
	}
}

func FuzzFitLimits(f *testing.F) {
	f.Add([]byte("*\t-\tnofile\t100000\n# x\nroot hard cpu unlimited"))
	f.Add([]byte("a - nice -30\na - as 99999999999999999999\n"))
	kernel := hardLimits{unix.RLIMIT_NOFILE: 20000, unix.RLIMIT_CPU: 120, unix.RLIMIT_NICE: 10, unix.RLIMIT_AS: 4096}
	f.Fuzz(func(t *testing.T, data []byte) {
		once, _ := fitLimits(data, kernel)
		twice, cautions := fitLimits(once, kernel)
		if len(cautions) > 0 || string(once) != string(twice) {
			t.Errorf("%q still cannot be had: %v", once, cautions)
		}
	})
}

// TestLimitsStep follows the file from its declaration to its end, on top of
// a package that brings one.
func TestLimitsStep(t *testing.T) {
	s := newSandbox(t, `
		/osbuild/store/e1-etc/profile 0444 one\n
		/osbuild/store/l-limits.conf 0444 *\t-\tnofile\t100000\n
		/osbuild/store/l-more.conf 0444 *\t-\tnofile\t10\n
		/osbuild/store/p-packages/etc/security/limits.conf 0644 # the package's
	`)
	for _, name := range []string{"l-limits.conf", "l-more.conf"} {
		// make does not know tabs.
		file := filepath.Join(s.dir, "osbuild/store", name)
		data, err := os.ReadFile(file)
		if err == nil {
			err = os.Chmod(file, 0o644)
		}
		if err == nil {
			err = os.WriteFile(file, []byte(strings.ReplaceAll(string(data), `\t`, "\t")), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	const file = "/etc/security/limits.conf"
	plan := func(from string) spec.ActivationPlan {
		p := spec.ActivationPlan{Steps: []spec.Step{{Phase: spec.PhaseEtc, Name: "etc", Etc: &spec.Etc{Tree: "/osbuild/store/e1-etc"}}}}
		if from != "" {
			p.Steps = append(p.Steps, spec.Step{Phase: spec.PhaseEtc, Name: "limits", Limits: &spec.Limits{From: "/osbuild/store/" + from, To: file}})
		}
		return Join(spec.ActivationPlan{Steps: []spec.Step{{Phase: spec.PhaseEtc, Name: "packages", Tree: &spec.Tree{From: "/osbuild/store/p-packages/etc", To: "/etc"}}}}, p)
	}
	for _, step := range []struct {
		summary, from, want, status string
		limits                      Limits
		change                      string
	}{
		{"declared: it beats the package's", "l-limits.conf", "*\t-\tnofile\t20000\n", `etc limits warning: the limit "* - nofile 100000" cannot be had: 20000 is in force: the machine says so`, hardLimits{unix.RLIMIT_NOFILE: 20000}, ""},
		{"again, on a machine with more", "l-limits.conf", "*\t-\tnofile\t100000\n", "", hardLimits{}, ""},
		{"changed here: it stays", "l-limits.conf", "mine", "", hardLimits{}, "mine"},
		{"another declaration", "l-more.conf", "*\t-\tnofile\t10\n", "", hardLimits{}, ""},
		{"a tree that nobody has booted", "l-limits.conf", "*\t-\tnofile\t100000\n", "", nil, ""},
		{"declared no more: the package's comes back", "", "# the package's", "", hardLimits{}, ""},
		{"no such item", "l-gone.conf", "# the package's", "etc limits failed: cannot make " + file, hardLimits{}, ""},
	} {
		if step.change != "" {
			if err := os.WriteFile(filepath.Join(s.dir, file), []byte(step.change), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		statuses := report(Run(s.Root, plan(step.from), Options{Limits: step.limits}))
		if (statuses == "") != (step.status == "") || !strings.HasPrefix(statuses, step.status) {
			t.Errorf("%s: statuses %q, want %q", step.summary, statuses, step.status)
		}
		if data, _ := s.ReadFile(file); string(data) != step.want {
			t.Errorf("%s: the file holds %q, want %q", step.summary, data, step.want)
		}
	}
	if got := s.dump("/var/lib/osbuild/replaced"); !strings.Contains(got, `limits.conf "mine"`) {
		t.Errorf("what was changed is not kept:\n%s", got)
	}
}

// TestKernelLimits asks the kernel and looks that nothing has changed.
func TestKernelLimits(t *testing.T) {
	runtime.LockOSThread() // a priority is a thread's
	defer runtime.UnlockOSThread()
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	priority, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
	if err != nil {
		t.Fatal(err)
	}
	var kernel KernelLimits
	if got, why := kernel.Highest(unix.RLIMIT_NOFILE, before.Max); got != before.Max || why != "" {
		t.Errorf("the limit in force: %d, %q", got, why)
	}
	// No process may have more files than fs.nr_open, whoever asks.
	got, why := kernel.Highest(unix.RLIMIT_NOFILE, unix.RLIM_INFINITY)
	if got != openFilesTop() && got != before.Max || !strings.Contains(why, fmt.Sprint(got)) {
		t.Errorf("unlimited: %d, %q", got, why)
	}
	_ = kernel.Priority(-20)
	if !kernel.Priority(19) {
		t.Error("a process may not have less than it has")
	}
	var after unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &after); err != nil {
		t.Fatal(err)
	}
	if before != after {
		t.Errorf("the limits were %v and are %v", before, after)
	}
	if now, err := unix.Getpriority(unix.PRIO_PROCESS, 0); err != nil || now != priority {
		t.Errorf("the priority was %d and is %d: %v", 20-priority, 20-now, err)
	}
}
