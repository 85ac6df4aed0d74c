// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package lang

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

func TestDoc(t *testing.T) {
	tests := []struct {
		name string
		want []string
	}{
		{"plain_file", []string{"plain_file(name, text, executable=False)\n", "A file with a text.", "name: name of an item, required\n    The name of the item."}},
		{"user_account", []string{"user_account(name, group, ", "uid: int or None\n", "create_home=True"}},
		{"operating_system", []string{"host_name=\"localhost\"", "services: list of service\n", "users: list of user_account\n"}},
		{"account", []string{"account: a service type of @osbuild//base.star", "is extended by", "extends"}},
		{"modify_services", []string{"modify_services(services, "}},
		{"delete", []string{"delete"}},
		{"package", []string{"package(name)\n", "name: string, required\n"}},
		{"base_services", []string{"loopback"}},
		{"@osbuild//base.star", []string{"account", "base_services"}},
	}
	for _, test := range tests {
		d, err := NewDoc(test.name)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		text := d.PlainText()
		for _, want := range test.want {
			if !strings.Contains(text, want) {
				t.Errorf("%s: the documentation lacks %q:\n%s", test.name, want, text)
			}
		}
	}
	_, err := NewDoc("user_acount")
	if err == nil || !strings.Contains(err.Error(), `did you mean "user_account"?`) {
		t.Errorf("a misspelt name gave %v", err)
	}
}

func TestDocOfAFile(t *testing.T) {
	e := mustEvaluate(t, `
load("@osbuild//base.star", users = "account")
conf = configuration("web_configuration", doc = "How the server works.", fields = {
    "port": field(int, 8080, "The port."),
    "root": "file",
    "names": field(maybe(list_of(str)), doc = "More names."),
})
web = service_type("web", description = "Serve.", extensions = [extension(users, lambda c: [])], default = 1)
def make(a, b=2, *more, **named):
    """Make it."""
number = 5
`)
	for name, want := range map[string]string{
		"conf": `web_configuration(port=8080, root, names=None)

How the server works.

port: int
    The port.

root: file, required

names: list of string or None
    More names.
`,
		"web": `web: a service type of system.star:8:7

Serve.

default        1
extends        account
is extended by nothing
`,
		"make":   "make(a, b=2, *more, **named)\n\nMake it.\n",
		"number": "number: a value\n\nA value of type int.\n",
	} {
		d, err := e.Doc(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := d.PlainText(); got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
		}
	}
	if d, err := e.Doc("users"); err != nil || !strings.HasPrefix(d.PlainText(), "account: a service type of @osbuild//base.star\n") {
		t.Errorf("users: %v\n%s", err, d.PlainText())
	}
}

// Every field and argument of the language is documented.
func TestEverythingIsDocumented(t *testing.T) {
	e := mustEvaluate(t, "")
	for _, name := range e.loader.predeclared.Keys() {
		d, err := e.Doc(name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, f := range d.Fields {
			if f.Text == "" {
				t.Errorf("%s: no text for %s", name, f.Name)
			}
		}
		if d.Text == "" {
			t.Errorf("%s: no text", name)
		}
		if d.Kind == wordValue && strings.HasPrefix(d.Text, "A value of type") {
			t.Errorf("%s has no documentation", name)
		}
	}
}

// The page about the language names everything that files can use.
func TestEverythingIsInTheLanguagePage(t *testing.T) {
	page, err := os.ReadFile("../../docs/language.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range mustEvaluate(t, "").loader.predeclared.Keys() {
		if !regexp.MustCompile("`(" + name + "`|" + name + `\()`).Match(page) {
			t.Errorf("docs/language.md does not mention `%s`", name)
		}
	}
}
