// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package nixtest

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var (
	treeNames = []string{
		"a", "A", "b.txt", "b", "ab", "a-b", "a.b", ".hidden", "ä ö", "new\nline", "zz", "+x", "~", "0", "\xff\xfe", "-n", "(", "name",
		"~nix~case~hack~1", strings.Repeat("n", 255),
	}
	treeTargets = []string{"a", "../x", "/nowhere", ".", "new\nline", "\xff", strings.Repeat("t", 1000), strings.Repeat("u", 4095)}
	// Around the padding, the blocks and the buffers of both sides.
	smallSizes = []int{0, 0, 1, 7, 8, 9, 15, 16, 17, 100, 4095, 4096, 4097}
	largeSizes = []int{65535, 65536, 65537, 131071, 131072, 131073, 300_000}
	// Whether a file may be run its owner's bit says, and no other.
	runModes   = []os.FileMode{0o755, 0o744, 0o700, 0o500, 0o777}
	plainModes = []os.FileMode{0o644, 0o600, 0o444, 0o400, 0o655, 0o611, 0o666}
)

// RandomTree makes a tree with all that may occur in one: files of odd sizes,
// executables, links, empty folders, odd names. Now and then it is a lone file
// or link. The same numbers give the same tree.
func RandomTree(t testing.TB, r *rand.Rand, path string) {
	t.Helper()
	if err := node(r, path, 0, r.IntN(10)); err != nil {
		t.Fatal(err)
	}
}

func node(r *rand.Rand, path string, depth, kind int) error {
	switch {
	case kind == 0:
		return os.Symlink(treeTargets[r.IntN(len(treeTargets))], path)
	case kind == 1:
		return file(path, randomBytes(r), runModes[r.IntN(len(runModes))])
	case kind == 2 || depth > 0 && kind < 6:
		return file(path, randomBytes(r), plainModes[r.IntN(len(plainModes))])
	}
	if err := os.Mkdir(path, 0o755); err != nil {
		return err
	}
	taken := map[string]bool{}
	for range r.IntN(6) {
		name := treeNames[r.IntN(len(treeNames))]
		kind := r.IntN(10)
		if depth >= 5 || len(path) > 2000 {
			kind %= 3
		}
		if taken[name] {
			continue
		}
		taken[name] = true
		if err := node(r, filepath.Join(path, name), depth+1, kind); err != nil {
			return err
		}
	}
	return nil
}

// file writes a file of exactly this mode.
func file(path string, content []byte, mode os.FileMode) error {
	if err := os.WriteFile(path, content, 0o600); err != nil {
		return err
	}
	return os.Chmod(path, mode)
}

func randomBytes(r *rand.Rand) []byte {
	size := smallSizes[r.IntN(len(smallSizes))]
	if r.IntN(20) == 0 {
		size = largeSizes[r.IntN(len(largeSizes))]
	}
	return RandomBytes(r, size)
}

// RandomBytes gives n bytes of any value.
func RandomBytes(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for k := range b {
		b[k] = byte(r.Uint32())
	}
	return b
}
