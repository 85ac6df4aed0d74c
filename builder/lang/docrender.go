// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package lang

import (
	"fmt"
	"strings"
)

// width is how long a line of text is made.
const width = 80

// PlainText explains a name to who reads a terminal.
func (d *Doc) PlainText() string {
	var b strings.Builder
	switch d.Kind {
	case wordRecord, wordFunction:
		b.WriteString(wrapCall(d.Name, d.Call))
	case wordModule:
		b.WriteString(d.Name + "\n")
	default:
		b.WriteString(d.Name + ": a " + d.Kind)
		if d.From != "" {
			b.WriteString(" of " + d.From)
		}
		b.WriteString("\n")
	}
	if d.Text != "" {
		b.WriteString("\n" + wrap(d.Text, "", ""))
	}
	if len(d.Facts) > 0 {
		b.WriteString("\n")
	}
	for _, f := range d.Facts {
		b.WriteString(wrap(f.Text, fmt.Sprintf("%-14s ", f.Word), strings.Repeat(" ", 15)))
	}
	for _, f := range d.Fields {
		b.WriteString("\n" + f.Name + ": " + f.Type)
		if f.Required {
			b.WriteString(", required")
		}
		b.WriteString("\n")
		if f.Text != "" {
			b.WriteString(wrap(f.Text, "    ", "    "))
		}
	}
	if d.Kind == wordModule {
		b.WriteString("\n")
		for _, list := range [][]*Doc{d.Members, d.Records} {
			for _, m := range list {
				b.WriteString(wrap(m.summary(), fmt.Sprintf("%-24s ", m.Name), strings.Repeat(" ", 25)))
			}
		}
		return b.String()
	}
	for _, r := range d.Records {
		b.WriteString("\n" + r.PlainText())
	}
	return b.String()
}

// summary is the first paragraph of the text, or else what the thing is.
func (d *Doc) summary() string {
	first, _, _ := strings.Cut(d.Text, "\n\n")
	switch {
	case d.Kind == wordList:
		return "A list: " + first
	case first == "":
		return "A " + d.Kind + "."
	}
	return strings.Join(strings.Fields(first), " ")
}

// wrapCall writes a call, broken between arguments.
func wrapCall(name string, args []string) string {
	var b strings.Builder
	line := name + "("
	for i, arg := range args {
		piece := arg
		if i < len(args)-1 {
			piece += ", "
		}
		if len(line)+len(strings.TrimSpace(piece)) >= width && strings.TrimSpace(line) != "" {
			b.WriteString(strings.TrimRight(line, " ") + "\n")
			line = "    "
		}
		line += piece
	}
	b.WriteString(line + ")\n")
	return b.String()
}

// wrap breaks a text between words. Paragraphs stay apart, and lines that are
// indented stay as they are: they are examples.
func wrap(text, first, rest string) string {
	var b strings.Builder
	line, lead := "", first
	flush := func() {
		if line != "" {
			b.WriteString(lead + line + "\n")
			line, lead = "", rest
		}
	}
	text = strings.TrimSpace(text)
	if text == "" {
		return ""
	}
	for _, source := range strings.Split(text, "\n") {
		if source != strings.TrimLeft(source, " \t") {
			flush()
			b.WriteString(rest + source + "\n")
			continue
		}
		words := strings.Fields(source)
		if len(words) == 0 {
			flush()
			b.WriteString("\n")
		}
		for _, w := range words {
			if line != "" && len([]rune(lead+line))+1+len([]rune(w)) > width {
				flush()
			}
			if line != "" {
				line += " "
			}
			line += w
		}
	}
	flush()
	return b.String()
}

// Markdown explains a name in a page.
func (d *Doc) Markdown() string { return d.markdown("#") }

// markdown writes a section whose heading begins with marks.
func (d *Doc) markdown(marks string) string {
	var b strings.Builder
	b.WriteString(marks + " `" + d.Name + "`\n")
	if d.Kind != wordModule && d.Kind != wordRecord && d.Kind != wordFunction {
		text := "A " + d.Kind
		if d.From != "" {
			text += " of `" + d.From + "`"
		}
		b.WriteString("\n" + text + ".\n")
	}
	if d.Call != nil {
		b.WriteString("\n```python\n" + wrapCall(d.Name, d.Call) + "```\n")
	}
	if d.Text != "" {
		b.WriteString("\n" + d.Text + "\n")
	}
	if len(d.Facts) > 0 {
		b.WriteString("\n")
	}
	for _, f := range d.Facts {
		b.WriteString("- **" + f.Word + "**: " + f.Text + "\n")
	}
	if len(d.Fields) > 0 {
		d.fieldTable(&b)
	}
	if d.Kind == wordModule {
		d.memberTables(&b)
	}
	for _, r := range d.Records {
		b.WriteString("\n" + r.markdown(marks+"#"))
	}
	return b.String()
}

func (d *Doc) fieldTable(b *strings.Builder) {
	word := "field"
	if d.Kind == wordFunction {
		word = "argument"
	}
	heading(b, word, "type", "default", "meaning")
	for _, f := range d.Fields {
		text := "must be given"
		if !f.Required {
			text = code(f.Default)
		}
		row(b, code(f.Name), f.Type, text, f.Text)
	}
}

// memberTables writes what a module has: its service types, then the rest.
func (d *Doc) memberTables(b *strings.Builder) {
	begun := false
	for _, m := range d.Members {
		if m.Kind != wordType {
			continue
		}
		if !begun {
			heading(b, "type", "what it is", factValue, "contribution", factProduces)
			begun = true
		}
		value := m.fact(factValue)
		if strings.HasPrefix(m.fact(factDefault), "none") {
			value = strings.TrimSpace(value + " (must be given)")
		}
		contribution := m.fact(factExtended)
		if contribution == "nothing" {
			contribution = "-"
		}
		name := code(m.Name)
		if m.fact(factEssential) != "" {
			name += " *"
		}
		row(b, name, m.Text, value, contribution, m.produces())
	}
	begun = false
	for _, m := range d.Members {
		if m.Kind == wordType {
			continue
		}
		if !begun {
			heading(b, "name", "what it is")
			begun = true
		}
		name := m.Name
		if m.Kind == wordFunction {
			name += "(" + strings.Join(m.Call, ", ") + ")"
		}
		row(b, code(name), m.summary())
	}
}

// produces says what comes of a type, in its own words or else by what it
// extends.
func (d *Doc) produces() string {
	if text := d.fact(factProduces); text != "" {
		return text
	}
	var parts []string
	if names := d.fact(factServices); names != "" {
		parts = append(parts, "the services "+names)
	}
	if names := d.fact(factExtends); names != "" {
		parts = append(parts, "contributions to "+names)
	}
	return strings.Join(parts, "; ")
}

func (d *Doc) fact(word string) string {
	for _, f := range d.Facts {
		if f.Word == word {
			return f.Text
		}
	}
	return ""
}

func code(text string) string { return "`" + text + "`" }

// row writes a line of a table. A cell ends at a bar, also within code.
func row(b *strings.Builder, cells ...string) {
	for _, c := range cells {
		c = strings.ReplaceAll(strings.Join(strings.Fields(c), " "), "|", `\|`)
		b.WriteString("| " + c + " ")
	}
	b.WriteString("|\n")
}

// heading begins a table.
func heading(b *strings.Builder, words ...string) {
	b.WriteString("\n")
	row(b, words...)
	b.WriteString(strings.Repeat("|---", len(words)) + "|\n")
}
