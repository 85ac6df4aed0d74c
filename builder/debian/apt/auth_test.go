// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package apt

import (
	"net/url"
	"strings"
	"testing"
)

func TestAuth(t *testing.T) {
	const text = `
# a comment login x
machine example.org/debian login anna password one
machine http://example.org login bert password two
machine example.net:8443
  login carl
  password three
machine https://example.net/a login dora password four
machine example.com login emil password five account none
`
	found, err := parseAuth(text)
	if err != nil {
		t.Fatal(err)
	}
	h := &Host{auth: found}
	tests := []struct{ summary, url, login string }{
		{"the path begins so", "https://example.org/debian/dists/x", "anna"},
		{"another path", "https://example.org/ubuntu", ""},
		{"not encrypted, and nobody said so", "http://example.com/debian", ""},
		{"not encrypted, and somebody said so", "http://example.org/debian", "bert"},
		{"the port", "https://example.net:8443/b", "carl"},
		{"every port", "https://example.net:99/a/b", "dora"},
		{"no port, but one is asked for", "https://example.net/b", ""},
		{"every path", "https://example.com:444/x", "emil"},
		{"another name", "https://www.example.com/x", ""},
		{"case of the name", "https://EXAMPLE.com/x", "emil"},
	}
	for _, test := range tests {
		t.Run(test.summary, func(t *testing.T) {
			u, err := url.Parse(test.url)
			if err != nil {
				t.Fatal(err)
			}
			if got := h.credentials(u).Username(); got != test.login {
				t.Errorf("%s gets %q, not %q", test.url, got, test.login)
			}
		})
	}
}

func TestAuthErrors(t *testing.T) {
	for _, text := range []string{
		"login anna password hidden",
		"machine example.org login anna password",
		"machine example.org password hidden word",
		"machine example.org login anna hidden hidden",
	} {
		_, err := parseAuth(text)
		if err == nil {
			t.Errorf("%q is taken", text)
		} else if strings.Contains(err.Error(), "hidden") {
			t.Errorf("the error %q shows a password", err)
		}
	}
}
