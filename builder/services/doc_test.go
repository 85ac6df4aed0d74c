// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package services

import (
	"flag"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write docs/services.md")

const docIntro = `# Service types

What each type of ` + "`@osbuild//base.star`" + ` takes, and what comes of it in a system. A service is declared by
` + "`service(TYPE, VALUE)`" + `, or ` + "`service(TYPE)`" + ` where a value is not needed; the essential ones, marked with a
star, are in every system by themselves and may only be extended. Others contribute by
` + "`simple_service(NAME, TYPE, [CONTRIBUTION, ...])`" + ` or by an extension of a type of their own. Contributions arrive in
the order of the declaration: essential services, then those of the system, then instances that were added because
something extends them. ` + "`osbuild doc NAME`" + ` prints the fields of a record.

This page is written by ` + "`go test ./builder/services -run Documented -update`" + `.

| type | what it is | value | contribution | produces |
|---|---|---|---|---|
`

// essential are the types of which builder/system makes an instance.
var essential = []string{
	"account", "activation", "boot", "cleanup", "container_requirements", "etc", "file_systems", "host_name", "hosts", "pam",
	"privileged_programs", "profile", "root_file_system", "session_environment", "shepherd_root", "special_files", "system",
	"user_homes", "user_processes",
}

// docs/services.md says what the types say of themselves.
func TestTypesAreDocumented(t *testing.T) {
	var b strings.Builder
	b.WriteString(docIntro)
	types := Modules()[0].Types
	var names []string
	for name := range types {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		typ := types[name]
		shown := "`" + name + "`"
		if slices.Contains(essential, name) {
			shown += " *"
		}
		contribution := typ.ContributionDoc
		if contribution == "" {
			contribution = "-"
		}
		value := typ.ValueDoc
		if !typ.HasDefault {
			value += " (must be given)"
		}
		b.WriteString("| " + strings.Join([]string{shown, typ.Description, value, contribution, typ.ProducesDoc}, " | ") + " |\n")
	}
	b.WriteString("\n`base_services`, the services of a system that names none, are ")
	for i, s := range BaseServices() {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString("`" + s.Type.Name + "`")
	}
	b.WriteString(".\n")

	const file = "../../docs/services.md"
	if *update {
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Errorf("%s is not up to date (-there +types):\n%s", file, diff)
	}
}
