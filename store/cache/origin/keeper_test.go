// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package origin

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"osbuild/store"
)

// TestKeeper holds that leases are followed by new ones, and end when nobody
// uses them any more.
func TestKeeper(t *testing.T) {
	s, err := store.Open(filepath.Join(t.TempDir(), "root"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	p, err := store.TextPath("a", []byte("a"), nil)
	if err != nil {
		t.Fatal(err)
	}
	leases := func(want int) {
		t.Helper()
		if all, err := os.ReadDir(s.Root() + "/leases"); err != nil || len(all) != want {
			t.Errorf("%d leases, want %d (%v)", len(all), want, err)
		}
	}
	var k keeper
	keep := func() func() {
		t.Helper()
		release, err := k.keep(s, p)
		if err != nil {
			t.Fatal(err)
		}
		return release
	}
	later := func() { k.current.born = k.current.born.Add(-keepFor - time.Second) }
	long := keep()
	keep()()
	leases(1)
	later()
	keep()()
	leases(2) // the first is the last one's
	later()
	keep()()
	leases(3) // and still in use
	later()
	keep()()
	leases(3) // the second is over
	long()
	leases(2)
	if err := k.close(); err != nil {
		t.Error(err)
	}
	leases(0)
}
