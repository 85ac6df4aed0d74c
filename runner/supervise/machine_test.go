// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package supervise

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"osbuild/runner/spec"
)

var update = flag.Bool("update", false, "write what the machine does into testdata/machine.txtar")

// TestMachine plays each story of testdata/machine.txtar: files NAME/services
// and NAME/script, with what the machine does in NAME/transcript.
func TestMachine(t *testing.T) { play(t, "testdata/machine.txtar") }

// TestUpgrade plays those about other plans, actions and what herd tells; their
// further files are the plans of `upgrade`.
func TestUpgrade(t *testing.T) { play(t, "testdata/upgrade.txtar") }

func TestTelling(t *testing.T) { play(t, "testdata/telling.txtar") }

func play(t *testing.T, name string) {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	archive := txtar.Parse(data)
	files := map[string]*txtar.File{}
	for i := range archive.Files {
		files[archive.Files[i].Name] = &archive.Files[i]
	}
	for _, file := range archive.Files {
		story, ok := strings.CutSuffix(file.Name, "/script")
		if !ok {
			continue
		}
		t.Run(story, func(t *testing.T) {
			f := &fake{t: t, clock: time.Unix(1000, 0), plans: map[string]string{}}
			for _, other := range archive.Files {
				if name, ok := strings.CutPrefix(other.Name, story+"/"); ok {
					f.plans[name] = string(other.Data)
				}
			}
			f.m = newMachine(f.services(string(files[story+"/services"].Data)), f, effects{
				mount:   func(spec.Mount) (bool, error) { return true, nil },
				unmount: func(string) error { f.note("unmounted"); return nil },
				homes:   func(spec.Homes) error { return errors.New("no room for homes") },
			})
			for line := range strings.Lines(string(file.Data)) {
				if line = strings.TrimSpace(line); line != "" {
					f.play(line)
				}
			}
			got := strings.Join(f.transcript, "\n") + "\n"
			want := files[story+"/transcript"]
			if want == nil {
				t.Fatal("the story has no transcript")
			}
			if *update {
				want.Data = []byte(got)
				return
			}
			if diff := cmp.Diff(string(want.Data), got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	if *update {
		if err := os.WriteFile(name, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestStopOrder checks the order over a graph rather than one example: no
// service gets its signal while one that needs it is alive.
func TestStopOrder(t *testing.T) {
	f := &fake{t: t, clock: time.Unix(1000, 0)}
	var plan strings.Builder
	const n = 40
	for i := range n {
		fmt.Fprintf(&plan, "s%d:", i)
		for j := range i {
			if (i*7+j*13)%5 == 0 {
				fmt.Fprintf(&plan, " s%d", j)
			}
		}
		plan.WriteString(" | exec\n")
	}
	f.m = newMachine(f.services(plan.String()), f, effects{})
	f.m.boot(nil)
	off := false
	f.m.powerOff(func() { off = true })
	for len(f.procs) > 0 {
		// End one that was signalled; none other may have been.
		ended := false
		for i, p := range f.procs {
			if !strings.Contains(strings.Join(f.transcript, "\n")+"\n", p.name+" gets SIGTERM\n") {
				continue
			}
			for _, other := range f.procs {
				for _, r := range f.m.byName[other.name].Requirement {
					if r == p.name {
						t.Fatalf("%s was told to stop while %s, which needs it, runs", p.name, other.name)
					}
				}
			}
			f.procs = append(f.procs[:i:i], f.procs[i+1:]...)
			p.ended(spec.Exit{}, output{})
			ended = true
			break
		}
		if !ended {
			t.Fatalf("nobody stops; left: %d", len(f.procs))
		}
	}
	if !off {
		t.Error("the system is not off")
	}
}

// BenchmarkMachine boots many services and powers them off: ten times the
// services take ten times as long, not a hundred.
func BenchmarkMachine(b *testing.B) {
	for _, n := range []int{300, 3000, 30000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			plan := spec.ServicePlan{Services: []spec.Service{{Provision: []string{"all"}, AutoStart: true}}}
			for i := range n {
				plan.Services = append(plan.Services, spec.Service{
					Provision: []string{fmt.Sprint("s", i)}, Requirement: []string{"all", fmt.Sprint("s", i/2)}[:1+min(i, 1)], AutoStart: true,
				})
			}
			for b.Loop() {
				f := &fake{clock: time.Unix(1000, 0)}
				m := newMachine(plan, f, effects{})
				m.wait(0, func(bool) {})
				m.boot(nil)
				off := false
				m.powerOff(func() { off = true })
				if !off || m.services[n].state != spec.StateStopped {
					b.Fatal("the services do not stop")
				}
			}
		})
	}
}
