// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package items_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"testing"

	"osbuild/builder/debian/apt"
	"osbuild/builder/debian/deb"
	"osbuild/builder/debian/lock"
	"osbuild/builder/debian/recipe"
	"osbuild/builder/derivation"
)

// folder is an archive whose files lie in a folder.
type folder string

func (d folder) Fetch(_ context.Context, f apt.File, w io.Writer) error {
	in, err := os.Open(filepath.Join(string(d), f.Path))
	if err != nil {
		return err
	}
	defer in.Close()
	_, err = io.CopyBuffer(struct{ io.Writer }{w}, in, make([]byte, 64<<10))
	return err
}

func (d folder) Newer(context.Context, string) (version, suite string, err error) {
	return "", "", nil
}

// BenchmarkDebs goes from the packages of the folder OSBUILD_TEST_DEBS to
// their items in a store, and to the list of them.
func BenchmarkDebs(b *testing.B) {
	dir := os.Getenv("OSBUILD_TEST_DEBS")
	files, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if dir == "" || err != nil || len(files) == 0 {
		b.Skip("SKIP-ENV: OSBUILD_TEST_DEBS names no folder with packages")
	}
	var locked []lock.Package
	for _, file := range files {
		f, err := os.Open(file)
		if err != nil {
			b.Fatal(err)
		}
		sum := sha256.New()
		size, err := io.Copy(sum, f)
		if err != nil {
			b.Fatal(err)
		}
		meta, err := deb.Unpack(b.Context(), f, size, filepath.Join(b.TempDir(), "out"))
		if err != nil {
			b.Fatal(err)
		}
		f.Close()
		locked = append(locked, lock.Package{
			Name: meta.Package, Version: meta.Version, Arch: meta.Architecture, Suite: "x",
			Path: filepath.Base(file), Size: size, SHA256: hex.EncodeToString(sum.Sum(nil)),
		})
	}
	for b.Loop() {
		b.StopTimer()
		w := newWorld(b, folder(dir))
		var debs []string
		for _, p := range locked {
			debs = append(debs, w.deb(p))
		}
		set, err := recipe.Set(w.g, "set", debs, derivation.Position{})
		b.StartTimer()
		w.realise(get(b, set, err))
	}
}
