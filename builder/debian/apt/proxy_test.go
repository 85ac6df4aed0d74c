// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package apt

import (
	"context"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestProxy(t *testing.T) {
	dir := t.TempDir()
	program := func(name, script string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		return file
	}
	const general = `Acquire::http::Proxy "http://proxy.example.org:3142";`
	tests := []struct {
		summary, conf, env, no, url, want, err string
	}{
		{summary: "none", url: "http://example.org/a"},
		{summary: "for all", conf: general, url: "http://example.org/a", want: "http://proxy.example.org:3142"},
		{summary: "for https too", conf: general, url: "https://example.org/a", want: "http://proxy.example.org:3142"},
		{summary: "of its own for https", conf: general + `Acquire::https::Proxy "https://other.example.org";`, url: "https://example.org/a", want: "https://other.example.org"},
		{summary: "direct for one server", conf: general + `Acquire::http::Proxy::example.org "DIRECT";`, url: "http://example.org/a"},
		{summary: "direct for another server", conf: general + `Acquire::http::Proxy::example.net "DIRECT";`, url: "http://example.org/a", want: "http://proxy.example.org:3142"},
		{summary: "for one server only", conf: `Acquire::http { Proxy { example.org "http://p.example.org"; }; };`, url: "http://example.org/a", want: "http://p.example.org"},
		{summary: "the environment", env: "http://env.example.org:8080", url: "http://example.org/a", want: "http://env.example.org:8080"},
		{summary: "the configuration before the environment", conf: general, env: "http://env.example.org", no: "*", url: "http://example.org/a", want: "http://proxy.example.org:3142"},
		{summary: "direct before the environment", conf: `Acquire::http::Proxy "DIRECT";`, env: "http://env.example.org", url: "http://example.org/a"},
		{summary: "the server is exempt", env: "http://env.example.org", no: "localhost, .example.org", url: "http://deb.example.org/a"},
		{summary: "its name ends alike", env: "http://env.example.org", no: "example.org", url: "http://notexample.org/a", want: "http://env.example.org"},
		{summary: "an exempt network", env: "http://env.example.org", no: "10.0.0.0/8", url: "http://10.2.3.4/a"},
		{summary: "all exempt", env: "http://env.example.org", no: "*", url: "http://example.org/a"},
		{summary: "exempt with its port", env: "http://env.example.org", no: "example.org:81", url: "http://example.org:81/a"},
		{summary: "another variable for https", env: "http://env.example.org", url: "https://example.org/a"},
		{summary: "without a scheme", env: "env.example.org:8080", url: "http://example.org/a", want: "http://env.example.org:8080"},
		{summary: "socks", conf: `Acquire::http::Proxy "socks5h://p.example.org:1080";`, url: "http://example.org/a", want: "socks5h://p.example.org:1080"},
		{summary: "a scheme that is not known", conf: `Acquire::http::Proxy "ftp://who:word@p.example.org";`, url: "http://example.org/a", err: "the scheme of the proxy ftp://p.example.org is none that osbuild knows"},
		{summary: "a program", conf: `Acquire::http::Proxy-Auto-Detect "` + program("a", `echo "http://$(expr "$1" : 'http://\([a-z.]*\)/$').proxy:1"`) + `";`, url: "http://example.org/a", want: "http://example.org.proxy:1"},
		{summary: "a program that says direct", conf: `Acquire::http::ProxyAutoDetect "` + program("b", "echo DIRECT") + `";`, env: "http://env.example.org", url: "http://example.org/a"},
		{summary: "a program that fails", conf: `Acquire::http::Proxy-Auto-Detect "` + program("c", "echo http://p.example.org; exit 1") + `";`, url: "http://example.org/a"},
	}
	for _, test := range tests {
		t.Run(test.summary, func(t *testing.T) {
			t.Setenv("http_proxy", test.env)
			t.Setenv("https_proxy", "")
			t.Setenv("no_proxy", test.no)
			h, err := Open(context.Background(), Config{Root: host(t, map[string]string{"sources.list": "deb file:/a ./", "apt.conf": test.conf})})
			if err != nil {
				t.Fatal(err)
			}
			u, err := url.Parse(test.url)
			if err != nil {
				t.Fatal(err)
			}
			p, err := h.proxy(context.Background(), u)
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Errorf("the error is %v, not %q", err, test.err)
				}
				return
			}
			got := ""
			if p != nil {
				got = p.String()
			}
			if err != nil || got != test.want {
				t.Errorf("got %q and %v, not %q", got, err, test.want)
			}
		})
	}
}
