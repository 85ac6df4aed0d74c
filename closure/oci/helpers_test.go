// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package oci_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"osbuild/closure/oci"
	"osbuild/closure/oci/ocitest"
	"osbuild/closure/segment"
	"osbuild/runner/spec"
)

// lab makes items on disk, as a store has them.
type lab struct {
	t     *testing.T
	dir   string
	items []spec.Item
}

func newLab(t *testing.T) *lab { return &lab{t: t, dir: t.TempDir()} }

// item makes an item of lines: "path text" is a file, "path! text" a program,
// "path/" a folder, "path -> target" a link. It returns the logical path.
func (l *lab) item(name, lines string) string {
	l.t.Helper()
	base := fmt.Sprintf("%032d-%s", len(l.items), name)
	i := spec.Item{Logical: spec.StoreDir + "/" + base, Physical: filepath.Join(l.dir, base)}
	l.items = append(l.items, i)
	if err := os.MkdirAll(i.Physical, 0o755); err != nil {
		l.t.Fatal(err)
	}
	for line := range strings.Lines(lines) {
		line = strings.TrimSpace(line)
		path, text, _ := strings.Cut(line, " ")
		full := filepath.Join(i.Physical, strings.TrimSuffix(path, "!"))
		var err error
		if err = os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			l.t.Fatal(err)
		}
		target, isLink := strings.CutPrefix(text, "-> ")
		switch {
		case isLink:
			err = os.Symlink(target, full)
		case strings.HasSuffix(path, "/"):
			err = os.MkdirAll(full, 0o755)
		case strings.HasSuffix(path, "!"):
			err = os.WriteFile(full, []byte(text), 0o755)
		default:
			err = os.WriteFile(full, []byte(text), 0o644)
		}
		if err != nil {
			l.t.Fatal(err)
		}
	}
	return i.Logical
}

// system is all items with a root; the last item is the system.
func (l *lab) system(root spec.Root) oci.System {
	return oci.System{
		Item: l.items[len(l.items)-1].Logical, Items: l.items,
		Container: spec.Container{Version: spec.Version, HostName: "box", Root: root},
		Users:     map[string]int{"mail": 8},
		Groups:    map[string]int{"mail": 8, "shadow": 42, "staff": 50},
	}
}

func options() oci.Options {
	return oci.Options{Format: segment.Zstd, MaxLayers: 100, Architecture: "amd64", Created: time.Unix(1, 0)}
}

// export writes an image and reads it back; warnings are what it lacks.
func (l *lab) export(s oci.System, o oci.Options) (image *ocitest.Image, warnings []string) {
	l.t.Helper()
	o.Warn = func(text string) { warnings = append(warnings, text) }
	to := oci.Layout{Dir: filepath.Join(l.t.TempDir(), "layout"), Tag: "t"}
	r, err := oci.Export(context.Background(), s, to, o)
	if err != nil {
		l.t.Fatal(err)
	}
	image, err = ocitest.Read(to.Dir, to.Tag)
	if err != nil {
		l.t.Fatal(err)
	}
	if r.Manifest != image.Manifest || r.Layers != len(image.Layers) {
		l.t.Errorf("the result is %+v, the image %s with %d layers", r, image.Manifest, len(image.Layers))
	}
	return image, warnings
}

// bare is what a dump shows of every image.
const bare = `dir 0755 dev
dir 0755 etc
dir 0755 home
dir 0755 osbuild
dir 0755 osbuild/store
dir 0555 proc
dir 0700 root
dir 0755 run
dir 0755 srv
dir 0555 sys
dir 1777 tmp
dir 0755 usr
dir 0755 var
dir 1777 var/tmp
`

// shown is a dump without what every image has, and with short names of items.
func shown(i *ocitest.Image) string {
	var out strings.Builder
	for line := range strings.Lines(i.Dump()) {
		if !strings.Contains(bare, line) {
			out.WriteString(line)
		}
	}
	return strings.ReplaceAll(out.String(), fmt.Sprintf("%030d", 0), "")
}
