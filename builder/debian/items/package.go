// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package items

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"osbuild/builder/debian/deb"
	"osbuild/builder/realise"
	"osbuild/store"
)

// ManifestFile is the part of a package item that refers to deb items.
const ManifestFile = "manifest.json"

// Manifest says what a package needs.
type Manifest struct {
	Package string        `json:"package"`
	Version string        `json:"version"`
	Debs    []ManifestDeb `json:"debs"`
}

// ManifestDeb is a package and its deb item.
type ManifestDeb struct {
	Package string     `json:"package"`
	Version string     `json:"version"`
	Item    store.Path `json:"item"`
}

// links are the top-level names of a package item. Each leads to where the
// packages' files stand in a container, so that the real path of a program is
// the one that it was made for.
var links = []string{"usr", "bin", "sbin", "lib", "lib64", "etc", "var", "opt"}

// buildPackage makes the item that stands for a package.
func buildPackage(_ context.Context, r realise.Request) error {
	out := r.Outs["out"]
	m, err := manifest(r)
	if err != nil {
		return err
	}
	data, err := encode(m)
	if err != nil {
		return err
	}
	if err := os.Mkdir(out, 0o755); err != nil {
		return err
	}
	for _, name := range links {
		target := "/" + name
		switch name {
		case "bin", "sbin", "lib", "lib64":
			target = "/usr/" + name
		}
		if err := os.Symlink(target, filepath.Join(out, name)); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(out, ManifestFile), data, 0o444)
}

func manifest(r realise.Request) (*Manifest, error) {
	m := &Manifest{Package: r.Drv.Env["package"]}
	if len(r.Drv.Args) == 0 {
		return nil, errors.New("a package item needs the deb item of its package")
	}
	for i, arg := range r.Drv.Args {
		p, err := store.ParsePath(arg)
		if err != nil {
			return nil, err
		}
		meta, err := deb.ReadMeta(r.Physical(p))
		if err != nil {
			return nil, err
		}
		if i == 0 {
			if meta.Package != m.Package {
				return nil, fmt.Errorf("the first deb item of the package %s is that of %s", m.Package, meta.Package)
			}
			m.Version = meta.Version
		}
		m.Debs = append(m.Debs, ManifestDeb{meta.Package, meta.Version, p})
	}
	slices.SortFunc(m.Debs, func(a, b ManifestDeb) int { return strings.Compare(a.Package, b.Package) })
	for i := 1; i < len(m.Debs); i++ {
		a, b := m.Debs[i-1], m.Debs[i]
		if a.Package == b.Package {
			return nil, twoVersions(a.Package, a.Version, string(a.Item), b.Version, string(b.Item))
		}
	}
	return m, nil
}

// encode writes JSON for people and machines; paths stay as they are.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return b.Bytes(), err
}
