// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package handlers

import (
	"slices"
	"testing"

	"osbuild/builder/debian/rootfs"
	"osbuild/builder/debian/script"
	"osbuild/runner/spec"
)

func TestMode(t *testing.T) {
	for _, test := range []struct {
		mode string
		was  uint32
		kind rootfs.Kind
		want uint32
	}{
		{"0640", 0o755, rootfs.File, 0o640},
		{"4755", 0o755, rootfs.File, 0o4755},
		{"1777", 0o755, rootfs.Folder, 0o1777},
		{"u+s", 0o755, rootfs.File, 0o4755},
		{"g+s", 0o755, rootfs.File, 0o2755},
		{"+t", 0o755, rootfs.Folder, 0o1755},
		{"o-rwx", 0o755, rootfs.File, 0o750},
		{"u=rwx,g=rx,o=", 0o777, rootfs.File, 0o750},
		{"go-w", 0o777, rootfs.File, 0o755},
		{"a+X", 0o644, rootfs.File, 0o644},
		{"a+X", 0o644, rootfs.Folder, 0o755},
		{"+x", 0o644, rootfs.File, 0o755},
		{"ug=rw", 0o755, rootfs.File, 0o665},
	} {
		change, ok := parseMode(test.mode)
		if !ok {
			t.Errorf("%s is not read", test.mode)
			continue
		}
		if got := change(spec.Owner{Mode: test.was}, &rootfs.Node{Kind: test.kind}); got != test.want {
			t.Errorf("%s of %o is %o, want %o", test.mode, test.was, got, test.want)
		}
	}
	for _, bad := range []string{"", "9", "77777", "x", "u", "q+r", "u+q"} {
		if _, ok := parseMode(bad); ok {
			t.Errorf("%q is read", bad)
		}
	}
}

func TestCompareVersions(t *testing.T) {
	for _, test := range []struct {
		a, op, b string
		want     script.Status
	}{
		{"1.0", "lt", "2.0", script.Success},
		{"1.0~rc1", "lt", "1.0", script.Success},
		{"2:1", ">>", "10", script.Success},
		{"1", "eq", "1", script.Success},
		{"", "lt", "1", script.Success},
		{"", "lt-nl", "1", script.Failure},
		{"", "gt-nl", "1", script.Success},
		{"", "ge", "1", script.Failure},
		{"", "eq", "", script.Success},
		{"1", "le-nl", "2", script.Success},
		{"1", "like", "2", script.Unsure},
	} {
		if got := compareVersions(test.a, test.op, test.b); got != test.want {
			t.Errorf("%q %s %q: %v, want %v", test.a, test.op, test.b, got, test.want)
		}
	}
}

func TestWords(t *testing.T) {
	got := words(`u  x - "a b"c '' # "open end`)
	if want := []string{"u", "x", "-", "a bc", "", "#", "open end"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func FuzzTables(f *testing.F) {
	f.Add("u=rwx,g+s,o-X")
	f.Add(`d /var/x - "a b" '' -`)
	f.Fuzz(func(_ *testing.T, text string) {
		parseMode(text)
		words(text)
	})
}
