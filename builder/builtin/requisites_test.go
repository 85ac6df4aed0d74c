// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package builtin

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"osbuild/builder/derivation"
	"osbuild/builder/realise"
	"osbuild/store"
)

func TestRequisites(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	err := buildRequisites(t.Context(), realise.Request{
		Drv: &derivation.Derivation{}, Outs: map[string]string{"out": out}, Log: io.Discard,
		Closure: []store.Path{store.Dir + "/a", store.Dir + "/b"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(out); err != nil || string(got) != "/osbuild/store/a\n/osbuild/store/b\n" {
		t.Errorf("got %q %v", got, err)
	}
}
