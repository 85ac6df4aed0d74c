// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"unicode"

	"osbuild/runner/spec"
)

// report prints what a reply says of services: a table and what is wrong, or
// for one service all that is known of it.
func report(w io.Writer, reply spec.Reply, one bool) {
	for _, st := range reply.Activation {
		fmt.Fprintf(w, "activation: %s\n", stepLine(st))
	}
	if one && len(reply.Services) == 1 {
		describeService(w, reply.Services[0])
		return
	}
	services := slices.SortedFunc(slices.Values(reply.Services), func(a, b spec.ServiceStatus) int {
		return strings.Compare(a.Name, b.Name)
	})
	if len(services) == 0 {
		return
	}
	table := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, "SERVICE\tSTATE\tPID\tREASON")
	for _, s := range services {
		pid := "-"
		if s.PID != 0 {
			pid = fmt.Sprint(s.PID)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", s.Name, state(s), pid, inTable(s))
	}
	table.Flush()
	for _, s := range services {
		if s.State == spec.StateFailed || s.Next != "" || len(s.Warnings) > 0 || short(s.Reason) != s.Reason {
			fmt.Fprintf(w, "\n%s (%s)\n", s.Name, state(s))
			explain(w, s)
		}
	}
}

// stepLine is what herd says of an activation step.
func stepLine(st spec.StepStatus) string {
	word := "failed"
	switch {
	case st.Skipped:
		word = "skipped"
	case st.Warning:
		word = "done with a warning"
	}
	return fmt.Sprintf("%s %s: %s", st.Name, word, harmless(st.Reason))
}

func state(s spec.ServiceStatus) string {
	out := s.State
	if !s.Enabled {
		out += ", disabled"
	}
	if s.Replacement {
		out += ", to be replaced"
	}
	return out
}

// inTable is the last column: the reason, or what else is remarkable.
func inTable(s spec.ServiceStatus) string {
	switch {
	case s.Reason != "":
		return short(harmless(s.Reason))
	case len(s.Warnings) == 1:
		return short("warning: " + harmless(s.Warnings[0]))
	case len(s.Warnings) > 1:
		return fmt.Sprintf("%d warnings", len(s.Warnings))
	case s.Respawns == 1:
		return "respawned once"
	case s.Respawns > 1:
		return fmt.Sprintf("respawned %d times", s.Respawns)
	}
	return ""
}

// short cuts what would break the lines of a table. The whole stands below it.
func short(text string) string {
	const most = 80
	if r := []rune(text); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return text
}

// explain prints why a service is not as it should be, and what to do.
func explain(w io.Writer, s spec.ServiceStatus) {
	line := func(what, value string) {
		if value != "" {
			fmt.Fprintf(w, "  %-8s %s\n", what+":", harmless(value))
		}
	}
	line("reason", s.Reason)
	for _, text := range s.Warnings {
		line("warning", text)
	}
	for _, text := range s.Log {
		fmt.Fprintf(w, "  | %s\n", harmless(text))
	}
	line("next", s.Next)
}

func describeService(w io.Writer, s spec.ServiceStatus) {
	line := func(what, value string) {
		if value != "" {
			fmt.Fprintf(w, "%-13s %s\n", what+":", harmless(value))
		}
	}
	line("service", s.Name)
	line("about", s.Documentation)
	line("state", s.State)
	line("reason", s.Reason)
	for _, text := range s.Warnings {
		line("warning", text)
	}
	for _, text := range s.Log {
		line("log", text)
	}
	line("next", s.Next)
	if s.PID != 0 {
		line("process", fmt.Sprint(s.PID))
	}
	if s.Respawns > 0 {
		line("respawns", fmt.Sprint(s.Respawns))
	}
	line("provides", strings.Join(s.Provision, " "))
	line("requires", strings.Join(s.Requirement, " "))
	words := map[bool]string{true: "yes", false: "no"}
	line("enabled", words[s.Enabled])
	line("at boot", words[s.AutoStart])
	if s.OneShot {
		line("one-shot", "yes")
	}
	if s.Transient {
		line("transient", "yes: it is forgotten when it stops")
	}
	if s.Replacement {
		line("replaced", "when it stops, by the definition of the present system")
	}
	if s.Configuration != "" {
		line("configured", "by "+s.Configuration)
	}
	for _, a := range s.Actions {
		line("action", strings.TrimSpace(a.Name+"  "+a.Documentation))
	}
}

// documented is a documentation, or that there is none.
func documented(text string) string {
	if text == "" {
		return "(not documented)"
	}
	return harmless(text)
}

func printActions(w io.Writer, s spec.ServiceStatus, indent string) {
	if len(s.Actions) == 0 {
		if indent == "" {
			fmt.Fprintf(w, "%s has no actions of its own\n", s.Name)
		}
		return
	}
	table := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for _, a := range s.Actions {
		fmt.Fprintf(table, "%s%s\t%s\n", indent, a.Name, documented(a.Documentation))
	}
	table.Flush()
}

// reportUpgrade prints what became of the services of a running system.
func reportUpgrade(w io.Writer, reply spec.Reply) {
	up := reply.Upgrade
	for _, part := range []struct {
		what string
		list []string
	}{
		{"unloaded", up.Unloaded}, {"replaced", up.Replaced}, {"started", up.Started},
	} {
		if len(part.list) > 0 {
			fmt.Fprintf(w, "services %s: %s\n", part.what, strings.Join(part.list, ", "))
		}
	}
	if len(up.Restart) > 0 {
		fmt.Fprintf(w, "services that run by their old definition: %s\n", strings.Join(up.Restart, ", "))
		for _, name := range up.Restart {
			fmt.Fprintf(w, "  `herd restart %s` gives it the new one\n", name)
		}
	}
	for _, s := range reply.Services {
		if s.State == spec.StateFailed {
			fmt.Fprintf(w, "%s (%s)\n", s.Name, state(s))
			explain(w, s)
		}
	}
}

// harmless replaces control characters, which programs may have written, so
// that they do not steer the terminal.
func harmless(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\t' {
			return '\uFFFD'
		}
		return r
	}, text)
}

// harmlessLines does the same to each line of a text.
func harmlessLines(text string) string {
	lines := strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n")
	for i, line := range lines {
		lines[i] = harmless(line)
	}
	return strings.Join(lines, "\n")
}
