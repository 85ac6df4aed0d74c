// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package handlers

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
)

var update = flag.Bool("update", false, "write what packages make into testdata")

// TestGolden makes the roots of the packages in testdata, whole, and compares
// them with the file want that stands behind the packages.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no testdata", err)
	}
	for _, name := range files {
		t.Run(filepath.Base(name), func(t *testing.T) {
			ar, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			want := ""
			if last := len(ar.Files) - 1; ar.Files[last].Name == "want" {
				want = string(ar.Files[last].Data)
				ar.Files = ar.Files[:last]
			}
			got, err := build(t, plant(t, ar), "quiet")
			if err != nil {
				t.Fatal(err)
			}
			if again, err := build(t, plant(t, ar), "quiet"); err != nil || again != got {
				t.Errorf("a second time it is another: %v\n%s", err, cmp.Diff(got, again))
			}
			if *update {
				ar.Files = append(ar.Files, txtar.File{Name: "want", Data: []byte(got)})
				if err := os.WriteFile(name, txtar.Format(ar), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
