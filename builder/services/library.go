// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package services

import "embed"

// ready holds the modules that are written in the language itself: service
// types as users write their own.
//
//go:embed checks.star cron.star databases.star logs.star programs.star ssh.star web.star
var ready embed.FS

// readyModules are those modules.
func readyModules() []Module {
	entries, err := ready.ReadDir(".")
	if err != nil {
		panic(err) // the files are part of the program
	}
	var out []Module
	for _, e := range entries {
		text, err := ready.ReadFile(e.Name())
		if err != nil {
			panic(err)
		}
		out = append(out, Module{Name: "@osbuild//" + e.Name(), Source: string(text)})
	}
	return out
}
