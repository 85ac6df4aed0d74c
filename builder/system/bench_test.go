// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package system

import (
	"testing"

	"osbuild/builder/derivation"
	"osbuild/builder/service"
)

func BenchmarkLower(b *testing.B) {
	for b.Loop() {
		env := &service.Env{Graph: derivation.NewGraph(noSources{}), Init: "/init", System: "x86_64-linux"}
		if _, err := Lower(env, New()); err != nil {
			b.Fatal(err)
		}
	}
}
