// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package narinfo_test

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"osbuild/store"
	"osbuild/store/cache/narinfo"
)

// golden are texts that Nix wrote.
var golden = []string{"testdata/nix-a.narinfo", "testdata/nix-b.narinfo"}

func TestGolden(t *testing.T) {
	for _, file := range golden {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		n, err := narinfo.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := n.Encode(); !bytes.Equal(got, text) {
			t.Errorf("%s: written again it is\n%s", file, got)
		}
		if err := store.CheckAddress(n.Info); err != nil {
			t.Error(err)
		}
		if want := narinfo.NarName(n.FileHash, ".zst"); n.URL != want {
			t.Errorf("URL %s, want %s", n.URL, want)
		}
	}
}

const sound = `StorePath: /osbuild/store/zw0fpjqjszp5qcp4r41mj0060yqvyv5x-a
URL: nar/x.nar
Compression: none
NarHash: sha256:1yzy48vv053fdij2flx3fhrf3xjymcf711my4g8bw9mlsqnfic95
NarSize: 120
References: 
`

func TestParse(t *testing.T) {
	for _, c := range []struct {
		summary, text, want string // want: of the error, "" for none
	}{
		{"sound", sound, ""},
		{"unknown fields", sound + "Future: 1\nSystem: x\n", ""},
		{"no deriver", sound + "Deriver: unknown-deriver\n", ""},
		{"references not sorted", strings.Replace(sound, "References: ", "References: zw0fpjqjszp5qcp4r41mj0060yqvyv5x-a qnc3a8kc4qmwdi4bz9n0kac87sjb8jp2-b", 1), ""},
		{"torn", strings.TrimSuffix(sound, "\n"), "torn"},
		{"empty", "", "torn"},
		{"no URL", strings.Replace(sound, "URL: nar/x.nar\n", "", 1), "lacks URL"},
		{"no path", strings.Replace(sound, "StorePath", "Path", 1), "lacks StorePath"},
		{"another store", strings.Replace(sound, "/osbuild/", "/nix/", 1), "does not start with"},
		{"two URLs", sound + "URL: nar/y.nar\n", "twice"},
		{"two paths", sound + "StorePath: /osbuild/store/qnc3a8kc4qmwdi4bz9n0kac87sjb8jp2-b\n", "repeats"},
		{"URL leads out", strings.Replace(sound, "nar/x.nar", "../../etc/passwd", 1), "no name of a file"},
		{"a query", strings.Replace(sound, "nar/x.nar", "nar/x.nar?hash=1&y=%20", 1), ""},
		{"a query and more", strings.Replace(sound, "nar/x.nar", "nar/x.nar?hash=1#y", 1), "no name of a file"},
		{"only a query", strings.Replace(sound, "nar/x.nar", "?hash=1", 1), "no name of a file"},
		{"URL leads out before a query", strings.Replace(sound, "nar/x.nar", "../x?y=1", 1), "no name of a file"},
		{"absolute URL", strings.Replace(sound, "nar/x.nar", "/etc/passwd", 1), "no name of a file"},
		{"foreign URL", strings.Replace(sound, "nar/x.nar", "http://example.org/x", 1), "no name of a file"},
		{"URL with a dot inside", strings.Replace(sound, "nar/x.nar", "nar/../x", 1), "no name of a file"},
		{"URL with a newline's cousin", strings.Replace(sound, "nar/x.nar", "nar/x\r", 1), "control characters"},
		{"negative size", strings.Replace(sound, "120", "-120", 1), "not positive"},
		{"huge size", strings.Replace(sound, "120", "99999999999999999999", 1), "out of range"},
		{"no file size", sound + "FileSize: 0\n", "not positive"},
		{"bad hash", strings.Replace(sound, "1yzy", "1yzu", 1), "no base 32 digit"},
		{"bad deriver", sound + "Deriver: /etc/passwd\n", "Deriver"},
		{"a colour", sound + "Sig: a\x1b[31m:b\n", "control characters"},
		{"a colour in one byte", sound + "Compression: \u009b31m\n", "control characters"},
		{"not UTF-8", sound + "Future: \x9b31m\n", "is no UTF-8"},
		{"the other direction", sound + "Future: \u202eabc\n", "control characters"},
		{"words of others", sound + "Future: größer als ﷽\n", ""},
		{"many signatures", sound + strings.Repeat("Sig: a:b\n", 257), "more than 256 signatures"},
		{"no pairs", "what\nis this\n", "lacks URL"},
	} {
		n, err := narinfo.Parse([]byte(c.text))
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.summary, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %+v, %v", c.summary, n, err)
		}
	}
}

func TestAbout(t *testing.T) {
	a := narinfo.About{StoreDir: store.Dir, Priority: 30, WantMassQuery: true}
	got, err := narinfo.ParseAbout(a.Encode())
	if err != nil || got != a {
		t.Errorf("%+v, %v", got, err)
	}
	for _, c := range []struct{ summary, text, want string }{
		{"another store", "StoreDir: /nix/store\n", `"/nix/store"`},
		{"no store", "Priority: 1\n", `""`},
		{"a page", "<html>\n", "no \"key: value\""},
		{"bad priority", "StoreDir: /osbuild/store\nPriority: high\n", "no number"},
	} {
		a, err := narinfo.ParseAbout([]byte(c.text))
		if err == nil {
			err = a.Check()
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.summary, err)
		}
	}
}

// FuzzParse holds that what was read can be written and read again, and that
// no URL leads out of the cache.
func FuzzParse(f *testing.F) {
	f.Add([]byte(sound))
	for _, file := range golden {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		_, _ = narinfo.ParseAbout(text) // only that it ends
		n, err := narinfo.Parse(text)
		if err != nil {
			return
		}
		if strings.HasPrefix(n.URL, "/") || strings.Contains("/"+n.URL+"/", "/../") {
			t.Errorf("the URL %q leads out", n.URL)
		}
		once := n.Encode()
		again, err := narinfo.Parse(once)
		if err != nil {
			t.Fatalf("%v\n%s", err, once)
		}
		if twice := again.Encode(); !bytes.Equal(once, twice) {
			t.Errorf("%q became %q", once, twice)
		}
	})
}
