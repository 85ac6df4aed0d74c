// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package cache_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"osbuild/store/cache"
	"osbuild/store/nar"
)

// FuzzListing holds that the listing of a tree with any names, targets and
// contents is one of JSON from which each file can be read in the archive.
func FuzzListing(f *testing.F) {
	f.Add("a", "b", []byte("content"), true)
	f.Add("<&>\u2028", "../\"x\\", []byte{}, false)
	f.Add("\xff", "\x01", []byte("\x00"), false)
	f.Fuzz(func(t *testing.T, name, target string, content []byte, executable bool) {
		if name == "" || name == "." || name == ".." || name == "link" || len(name) > 255 || strings.ContainsAny(name, "/\x00") ||
			target == "" || len(target) > 4000 || strings.Contains(target, "\x00") {
			return // no file has this name, or no link this target
		}
		dir := filepath.Join(t.TempDir(), "tree")
		mode := os.FileMode(0o644)
		if executable {
			mode = 0o755
		}
		for _, err := range []error{os.MkdirAll(dir+"/sub", 0o755), os.WriteFile(dir+"/sub/"+name, content, mode), os.Symlink(target, dir+"/link")} {
			if err != nil {
				t.Fatal(err)
			}
		}
		text, err := cache.Listing(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		type entry struct {
			Type, Target    string
			Size, NarOffset *int64
			Executable      bool
			Entries         map[string]entry
		}
		var listing struct{ Root entry }
		if err := json.Unmarshal(text, &listing); err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		var archive bytes.Buffer
		if _, err := nar.Write(t.Context(), &archive, dir, nil); err != nil {
			t.Fatal(err)
		}
		// JSON has no bytes that are no text, so such a name has another form.
		file, ok := listing.Root.Entries["sub"].Entries[name]
		if !ok && utf8.ValidString(name) || len(listing.Root.Entries["sub"].Entries) != 1 {
			t.Fatalf("%q is not in it: %s", name, text)
		}
		if l := listing.Root.Entries["link"]; l.Type != "symlink" || l.Target != target && utf8.ValidString(target) {
			t.Errorf("the link leads to %q: %s", target, text)
		}
		if !ok {
			return
		}
		if file.Type != "regular" || file.Executable != executable || file.Size == nil || file.NarOffset == nil || *file.Size != int64(len(content)) {
			t.Fatalf("the file is %s", text)
		}
		if got := archive.Bytes()[*file.NarOffset:][:*file.Size]; !bytes.Equal(got, content) {
			t.Errorf("at %d stands %q", *file.NarOffset, got)
		}
	})
}
