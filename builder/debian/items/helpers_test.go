// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package items_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"osbuild/builder/builtin"
	"osbuild/builder/debian/apt"
	"osbuild/builder/debian/items"
	"osbuild/builder/debian/lock"
	"osbuild/builder/debian/recipe"
	"osbuild/builder/derivation"
	"osbuild/builder/realise"
	"osbuild/store"
)

// mirror is an archive in memory.
type mirror struct {
	mu    sync.Mutex
	files map[string][]byte
	// fail is what every fetch says, if it is set.
	fail  error
	newer [2]string
	asked int
}

func (m *mirror) Fetch(_ context.Context, f apt.File, w io.Writer) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked++
	if m.fail != nil {
		return m.fail
	}
	_, err := io.Copy(w, bytes.NewReader(m.files[f.Path]))
	return err
}

func (m *mirror) Newer(context.Context, string) (version, suite string, err error) {
	return m.newer[0], m.newer[1], nil
}

// pkg makes a package and puts it into the mirror. Files that end in / are
// folders, contents that begin with -> links, with ! executables.
func (m *mirror) pkg(name, version string, files map[string]string) lock.Package {
	var data bytes.Buffer
	t := tar.NewWriter(&data)
	names := make([]string, 0, len(files))
	for f := range files {
		names = append(names, f)
	}
	slices.Sort(names)
	for _, f := range names {
		h := &tar.Header{Name: "./" + f, Mode: 0o644, Typeflag: tar.TypeReg, Size: int64(len(files[f]))}
		content := files[f]
		switch {
		case strings.HasSuffix(f, "/"):
			h.Typeflag, h.Mode, h.Size, content = tar.TypeDir, 0o755, 0, ""
		case strings.HasPrefix(content, "->"):
			h.Typeflag, h.Linkname, h.Size, content = tar.TypeSymlink, content[2:], 0, ""
		case strings.HasPrefix(content, "!"):
			h.Mode = 0o755
		}
		must(t.WriteHeader(h))
		_, err := io.WriteString(t, content)
		must(err)
	}
	must(t.Close())
	text := fmt.Sprintf("Package: %s\nVersion: %s\nArchitecture: all\nDescription: x\n", name, version)
	var control bytes.Buffer
	t = tar.NewWriter(&control)
	must(t.WriteHeader(&tar.Header{Name: "./control", Mode: 0o644, Size: int64(len(text)), Typeflag: tar.TypeReg}))
	_, err := io.WriteString(t, text)
	must(err)
	must(t.Close())
	deb := []byte("!<arch>\n")
	for _, part := range []struct {
		name string
		data []byte
	}{{"debian-binary", []byte("2.0\n")}, {"control.tar", control.Bytes()}, {"data.tar", data.Bytes()}} {
		deb = fmt.Appendf(deb, "%-16s%-12d%-6d%-6d%-8s%-10d`\n", part.name, 0, 0, 0, "100644", len(part.data))
		deb = append(deb, part.data...)
	}
	path := "pool/" + name + "_" + version + "_all.deb"
	m.files[path] = deb
	sum := sha256.Sum256(deb)
	return lock.Package{
		Name: name, Version: version, Arch: "all", Suite: "stable", Path: path,
		Size: int64(len(deb)), SHA256: hex.EncodeToString(sum[:]),
	}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// world is a store with a realiser.
type world struct {
	t     testing.TB
	store *store.Store
	lease *store.Lease
	r     *realise.Realiser
	g     *derivation.Graph
	seen  *events
}

type events struct {
	mu   sync.Mutex
	list []realise.Event
}

func (e *events) Event(event realise.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.list = append(e.list, event)
}

func newWorld(t testing.TB, archive items.Archive) *world {
	t.Helper()
	root := t.TempDir()
	s, err := store.Open(root, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	lease, err := s.NewLease("test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		lease.Close()
		// An ordinary user can delete nothing from the folders of items.
		_ = filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
			if err == nil && e.IsDir() {
				err = os.Chmod(path, 0o755)
			}
			return err
		})
	})
	seen := &events{}
	r := &realise.Realiser{
		Store: s, Lease: lease, Jobs: 2, Observer: seen,
		Builtins: append(builtin.All(), items.Builtins(func() (items.Archive, error) { return archive, nil })...),
	}
	return &world{t, s, lease, r, derivation.NewGraph(s), seen}
}

func (w *world) realise(target string) store.Path {
	w.t.Helper()
	paths, err := w.r.Realise(w.t.Context(), w.g, target)
	if err != nil {
		w.t.Fatal(err)
	}
	return paths[0]
}

func (w *world) deb(p lock.Package) string {
	w.t.Helper()
	s, err := recipe.Deb(w.g, p, derivation.Position{File: "web.star", Line: 3})
	return get(w.t, s, err)
}

func get(t testing.TB, s string, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return s
}
