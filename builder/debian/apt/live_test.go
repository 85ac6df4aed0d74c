// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package apt

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"regexp"
	"testing"
	"time"
)

// live opens the host's own configuration and reads its indexes.
func live(t testing.TB, cfg Config) (*Host, *Snapshot) {
	t.Helper()
	if _, err := os.Stat("/etc/apt"); err != nil {
		t.Skip("SKIP-ENV: the host has no apt:", err)
	}
	cfg.Warn = func(s string) { t.Log(s) }
	h, err := Open(context.Background(), cfg)
	if err != nil {
		t.Skip("SKIP-ENV: the apt sources of the host cannot be used:", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	s, err := h.Indexes(ctx, IndexOptions{})
	if errors.Is(err, ErrNetwork) || ctx.Err() != nil {
		t.Skip("SKIP-ENV: the host's archives cannot be reached:", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return h, s
}

// TestLive reads the indexes of the host, fetches a small file, and asks
// apt-cache for the same candidate.
func TestLive(t *testing.T) {
	h, s := live(t, Config{Cache: t.TempDir()})
	if len(s.Packages) < 1000 {
		t.Skipf("SKIP-ENV: the host's archives have %d packages", len(s.Packages))
	}
	t.Logf("%d packages of %v", len(s.Packages), h.Suites())
	version, suite, err := h.Newer(context.Background(), "hostname")
	if err != nil || version == "" {
		t.Fatalf("got %q and %v", version, err)
	}
	for _, p := range s.Packages {
		if p.Name == "hostname" && string(p.Version) == version {
			var out bytes.Buffer
			err := h.Fetch(context.Background(), File{Suite: suite, Path: p.Filename, SHA256: p.SHA256, Size: p.Size}, &out)
			if err != nil || int64(out.Len()) != p.Size {
				t.Errorf("got %d bytes and %v", out.Len(), err)
			}
		}
	}
	out, err := exec.Command("apt-cache", "madison", "hostname").Output()
	if err != nil || len(out) == 0 {
		t.Skip("SKIP-ENV: apt-cache has no lists:", err)
	}
	if newest := regexp.MustCompile(`\| *(\S+) *\|`).FindSubmatch(out); newest == nil || string(newest[1]) != version {
		t.Logf("apt's lists may be older than the archive: it has %s, we have %s", out, version)
	}
}

// BenchmarkIndexes reads the indexes of the host, which are in the cache.
func BenchmarkIndexes(b *testing.B) {
	h, _ := live(b, Config{Cache: b.TempDir()})
	h.cfg.Offline = true
	for b.Loop() {
		if _, err := h.Indexes(context.Background(), IndexOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}
