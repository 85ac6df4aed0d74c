// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package apt

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"osbuild/builder/debian/apt/apttest"
)

// TestConform asks apt itself to read the archives that the tests make, so
// that both mean the same by a good archive.
func TestConform(t *testing.T) {
	program, err := exec.LookPath("apt-get")
	if err != nil {
		t.Skip("SKIP-ENV: there is no apt-get")
	}
	tests := []struct {
		summary string
		change  func(t *testing.T, r *apttest.Repo)
		good    bool
	}{
		{"good", func(*testing.T, *apttest.Repo) {}, true},
		{"xz only", func(_ *testing.T, r *apttest.Repo) { r.Packings = []string{".xz"}; r.Publish() }, true},
		{"a signature beside the release file", func(t *testing.T, r *apttest.Repo) { remove(t, r, inRelease) }, true},
		{"changed", func(t *testing.T, r *apttest.Repo) { edit(t, r, inRelease, "Label: Test", "Label: Evil") }, false},
		{"another key", func(t *testing.T, r *apttest.Repo) {
			text, _ := os.ReadFile(r.Path("dists/stable/Release"))
			r.Key = apttest.NewKey(t, time.Now().Add(-48*time.Hour))
			r.Sign(string(text))
		}, false},
		{"expired", func(_ *testing.T, r *apttest.Repo) { r.ValidUntil = time.Now().Add(-time.Hour); r.Publish() }, false},
		{"text before the signed message", func(t *testing.T, r *apttest.Repo) {
			edit(t, r, inRelease, "-----BEGIN PGP SIGNED", "Origin: Evil\n\n-----BEGIN PGP SIGNED")
		}, false},
	}
	for _, test := range tests {
		t.Run(test.summary, func(t *testing.T) {
			r := published(t)
			test.change(t, r)
			for _, dir := range []string{"var/lib/apt/lists/partial", "var/cache/apt/archives/partial", "var/lib/dpkg", "etc/apt/preferences.d"} {
				if err := os.MkdirAll(filepath.Join(r.Root(), dir), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			write(t, filepath.Join(r.Root(), "var/lib/dpkg/status"), nil)
			// The program's own configuration, whatever the host has.
			conf := filepath.Join(r.Root(), "conf")
			write(t, conf, []byte(`Dir "`+r.Root()+`"; Dir::State::status "`+r.Root()+`/var/lib/dpkg/status"; APT::Sandbox::User ""; APT::Architecture "amd64"; APT::Update::Error-Mode "any";
#clear APT::Update::Post-Invoke; #clear APT::Update::Post-Invoke-Success;`))
			cmd := exec.Command(program, "-q", "update", "-o", "Acquire::Check-Valid-Until=true", "-o", "Dir::Bin::methods=/usr/lib/apt/methods")
			cmd.Env = append(os.Environ(), "APT_CONFIG="+conf, "LC_ALL=C")
			out, err := cmd.CombinedOutput()
			if test.good && err != nil && !strings.Contains(string(out), r.Dir()) {
				t.Skipf("SKIP-ENV: apt-get cannot work here: %v\n%s", err, out)
			}
			if (err == nil) != test.good {
				t.Errorf("apt-get says %v\n%s", err, out)
			}
			h, err := Open(context.Background(), Config{Root: r.Root()})
			if err == nil {
				_, err = h.Indexes(context.Background(), IndexOptions{Arch: "amd64"})
			}
			if (err == nil) != test.good {
				t.Errorf("we say %v", err)
			}
		})
	}
}
