// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package runner

import "testing"

// Where the other tests of this package run, nothing is amiss.
func TestDoctor(t *testing.T) {
	newRig(t, nil)
	seen := map[string]bool{}
	for _, f := range Doctor() {
		if seen[f.What] {
			t.Errorf("%s is examined twice", f.What)
		}
		seen[f.What] = true
		if f.Detail == "" || f.OK != (f.Remedy == "") || !f.OK && f.What != "overlayfs" {
			t.Errorf("got %+v", f)
		}
	}
	for _, what := range []string{"kernel", "overlayfs", "/proc", "user namespaces", "control groups", "/dev/net/tun", "/dev/fuse"} {
		if !seen[what] {
			t.Errorf("%s is not examined", what)
		}
	}
}
