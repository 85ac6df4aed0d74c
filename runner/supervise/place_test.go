// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package supervise

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestOpenFolder(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	for _, err := range []error{
		os.Mkdir(in("real"), 0o755),
		os.Symlink("real", in("link")),
		os.Symlink(in("real"), in("absolute")),
		os.Symlink("loop", in("loop")),
		os.WriteFile(in("file"), nil, 0o644),
		os.Symlink("real", in("foreign")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	root := os.Lchown(in("foreign"), 1000, 1000) == nil
	for _, tc := range []struct {
		summary, name, leads string
		err                  error
	}{
		{"a folder that is there", "real", "real", nil},
		{"folders that are made", "new/deep", "new/deep", nil},
		{"a link of our own", "link/a", "real/a", nil},
		{"an absolute link of our own", "absolute/b", "real/b", nil},
		{"a file on the way", "file/c", "", unix.ENOTDIR},
		{"links in a circle", "loop/c", "", unix.ELOOP},
		{"a link of somebody else's", "foreign/c", "", errForeignLink},
	} {
		t.Run(tc.summary, func(t *testing.T) {
			if errors.Is(tc.err, errForeignLink) && !root {
				t.Skip("SKIP-ENV: only root can give links away")
			}
			fd, err := openFolder(in(tc.name))
			if !errors.Is(err, tc.err) {
				t.Fatalf("got %v, want %v", err, tc.err)
			}
			if err != nil {
				if !strings.Contains(err.Error(), in(tc.name)) {
					t.Errorf("the message does not name the folder: %v", err)
				}
				return
			}
			defer unix.Close(fd)
			var got, want unix.Stat_t
			if err := errors.Join(unix.Fstat(fd, &got), unix.Stat(in(tc.leads), &want)); err != nil || got.Ino != want.Ino {
				t.Errorf("it leads elsewhere than to %s: %v", tc.leads, err)
			}
		})
	}
	if _, err := os.Stat(in("real/c")); err == nil {
		t.Error("a folder was made behind a link of somebody else's")
	}
}
