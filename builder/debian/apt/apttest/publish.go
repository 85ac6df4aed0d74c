// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package apttest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/ulikunitz/xz"
)

// index is the folder of the index.
func (r *Repo) index() string {
	return path.Join("dists", r.Suite, r.Component, "binary-"+r.Arch)
}

// writeIndexes writes the index in all its forms, by name and by hash.
func (r *Repo) writeIndexes() {
	r.t.Helper()
	var text strings.Builder
	for _, c := range r.records {
		text.WriteString(c.text + "\n\n")
	}
	for _, packing := range []string{"", ".gz", ".xz"} {
		data := r.Pack(packing, []byte(text.String()))
		r.Write(path.Join(r.index(), "Packages"+packing), data)
		r.Write(path.Join(r.index(), "by-hash/SHA256", digest(data)), data)
	}
}

// Pack packs data as the suffix of a file says.
func (r *Repo) Pack(packing string, data []byte) []byte {
	r.t.Helper()
	var out bytes.Buffer
	var w io.WriteCloser
	var err error
	switch packing {
	case "":
		return data
	case ".gz":
		w = gzip.NewWriter(&out)
	case ".xz":
		w, err = xz.NewWriter(&out)
	default:
		err = fmt.Errorf("the packing %q is not known", packing)
	}
	if err == nil {
		_, err = w.Write(data)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		r.t.Fatal(err)
	}
	return out.Bytes()
}

// release writes the release file: the plain index is listed always, as
// Debian does, and the packed ones that are offered. The others go.
func (r *Repo) release() string {
	r.t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "Origin: Test\nLabel: Test\nSuite: %s\n", r.Suite)
	if r.Codename != "" {
		fmt.Fprintf(&b, "Codename: %s\n", r.Codename)
	}
	fmt.Fprintf(&b, "Date: %s\n", r.Date.UTC().Format(time.RFC1123))
	if !r.ValidUntil.IsZero() {
		fmt.Fprintf(&b, "Valid-Until: %s\n", r.ValidUntil.UTC().Format(time.RFC1123))
	}
	fmt.Fprintf(&b, "Acquire-By-Hash: yes\nArchitectures: all %s\nNo-Support-for-Architecture-all: Packages\nComponents: %s\nSHA256:\n", r.Arch, r.Component)
	dists := r.Path(path.Join("dists", r.Suite))
	err := filepath.WalkDir(dists, func(file string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && d.Name() == "by-hash":
			return fs.SkipDir
		case d.IsDir():
			return nil
		}
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		offered := false
		for _, packing := range r.Packings {
			offered = offered || filepath.Ext(file) == packing
		}
		if offered || filepath.Ext(file) == "" {
			name, _ := filepath.Rel(dists, file)
			fmt.Fprintf(&b, " %s %d %s\n", digest(data), len(data), name)
		}
		if !offered {
			byHash := filepath.Join(filepath.Dir(file), "by-hash/SHA256", digest(data))
			return errors.Join(os.Remove(file), os.Remove(byHash))
		}
		return nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
	if r.Edit != nil {
		return r.Edit(b.String())
	}
	return b.String()
}

// Sign writes a release file with the archive's key: InRelease, and Release
// with Release.gpg.
func (r *Repo) Sign(release string) {
	r.t.Helper()
	dir := path.Join("dists", r.Suite)
	r.Write(path.Join(dir, "InRelease"), r.Key.Clearsign(r.t, release))
	r.Write(path.Join(dir, "Release"), []byte(release))
	r.Write(path.Join(dir, "Release.gpg"), r.Key.Detach(r.t, release))
	// Servers tell times in seconds, and tests are faster.
	for _, name := range []string{"InRelease", "Release"} {
		if err := os.Chtimes(r.Path(path.Join(dir, name)), r.Date, r.Date); err != nil {
			r.t.Fatal(err)
		}
	}
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
