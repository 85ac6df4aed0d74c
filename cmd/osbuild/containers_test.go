// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"
)

func TestCopyHarmless(t *testing.T) {
	var b strings.Builder
	if err := copyHarmless(&b, strings.NewReader("web| up\n\x1b]0;title\aweb| \u009b31mred\nlast")); err != nil {
		t.Fatal(err)
	}
	if want := "web| up\n\uFFFD]0;title\uFFFDweb| \uFFFD31mred\nlast"; b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
}
