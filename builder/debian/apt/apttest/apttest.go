// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

// Package apttest makes small archives of packages, signed with a key of the
// test, and hosts that use them.
//
// It is for tests and benchmarks only. It does not build .deb files: it takes
// them, or none, where only indexes matter. Start with [New].
package apttest

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Repo is an archive on disk, and a host whose apt uses it. Change what it
// holds or its exported fields, then call Publish again.
type Repo struct {
	// Suite, Codename, Component and Arch are those of the archive; by default
	// "stable", none, "main" and "amd64".
	Suite, Codename, Component, Arch string
	// Date is that of the release file; each Publish moves it on by a minute.
	// It begins a day ago.
	Date time.Time
	// ValidUntil is written if it is not zero.
	ValidUntil time.Time
	// Key signs; another one may take its place.
	Key *Key
	// Options are added to the stanza of the host's source, as lines.
	Options string
	// Edit, if it is set, changes the text of the release file before it is
	// signed.
	Edit func(release string) string
	// Packings are the forms of the index that are offered: "", ".gz", ".xz".
	Packings []string
	// OverHTTP makes the host's source name the server of URL; otherwise it
	// names the folder by file:.
	OverHTTP bool

	t       testing.TB
	dir     string // the archive
	root    string // the host
	records []record
	date    bool

	serve  sync.Once
	server *httptest.Server
}

// record is one package of the index.
type record struct{ name, text string }

// New makes an empty archive. It ends with the test.
func New(t testing.TB) *Repo {
	t.Helper()
	base := t.TempDir()
	r := &Repo{
		Suite: "stable", Component: "main", Arch: "amd64",
		Date: time.Now().Add(-24 * time.Hour).Truncate(time.Second), Key: NewKey(t, time.Now().Add(-48*time.Hour)),
		Packings: []string{"", ".gz", ".xz"},
		t:        t, dir: filepath.Join(base, "archive"), root: filepath.Join(base, "host"),
	}
	for _, dir := range []string{r.dir, filepath.Join(r.root, "etc/apt/sources.list.d")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// AddDeb puts a .deb into the archive. control is its control file; the fields
// that an index adds are made here. It returns the path within the archive.
func (r *Repo) AddDeb(deb []byte, control string) string {
	r.t.Helper()
	name, version, arch := field(control, "Package"), field(control, "Version"), field(control, "Architecture")
	if name == "" || version == "" || arch == "" {
		r.t.Fatalf("the control file has no Package, Version or Architecture:\n%s", control)
	}
	if _, after, ok := strings.Cut(version, ":"); ok {
		version = after // file names have no epoch
	}
	file := path.Join("pool", r.Component, name[:1], name, fmt.Sprintf("%s_%s_%s.deb", name, version, arch))
	r.Write(file, deb)
	r.AddStanza(fmt.Sprintf("%s\nFilename: %s\nSize: %d\nSHA256: %s", strings.TrimSpace(control), file, len(deb), digest(deb)))
	return file
}

// AddFile puts the .deb at a place of the host's disk into the archive.
func (r *Repo) AddFile(deb, control string) string {
	r.t.Helper()
	data, err := os.ReadFile(deb)
	if err != nil {
		r.t.Fatal(err)
	}
	return r.AddDeb(data, control)
}

// AddStanza puts a record into the index as it is. Filename, Size and SHA256
// are made up where they are missing: such a package can be chosen, but not
// fetched.
func (r *Repo) AddStanza(stanza string) {
	stanza = strings.TrimSpace(stanza)
	name := field(stanza, "Package")
	if field(stanza, "Filename") == "" {
		stanza += fmt.Sprintf("\nFilename: pool/%s_%s.deb\nSize: 1000\nSHA256: %s", name, digest([]byte(stanza))[:8], digest([]byte(stanza)))
	}
	r.records = append(r.records, record{name: name, text: stanza})
}

// Remove takes all versions of a package out of the index, and its files.
func (r *Repo) Remove(name string) {
	r.records = slices.DeleteFunc(r.records, func(c record) bool {
		if c.name == name {
			_ = os.Remove(r.Path(field(c.text, "Filename")))
		}
		return c.name == name
	})
}

// Publish writes the indexes, the signed release file and the host's source.
func (r *Repo) Publish() {
	r.t.Helper()
	if r.date {
		r.Date = r.Date.Add(time.Minute)
	}
	r.date = true
	if err := os.RemoveAll(r.Path("dists")); err != nil {
		r.t.Fatal(err)
	}
	r.writeIndexes()
	r.Sign(r.release())
	r.Write("../host/etc/apt/sources.list.d/test.sources", []byte(r.Source()))
}

// Source is the stanza of the host's source.
func (r *Repo) Source() string {
	uri := "file:" + r.dir
	if r.OverHTTP {
		uri = r.URL()
	}
	return fmt.Sprintf("Types: deb\nURIs: %s\nSuites: %s\nComponents: %s\nArchitectures: %s\n%sSigned-By:%s\n",
		uri, r.Suite, r.Component, r.Arch, r.Options, r.Key.inline())
}

// Root is the root of the host, for Config.Root of package apt.
func (r *Repo) Root() string { return r.root }

// Dir is the folder of the archive.
func (r *Repo) Dir() string { return r.dir }

// Path is the place of a file of the archive on disk.
func (r *Repo) Path(name string) string { return filepath.Join(r.dir, name) }

// Write writes a file of the archive.
func (r *Repo) Write(name string, data []byte) {
	r.t.Helper()
	file := r.Path(name)
	err := os.MkdirAll(filepath.Dir(file), 0o755)
	if err == nil {
		err = os.WriteFile(file, data, 0o644)
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

// URL serves the archive by HTTP.
func (r *Repo) URL() string {
	r.serve.Do(func() {
		r.server = httptest.NewServer(http.FileServer(http.Dir(r.dir)))
		r.t.Cleanup(r.server.Close)
	})
	return r.server.URL
}

func field(stanza, name string) string {
	for _, line := range strings.Split(stanza, "\n") {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
