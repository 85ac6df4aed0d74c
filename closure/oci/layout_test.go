// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package oci_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"osbuild/closure/oci"
	"osbuild/closure/oci/ocitest"
	"osbuild/runner/spec"
)

// refused exports to a new folder, which must not be there afterwards.
func (l *lab) refused(s oci.System, o oci.Options) error {
	l.t.Helper()
	top := filepath.Join(l.t.TempDir(), "new")
	_, err := oci.Export(context.Background(), s, oci.Layout{Dir: filepath.Join(top, "layout"), Tag: "t"}, o)
	if _, serr := os.Lstat(top); !errors.Is(serr, fs.ErrNotExist) {
		l.t.Errorf("something was left behind in %s: %v", top, serr)
	}
	return err
}

func TestParseLayout(t *testing.T) {
	for _, test := range []struct{ text, dir, tag, err string }{
		{"web", "web", "latest", ""},
		{"/srv/images/web:1.2-rc_3", "/srv/images/web", "1.2-rc_3", ""},
		{"", "", "", "no folder"},
		{":1", "", "", "no folder"},
		{"web:", "", "", "empty"},
		{"web:a:b", "", "", "first colon"},
		{"web:a/b", "", "", `"/"`},
		{"web:.a", "", "", `"."`},
		{"web:a-", "", "", `"-"`},
		{"web:" + strings.Repeat("a", 129), "", "", "longer"},
	} {
		l, err := oci.ParseLayout(test.text)
		if test.err == "" && (err != nil || l.Dir != test.dir || l.Tag != test.tag) {
			t.Errorf("%q is %+v, %v", test.text, l, err)
		}
		if test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)) {
			t.Errorf("%q: error %v, want one that says %s", test.text, err, test.err)
		}
	}
}

// small is a system of two items, with a text that tests choose.
func small(l *lab, text string) oci.System {
	l.item("lib", "share/lib "+text)
	l.item("system", "boot! x")
	return l.system(spec.Root{})
}

func (l *lab) must(s oci.System, to oci.Layout) oci.Result {
	l.t.Helper()
	r, err := oci.Export(context.Background(), s, to, options())
	if err != nil {
		l.t.Fatal(err)
	}
	if _, err := ocitest.Read(to.Dir, to.Tag); err != nil {
		l.t.Fatal(err)
	}
	return r
}

// TestSame exports the same from two places, with one worker and with many:
// one digest.
func TestSame(t *testing.T) {
	var digests []string
	for _, jobs := range []int{1, 2, 9} {
		l := newLab(t)
		s := small(l, "x")
		o := options()
		o.Jobs = jobs
		image, _ := l.export(s, o)
		digests = append(digests, image.Manifest)
	}
	old := runtime.GOMAXPROCS(1)
	l := newLab(t)
	image, _ := l.export(small(l, "x"), options())
	runtime.GOMAXPROCS(old)
	for _, d := range digests {
		if d != image.Manifest {
			t.Errorf("digests differ: %v %s", digests, image.Manifest)
		}
	}
}

// TestTags puts several images into one layout and replaces one.
func TestTags(t *testing.T) {
	l := newLab(t)
	dir := filepath.Join(t.TempDir(), "layout")
	a, b := oci.Layout{Dir: dir, Tag: "a"}, oci.Layout{Dir: dir, Tag: "b"}
	one := l.must(small(l, "one"), a)
	again := l.must(small(newLab(t), "one"), b)
	if one != again {
		t.Errorf("the same image is %+v and %+v", one, again)
	}
	// What others wrote stays, even what we do not know.
	index := filepath.Join(dir, "index.json")
	text, err := os.ReadFile(index)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(text), `"schemaVersion":2`, `"annotations":{"by":"somebody"},"schemaVersion":2`, 1)
	changed = strings.Replace(changed, `"manifests":[`, `"manifests":[{"mediaType":"text/x","digest":"sha256:00","size":1,"data":"eA=="},`, 1)
	if err := os.WriteFile(index, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	two := l.must(small(newLab(t), "two"), b)
	if got, err := ocitest.Read(dir, "a"); err != nil || got.Manifest != one.Manifest {
		t.Errorf("the other tag is damaged: %v", err)
	}
	if text, err = os.ReadFile(index); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{one.Manifest, two.Manifest, `"by":"somebody"`, `"data":"eA=="`} {
		if strings.Count(string(text), want) != 1 {
			t.Errorf("the index holds %q not once:\n%s", want, text)
		}
	}
}

// TestRepair exports over damaged blobs.
func TestRepair(t *testing.T) {
	l := newLab(t)
	to := oci.Layout{Dir: t.TempDir(), Tag: "a"}
	s := small(l, "one")
	l.must(s, to)
	blobs, err := filepath.Glob(filepath.Join(to.Dir, "blobs", "sha256", "*"))
	if err != nil || len(blobs) == 0 {
		t.Fatal(blobs, err)
	}
	for _, b := range blobs {
		if err := os.WriteFile(b, []byte("torn"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l.must(s, to)
}

// TestForeignFolder refuses to write into what is no layout, and leaves it as
// it was.
func TestForeignFolder(t *testing.T) {
	l := newLab(t)
	s := small(l, "one")
	dir := t.TempDir()
	precious := filepath.Join(dir, "precious")
	if err := os.WriteFile(precious, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := oci.Export(context.Background(), s, oci.Layout{Dir: dir, Tag: "t"}, options())
	if err == nil || !strings.Contains(err.Error(), "no image layout") {
		t.Errorf("error %v", err)
	}
	if names, _ := os.ReadDir(dir); len(names) != 1 {
		t.Errorf("%v is left", names)
	}
	_, err = oci.Export(context.Background(), s, oci.Layout{Dir: precious, Tag: "t"}, options())
	if err == nil || !strings.Contains(err.Error(), "not a directory") {
		t.Errorf("error %v", err)
	}
	for _, text := range []string{"", "null", "[]", `{"manifests":{}}`, "\x00"} {
		to := oci.Layout{Dir: t.TempDir(), Tag: "t"}
		l.must(s, to)
		index := filepath.Join(to.Dir, "index.json")
		if err := os.WriteFile(index, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := oci.Export(context.Background(), s, to, options())
		if err == nil || !strings.Contains(err.Error(), "index.json") {
			t.Errorf("index %q: error %v", text, err)
		}
		if got, _ := os.ReadFile(index); string(got) != text {
			t.Errorf("index %q is now %q", text, got)
		}
	}
}

// TestInterrupted stops an export, and starts where one was killed.
func TestInterrupted(t *testing.T) {
	l := newLab(t)
	s := small(l, "one")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	top := filepath.Join(t.TempDir(), "new")
	if _, err := oci.Export(ctx, s, oci.Layout{Dir: top, Tag: "t"}, options()); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if _, err := os.Lstat(top); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("something was left: %v", err)
	}
	if err := os.MkdirAll(filepath.Join(top, ".osbuild-export-1/rest"), 0o700); err != nil {
		t.Fatal(err)
	}
	l.must(s, oci.Layout{Dir: top, Tag: "t"})
}

// TestTogether exports to one layout from many sides at once.
func TestTogether(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "layout")
	tags := []string{"a", "b", "c", "d", "e", "f"}
	var group sync.WaitGroup
	for _, tag := range tags {
		l := newLab(t)
		s := small(l, tag[:1])
		group.Go(func() {
			if _, err := oci.Export(context.Background(), s, oci.Layout{Dir: dir, Tag: tag}, options()); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	for _, tag := range tags {
		if _, err := ocitest.Read(dir, tag); err != nil {
			t.Error(err)
		}
	}
}
