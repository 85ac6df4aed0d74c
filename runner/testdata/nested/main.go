// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

// Command nested runs the build program that its argument describes, for the
// test that does so inside a container.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"osbuild/runner"
	"osbuild/runner/spec"
)

func main() {
	var b spec.Build
	if err := json.Unmarshal([]byte(os.Args[1]), &b); err != nil {
		fmt.Println(err)
		os.Exit(2)
	}
	for _, dir := range []string{b.StoreDir, b.WorkDir} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			fmt.Println(err)
			os.Exit(2)
		}
	}
	exit, err := runner.Sandbox{}.Run(context.Background(), b, os.Stdout)
	if err != nil {
		fmt.Println(err)
		os.Exit(125)
	}
	os.Exit(exit.Status())
}
