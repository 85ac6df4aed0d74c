// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package apt

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// show writes an entry in one line.
func show(e entry) string {
	o := e.options
	s := fmt.Sprintf("%s %s %s", strings.Join(e.uris, ","), strings.Join(e.suites, ","), strings.Join(e.components, ","))
	add := func(name string, value any, set bool) {
		if set {
			s += fmt.Sprintf(" %s=%v", name, value)
		}
	}
	add("arch", strings.Join(o.arches, ","), o.arches != nil)
	add("arch+", strings.Join(o.archesAdd, ","), o.archesAdd != nil)
	add("arch-", strings.Join(o.archesRemove, ","), o.archesRemove != nil)
	add("signed-by", o.signedBy, o.signedBy != "")
	if o.trusted != nil {
		add("trusted", *o.trusted, true)
	}
	add("by-hash", o.byHash, o.byHash != "")
	if o.checkUntil != nil {
		add("check-valid-until", *o.checkUntil, true)
	}
	if o.checkDate != nil {
		add("check-date", *o.checkDate, true)
	}
	add("min", o.untilMin, o.untilMin != 0)
	add("max", o.untilMax, o.untilMax != 0)
	add("future", o.dateFuture, o.dateFuture != 0)
	add("inrelease-path", o.releasePath, o.releasePath != "")
	return strings.TrimSpace(s)
}

func TestOneLineSources(t *testing.T) {
	tests := []struct {
		summary, text string
		want          []string
		err           string
	}{{
		summary: "usual lines", text: "deb http://example.org/debian bookworm main contrib\ndeb-src http://example.org/debian bookworm main\n",
		want: []string{"http://example.org/debian bookworm main,contrib"},
	}, {
		summary: "comments and empty lines", text: "# deb http://example.org/a x y\n\n  \t\ndeb\thttp://example.org/a\tx  y # z\r\n",
		want: []string{"http://example.org/a x y"},
	}, {
		summary: "options",
		text:    "deb [ arch=amd64,arm64 signed-by=/usr/share/keyrings/a.gpg trusted=yes by-hash=force check-valid-until=no check-date=no valid-until-min=60 valid-until-max=120 date-max-future=5 inrelease-path=x/InRelease lang=de ] http://example.org/a x y",
		want:    []string{"http://example.org/a x y arch=amd64,arm64 signed-by=/usr/share/keyrings/a.gpg trusted=true by-hash=force check-valid-until=false check-date=false min=1m0s max=2m0s future=5s inrelease-path=x/InRelease"},
	}, {
		summary: "brackets without blanks", text: "deb [arch=amd64] http://example.org/a x y", want: []string{"http://example.org/a x y arch=amd64"},
	}, {
		summary: "empty brackets", text: "deb [ ] http://example.org/a x y\ndeb [] http://example.org/b x y", want: []string{"http://example.org/a x y", "http://example.org/b x y"},
	}, {
		summary: "more and fewer architectures", text: "deb [arch+=i386 arch-=amd64] http://example.org/a x y",
		want: []string{"http://example.org/a x y arch+=i386 arch-=amd64"},
	}, {
		summary: "a flat archive", text: "deb file:/srv/debs ./\ndeb file:/srv/debs a/b/", want: []string{"file:/srv/debs ./", "file:/srv/debs a/b/"},
	}, {
		summary: "quotes", text: `deb "file:/srv/my debs" ./`, want: []string{"file:/srv/my debs ./"},
	}, {
		summary: "a type that is not known", text: "\nrpm http://example.org x y", err: `f:2: the type "rpm" is neither deb nor deb-src`,
	}, {
		summary: "nothing but the type", text: "deb", err: "f:1: the source has no URI",
	}, {
		summary: "no suite", text: "deb http://example.org/a", err: "f:1: the source has no suite",
	}, {
		summary: "no component", text: "deb http://example.org/a x", err: `the suite "x" needs a component`,
	}, {
		summary: "a flat archive with a component", text: "deb file:/a ./ main", err: "so the components main must go",
	}, {
		summary: "open brackets", text: "deb [ arch=amd64 http://example.org/a x y", err: `the option "http://example.org/a" has no value`,
	}, {
		summary: "brackets to the end", text: "deb [ arch=amd64", err: "not closed by a bracket",
	}, {
		summary: "a flag that is none", text: "deb [trusted=maybe] http://example.org/a x y", err: `trusted: "maybe" is neither yes nor no`,
	}, {
		summary: "a snapshot", text: "deb [snapshot=20250101T000000Z] http://example.org/a x y", err: "write the URI of the snapshot into the source",
	}, {
		summary: "an open quote", text: `deb "http://example.org/a x y`, err: "a quote is not closed",
	}, {
		summary: "a suite that climbs", text: "deb http://example.org/a ../x y", err: `"../x" does not stay within the archive`,
	}, {
		summary: "a component with a query", text: "deb http://example.org/a x y?z", err: `"y?z" does not stay within the archive`,
	}}
	for _, test := range tests {
		t.Run(test.summary, func(t *testing.T) { compareEntries(t, parseLines, test.text, test.want, test.err) })
	}
}

func compareEntries(t *testing.T, parse func(string, []byte) ([]entry, error), text string, want []string, wantErr string) {
	t.Helper()
	entries, err := parse("f", []byte(text))
	if wantErr != "" {
		if err == nil || !strings.Contains(err.Error(), wantErr) || !strings.HasPrefix(err.Error(), "f:") {
			t.Errorf("the error is %v, not %q", err, wantErr)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, show(e))
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestStanzaSources(t *testing.T) {
	const plain = "Types: deb\nURIs: http://example.org/a\nSuites: x\nComponents: y\n"
	tests := []struct {
		summary, text string
		want          []string
		err           string
	}{{
		summary: "usual stanzas", text: "# first\nTypes: deb deb-src\nURIs: http://example.org/a http://example.org/b\nSuites: x x-updates\nComponents: main contrib\n# within\nSigned-By: /a.gpg\n\n\n" + plain,
		want: []string{"http://example.org/a,http://example.org/b x,x-updates main,contrib signed-by=/a.gpg", "http://example.org/a x y"},
	}, {
		summary: "values over several lines", text: "Types: deb\nURIs:\n http://example.org/a\n http://example.org/b\nSuites: x\n z\nComponents: y\n",
		want: []string{"http://example.org/a,http://example.org/b x,z y"},
	}, {
		summary: "switched off", text: "Enabled: no\n" + plain + "\n" + plain + "Enabled: yes\n", want: []string{"http://example.org/a x y"},
	}, {
		summary: "sources only", text: strings.Replace(plain, "deb", "deb-src", 1),
	}, {
		summary: "names in another case, and options", text: "types: deb\nuris: file:/a\nsuites: ./\narchitectures: amd64 i386\nArchitectures-Remove: i386\ntrusted: yes\nBy-Hash: no\nCheck-Valid-Until: no\nLanguages: none\nX-Unknown: 1\n",
		want: []string{"file:/a ./  arch=amd64,i386 arch-=i386 trusted=true by-hash=no check-valid-until=false"},
	}, {
		summary: "keys within", text: plain + "Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mDME\n -----END PGP PUBLIC KEY BLOCK-----\n",
		want: []string{"http://example.org/a x y signed-by=-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmDME\n-----END PGP PUBLIC KEY BLOCK-----"},
	}, {
		summary: "an empty file", text: "\n# nothing\n",
	}, {
		summary: "no types", text: "URIs: file:/a\nSuites: ./\n", err: "f:1: the stanza has no Types",
	}, {
		summary: "a type that is not known", text: "\n\nTypes: rpm\n", err: `f:3: the type "rpm" is neither`,
	}, {
		summary: "no URI", text: "Types: deb\nSuites: x\nComponents: y\n", err: "f:1: the source has no URI",
	}, {
		summary: "a number that is none", text: plain + "Valid-Until-Max: 1d\n", err: `f:1: Valid-Until-Max: "1d" is not a number of seconds`,
	}, {
		summary: "a flag that is none", text: plain + "By-Hash: sha1\n", err: `"sha1" is none of yes, no and force`,
	}, {
		summary: "no field", text: "Types: deb\nwhat\n", err: "f: line 2",
	}, {
		summary: "a field twice", text: plain + "Suites: z\n", err: "Suites stands twice",
	}}
	for _, test := range tests {
		t.Run(test.summary, func(t *testing.T) { compareEntries(t, parseStanzas, test.text, test.want, test.err) })
	}
}

// host makes a root with files of apt's configuration, by their names below
// etc/apt.
func host(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		file := filepath.Join(root, "etc/apt", name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// TestWhichFiles asks which files are read, and in which order.
func TestWhichFiles(t *testing.T) {
	line := func(name string) string { return "deb file:/" + name + " ./\n" }
	stanza := func(name string) string { return "Types: deb\nURIs: file:/" + name + "\nSuites: ./\n" }
	root := host(t, map[string]string{
		"sources.list":                       line("main"),
		"sources.list.d/b.list":              line("b"),
		"sources.list.d/a.sources":           stanza("a"),
		"sources.list.d/c_1-x.list":          line("c"),
		"sources.list.d/.hidden.list":        line("hidden"),
		"sources.list.d/old.list.save":       line("save"),
		"sources.list.d/off.list.disabled":   line("disabled"),
		"sources.list.d/b.list~":             line("backup"),
		"sources.list.d/with space.list":     line("space"),
		"sources.list.d/none":                line("none"),
		"sources.list.d/folder.list/in.list": line("folder"),
		"sources.list.d/d.list.sources":      stanza("$(ARCH)"),
		"apt.conf":                           `APT::Architecture "arm64";`,
	})
	h, err := Open(context.Background(), Config{Root: root})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, a := range h.archives {
		got = append(got, a.uri)
	}
	if d := cmp.Diff([]string{"file:/main", "file:/a", "file:/b", "file:/c", "file:/arm64"}, got); d != "" {
		t.Error(d)
	}
}

// TestMovedFiles has its configuration elsewhere.
func TestMovedFiles(t *testing.T) {
	const line = "deb http://example.org/%s ./\n"
	root := host(t, map[string]string{
		"apt.conf":         `Dir::Etc::SourceList "other.list"; Dir::Etc { SourceParts "/srv/parts"; Netrc "/dev/null"; };`,
		"other.list":       fmt.Sprintf(line, "a"),
		"sources.list":     fmt.Sprintf(line, "b"),
		"auth.conf":        "nonsense",
		"sources.list.d/c": fmt.Sprintf(line, "c"),
	})
	write(t, filepath.Join(root, "srv/parts/d.list"), []byte(fmt.Sprintf(line, "d")))
	h, err := Open(context.Background(), Config{Root: root})
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(h.archives); got != "[http://example.org/a ./ http://example.org/d ./]" {
		t.Error(got)
	}
}

// TestOpenErrors is about configurations that nothing can be made of.
func TestOpenErrors(t *testing.T) {
	tests := []struct {
		summary string
		files   map[string]string
		err     string
	}{{
		summary: "no source", err: "cannot find an archive of packages: ROOT/etc/apt/sources.list and ROOT/etc/apt/sources.list.d name none (osbuild takes packages from the apt sources of the host: add one",
	}, {
		summary: "other keys for one archive",
		files: map[string]string{
			"sources.list":           "deb [signed-by=/a.gpg] http://example.org/a x main",
			"sources.list.d/b.list":  "deb [signed-by=/b.gpg] http://example.org/a x contrib",
			"sources.list.d/ab.list": "deb [signed-by=/b.gpg] http://example.org/a y contrib",
		},
		err: "another Signed-By than ROOT/etc/apt/sources.list:1 for the same archive http://example.org/a x",
	}, {
		summary: "trusted once only",
		files:   map[string]string{"sources.list": "deb http://example.org/a x main\ndeb [trusted=yes] http://example.org/a x contrib"},
		err:     "another value of trusted than",
	}, {
		summary: "a line that cannot be read", files: map[string]string{"sources.list": "dep http://example.org/a x main"},
		err: "cannot read the sources of apt: ROOT/etc/apt/sources.list:1: the type",
	}, {
		summary: "an option that cannot be read", files: map[string]string{"sources.list": "deb file:/a ./", "apt.conf": "Acquire {"},
		err: "cannot read the configuration of apt: ROOT/etc/apt/apt.conf: line 1: the block Acquire is not closed",
	}, {
		summary: "credentials that cannot be read", files: map[string]string{"sources.list": "deb file:/a ./", "auth.conf.d/x.conf": "login hidden"},
		err: "cannot read the credentials of apt: ROOT/etc/apt/auth.conf.d/x.conf: it does not begin with the word machine",
	}}
	for _, test := range tests {
		t.Run(test.summary, func(t *testing.T) {
			root := host(t, test.files)
			_, err := Open(context.Background(), Config{Root: root})
			if want := strings.ReplaceAll(test.err, "ROOT", root); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("the error is %v, not %q", err, want)
			}
		})
	}
}

// TestUnusableSource has sources that cannot be used: that is told when they
// are needed, and does not keep the others from being used.
func TestUnusableSource(t *testing.T) {
	tests := []struct{ uri, err string }{
		{"cdrom:/x", "the scheme of cdrom:/x is none that osbuild knows (http, https, file, copy, mirror+file)"},
		{"tor+http://example.org/a", "the scheme of tor+http://example.org/a is none"},
		{"s3://who:word@example.org/a", "the scheme of s3://example.org/a is none"},
		{"nonsense", `"nonsense" is not a URI`},
		{"http:/a", "http:/a names no server"},
		{"file:a", "file:a does not name a folder of this machine: write file:///path"},
		{"file://server/a", "file://server/a does not name a folder of this machine"},
		{"http://who:word@exam ple.org/%zz", `"http:…" is not a URI`},
		{"http://who:wo/rd@example.org/", `"http:…" is not a URI`},
		{"mirror+file:/none", "cannot read its list of mirrors"},
	}
	for _, test := range tests {
		t.Run(test.uri, func(t *testing.T) {
			root := host(t, map[string]string{"sources.list": `deb "` + test.uri + "\" bad main\ndeb file:/none good main"})
			h, err := Open(context.Background(), Config{Root: root})
			if err != nil {
				t.Fatal(err)
			}
			_, err = h.Indexes(context.Background(), IndexOptions{Suites: []string{"bad"}})
			if err == nil || !strings.Contains(err.Error(), test.err) || !strings.Contains(err.Error(), "sources.list:1") {
				t.Errorf("the error is %v, not %q", err, test.err)
			}
			if err != nil && strings.Contains(err.Error(), "who:") {
				t.Errorf("the error %q shows a password", err)
			}
			_, err = h.Indexes(context.Background(), IndexOptions{Suites: []string{"good"}})
			if err == nil || strings.Contains(err.Error(), "bad") {
				t.Errorf("the other source is not used: %v", err)
			}
		})
	}
	h, err := Open(context.Background(), Config{Root: host(t, map[string]string{"sources.list": "deb file:/none good main\ndeb file:/none better main"})})
	if err != nil {
		t.Fatal(err)
	}
	_, err = h.Indexes(context.Background(), IndexOptions{Suites: []string{"best"}})
	if err == nil || !strings.Contains(err.Error(), `cannot find the suite "best": the apt sources of the host have good, better`) {
		t.Error(err)
	}
}
