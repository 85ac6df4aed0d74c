// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"testing"
)

func TestRunFirst(t *testing.T) {
	r := newRig(t, nil)
	out := r.script(r.options(`id; ls -la / /osbuild/store /etc /usr /dev; cat /proc/self/uid_map /proc/self/mountinfo; env; ps; ip addr; ls -la /proc/self/fd; hostname`))
	t.Log(out)
	t.Log(r.said())
}
