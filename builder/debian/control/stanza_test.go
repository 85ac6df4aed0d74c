// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package control

import (
	"errors"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

func stanzas(s string) (all []Stanza, err error) {
	err = ReadStanzas(strings.NewReader(s), func(s Stanza) error {
		all = append(all, s)
		return nil
	})
	return all, err
}

func TestReadStanzas(t *testing.T) {
	got, err := stanzas(`# sources of a host
Types: deb
URIs:   https://example.org/a  https://example.org/b` + " \t" + `
# a comment inside
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
# another
	key
  indented` + "\r" + `

  ` + "\t" + `

Empty:
Last: x`)
	if err != nil {
		t.Fatal(err)
	}
	want := []Stanza{
		{Line: 2, Fields: []Field{
			{"Types", "deb"},
			{"URIs", "https://example.org/a  https://example.org/b"},
			{"Signed-By", "\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n\tkey\n  indented"},
		}},
		{Line: 14, Fields: []Field{{"Empty", ""}, {"Last", "x"}}},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Fatalf("(-want +got):\n%s", d)
	}
	lines := got[0].Lines("signed-by")
	if d := cmp.Diff([]string{"-----BEGIN PGP PUBLIC KEY BLOCK-----", "", "key", " indented"}, lines); d != "" {
		t.Errorf("lines (-want +got):\n%s", d)
	}
	if l := got[0].Lines("Types"); !cmp.Equal(l, []string{"deb"}) {
		t.Errorf("one line: %q", l)
	}
	if l := got[1].Lines("Empty"); l != nil {
		t.Errorf("no line: %q", l)
	}
	if v, ok := got[1].Lookup("EMPTY"); !ok || v != "" {
		t.Error("the empty field is not found")
	}
	if _, ok := got[1].Lookup("Types"); ok || got[1].Get("Types") != "" {
		t.Error("a field of another stanza is found")
	}
}

func TestReadStanzasErrors(t *testing.T) {
	tests := []struct{ summary, text, want string }{
		{"continuation first", "\n x: y\n", "line 2: a stanza begins with a line that continues a field"},
		{"continuation after a comment", "#a\n b\n", "line 2: a stanza begins with a line that continues a field"},
		{"no colon", "a: b\nc d\n", `line 2: "c d" is not a field: a name and a colon are missing`},
		{"no name", ": b\n", `line 1: ": b" is not a field`},
		{"a blank in the name", "a b: c\n", `line 1: the field name "a b" has the character ' '`},
		{"a hyphen first", "-----BEGIN: x\n", `line 1: the field name "-----BEGIN" begins with a hyphen`},
		{"twice", "a: b\nB: c\nA: d\n", "line 3: the field A stands twice in a stanza"},
		{"zero byte", "a: b\nc: \x00\n", "line 2: the line has a zero byte"},
		{"long line", "a: " + strings.Repeat("b", maxLine) + "\nc: d", "line 1: the line is longer than 1048576 bytes"},
		{"long last line", "a: " + strings.Repeat("b", maxLine), "line 1: the line is longer than 1048576 bytes"},
		{"long stanza", "a:\n" + strings.Repeat(" "+strings.Repeat("b", maxLine-2)+"\n", 33), "a stanza is longer than 33554432 bytes"},
		{"many fields", strings.Repeat("a", 1) + ": b\n" + manyFields(maxFields), "a stanza has more than 256 fields"},
	}
	for _, test := range tests {
		t.Run(test.summary, func(t *testing.T) {
			if got, err := stanzas(test.text); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %d stanzas, %v, want %q", len(got), err, test.want)
			}
		})
	}
	stop := errors.New("stop")
	if err := ReadStanzas(strings.NewReader("a: b\n\nc: d"), func(Stanza) error { return stop }); err != stop {
		t.Errorf("an error of the function comes back as %v", err)
	}
	broken := iotest.ErrReader(stop)
	if err := ReadStanzas(broken, func(Stanza) error { return nil }); !errors.Is(err, stop) {
		t.Errorf("an error of the reader comes back as %v", err)
	}
}

func manyFields(n int) string {
	var s strings.Builder
	for i := range n {
		s.WriteString("f" + strings.Repeat("x", i) + ": y\n")
	}
	return s.String()
}

func TestParseControl(t *testing.T) {
	s, err := ParseControl([]byte("Package: a\nDescription: b\n c\n\n"))
	if err != nil || s.Get("Package") != "a" || s.Get("description") != "b\n c" {
		t.Errorf("%+v, %v", s, err)
	}
	for _, text := range []string{"", "\n", "a: b\n\nc: d"} {
		if _, err := ParseControl([]byte(text)); err == nil || !strings.Contains(err.Error(), "stanzas, not one") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// FuzzReadStanzas: what is read, written down, is read again in the same way.
func FuzzReadStanzas(f *testing.F) {
	f.Add("a: b\n c\n .\n\n#x\nd:\n\te\n")
	f.Add("Package: a\r\nVersion: 1\r\n\r\n")
	f.Fuzz(func(t *testing.T, s string) {
		all, err := stanzas(s)
		if err != nil {
			return
		}
		var text strings.Builder
		for _, s := range all {
			for _, f := range s.Fields {
				text.WriteString(f.Name + ": " + f.Value + "\n")
				s.Lines(f.Name)
			}
			text.WriteString("\n")
		}
		again, err := stanzas(text.String())
		if err != nil || len(again) != len(all) {
			t.Fatalf("%q: %v", text.String(), err)
		}
		for i := range all {
			if d := cmp.Diff(all[i].Fields, again[i].Fields); d != "" {
				t.Errorf("(-first +second):\n%s", d)
			}
		}
	})
}
