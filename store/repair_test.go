// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"osbuild/store"
)

// zoo adds an item of each kind and returns them by what they are; two of them
// need others. It is the same in every store.
func zoo(t *testing.T, s *store.Store) map[string]store.Path {
	t.Helper()
	ctx := context.Background()
	l, err := s.NewLease("zoo")
	if err != nil {
		t.Fatal(err)
	}
	src := writeTree(t, map[string]string{"f": "content\n", "d/run": "#!x", "l": "-> d", "empty/": ""})
	p := map[string]store.Path{}
	note := func(kind string, i store.Info, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		p[kind] = i.Path
	}
	p["text"] = text(t, s, l, "text", "nothing")
	p["referring"] = text(t, s, l, "referring", "see "+string(p["text"]), p["text"])
	i, err := s.AddTree(ctx, l, "tree", src, nil)
	note("tree", i, err)
	// A source may mention an item without referring to it.
	if err := os.WriteFile(src+"/mention", []byte(p["text"]+" "+p["tree"]), 0o644); err != nil {
		t.Fatal(err)
	}
	i, err = s.AddTree(ctx, l, "mentioning", src, nil)
	note("mentioning", i, err)
	for _, algo := range []string{"sha256", "sha512", "sha1", "md5"} {
		i, err = s.AddFixed(ctx, l, "flat-"+algo, src+"/f", algo, nil, false)
		note("flat-"+algo, i, err)
		i, err = s.AddFixed(ctx, l, "recursive-"+algo, src, algo, nil, true)
		note("recursive-"+algo, i, err)
	}
	i, err = s.AddExecutable(ctx, l, "executable", []byte("#! "+p["text"]), []store.Path{p["text"]})
	note("executable", i, err)
	i, err = zooOutput(t, s, l, p, "")
	note("output", i, err)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return p
}

// zooOutput is what a builder made; more is what it makes at another time.
func zooOutput(t *testing.T, s *store.Store, l *store.Lease, p map[string]store.Path, more string) (store.Info, error) {
	t.Helper()
	temp, err := l.TempDir()
	if err != nil {
		return store.Info{}, err
	}
	writeTreeAt(t, temp+"/out", map[string]string{"self": string(scratchA), "ref": string(p["tree"]+"/x") + more, "again": "-> " + string(p["referring"])})
	return s.AddOutput(context.Background(), l, store.Output{Name: "out", Physical: temp + "/out", Scratch: scratchA, Candidates: []store.Path{p["tree"], p["referring"], p["mentioning"]}, Deriver: "x.drv"})
}

// harm changes what lies in a read-only item.
func harm(t *testing.T, path string, do func() error) {
	t.Helper()
	item := path
	for filepath.Base(filepath.Dir(item)) != "store" {
		item = filepath.Dir(item)
	}
	err := filepath.WalkDir(item, func(path string, d os.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			return os.Chmod(path, 0o755)
		case !d.Type().IsRegular():
			return nil
		}
		st, err := d.Info()
		if err != nil {
			return err
		}
		return os.Chmod(path, st.Mode().Perm()|0o200)
	})
	if err := errors.Join(err, do()); err != nil {
		t.Fatal(err)
	}
}

func infoFile(s *store.Store, p store.Path) string {
	return s.Root() + "/db/info/" + p.Digest() + ".narinfo"
}

func TestRepair(t *testing.T) {
	tests := []struct {
		summary, item string
		damage        func(t *testing.T, s *store.Store, p store.Path) error
		how           string // empty: cannot be repaired without a source
		sourceHow     string // with a source
	}{
		{"a changed file", "tree", func(t *testing.T, s *store.Store, p store.Path) error {
			return os.WriteFile(s.Physical(p)+"/f", []byte("CONTENT\n"), 0o644)
		}, "", "from "},
		{"a file too much", "tree", func(t *testing.T, s *store.Store, p store.Path) error {
			return os.WriteFile(s.Physical(p)+"/more", nil, 0o444)
		}, "", "from "},
		{"a folder that is gone", "output", func(t *testing.T, s *store.Store, p store.Path) error {
			return os.RemoveAll(s.Physical(p))
		}, "", "from "},
		{"a file for a folder", "tree", func(t *testing.T, s *store.Store, p store.Path) error {
			return errors.Join(os.RemoveAll(s.Physical(p)), os.WriteFile(s.Physical(p), nil, 0o444))
		}, "", "from "},
		{"a changed text", "referring", func(t *testing.T, s *store.Store, p store.Path) error {
			return os.WriteFile(s.Physical(p), []byte("x"), 0o644)
		}, "", "from "},
		{"modes", "tree", func(t *testing.T, s *store.Store, p store.Path) error {
			return os.Chmod(s.Physical(p)+"/f", 0o666)
		}, "its modes and times", "its modes and times"},
		{"times", "output", func(t *testing.T, s *store.Store, p store.Path) error {
			return os.Chtimes(s.Physical(p), time.Now(), time.Now())
		}, "its modes and times", "its modes and times"},
		{"the executable bit", "tree", func(t *testing.T, s *store.Store, p store.Path) error {
			return os.Chmod(s.Physical(p)+"/d/run", 0o444)
		}, "", "from "},
		{"a damaged info file", "output", func(t *testing.T, s *store.Store, p store.Path) error {
			return errors.Join(os.WriteFile(infoFile(s, p), []byte("junk"), 0o644), os.Remove(s.Root()+"/db/index.log"))
		}, "its info, from its tree", "its info, from its tree"},
		{"a missing info file of what others need", "tree", func(t *testing.T, s *store.Store, p store.Path) error {
			return errors.Join(os.Chmod(s.Physical(p), 0o555), os.Remove(infoFile(s, p)))
		}, "its info, from its tree", "its info, from its tree"},
		{"an item others need, all of it", "text", func(t *testing.T, s *store.Store, p store.Path) error {
			return errors.Join(os.Remove(infoFile(s, p)), os.Remove(s.Physical(p)))
		}, "", "from "},
		{"an info of another address", "tree", func(t *testing.T, s *store.Store, p store.Path) error {
			data, err := os.ReadFile(infoFile(s, p))
			other := strings.Replace(string(data), "CA: fixed:r:sha256:", "CA: fixed:r:sha256:0", 1)
			line := other[strings.Index(other, "CA: "):]
			line = line[:strings.Index(line, "\n")]
			return errors.Join(err, os.WriteFile(infoFile(s, p), []byte(strings.Replace(other, line, line[:len(line)-1], 1)), 0o644))
		}, "its info, from its tree", "its info, from its tree"},
	}
	ctx := context.Background()
	whole := open(t)
	want := zoo(t, whole)
	for _, tt := range tests {
		t.Run(tt.summary, func(t *testing.T) {
			s := open(t)
			p := zoo(t, s)[tt.item]
			if p != want[tt.item] {
				t.Fatalf("two stores make %s and %s", p, want[tt.item])
			}
			before, err := s.Info(p)
			if err != nil {
				t.Fatal(err)
			}
			harm(t, s.Physical(p), func() error { return tt.damage(t, s, p) })
			if rep, err := s.Verify(ctx, store.VerifyOptions{Contents: true}); err != nil || len(rep.Problems) == 0 {
				t.Fatalf("no damage is seen: %v", err)
			}
			r, err := s.Repair(ctx, store.RepairOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if how := repairedHow(r, p); how != tt.how || (how == "") != (len(r.Failed) == 1) {
				t.Errorf("without a source: %+v, want %q", r, tt.how)
			}
			if tt.how == "" {
				if !errors.Is(r.Failed[0].Err, store.ErrNotFound) || r.Failed[0].Path != p {
					t.Errorf("failed: %+v", r.Failed)
				}
				r, err = s.Repair(ctx, store.RepairOptions{Sources: []store.Source{store.FromStore(open(t)), store.FromStore(whole)}})
				if how := repairedHow(r, p); err != nil || how != tt.sourceHow+whole.Root() || len(r.Failed) > 0 {
					t.Errorf("with a source: %+v, %v", r, err)
				}
			}
			after, err := s.Info(p)
			if err != nil || after.CA != before.CA || !slices.Equal(after.References, before.References) || after.NarHash != before.NarHash || after.NarSize != before.NarSize {
				t.Errorf("the info was\n%s and is\n%s", before.Encode(), after.Encode())
			}
			mustVerify(t, s)
			if r, err := s.Repair(ctx, store.RepairOptions{}); err != nil || len(r.Repaired)+len(r.Failed) > 0 {
				t.Errorf("once more: %+v, %v", r, err)
			}
			expectTidy(t, s)
		})
	}
}

func repairedHow(r store.RepairResult, p store.Path) string {
	for _, x := range r.Repaired {
		if x.Path == p {
			return x.How
		}
	}
	return ""
}

// expectTidy checks that no work is left behind.
func expectTidy(t *testing.T, s *store.Store) {
	t.Helper()
	for _, dir := range []string{"tmp", "trash", "leases"} {
		if entries, err := os.ReadDir(s.Root() + "/" + dir); err != nil || len(entries) > 0 {
			t.Errorf("%s holds %v, %v", dir, entries, err)
		}
	}
	r, err := s.Verify(context.Background(), store.VerifyOptions{})
	if err != nil || len(r.Stray) > 0 {
		t.Errorf("stray: %q, %v", r.Stray, err)
	}
}

// A source that lies, and an item in use.
func TestRepairRefuses(t *testing.T) {
	ctx := context.Background()
	liar, s := open(t), open(t)
	p := zoo(t, liar)["tree"]
	zoo(t, s)
	spoil := func(s *store.Store, content string) {
		harm(t, s.Physical(p)+"/f", func() error { return os.WriteFile(s.Physical(p)+"/f", []byte(content), 0o644) })
	}
	spoil(liar, "lies\n")
	spoil(s, "damaged\n")
	r, err := s.Repair(ctx, store.RepairOptions{Paths: []store.Path{p}, Sources: []store.Source{store.FromStore(liar)}})
	if err != nil || len(r.Failed) != 1 || !errors.Is(r.Failed[0].Err, store.ErrWrong) {
		t.Errorf("a source that lies: %+v, %v", r, err)
	}
	good := open(t)
	zoo(t, good)
	l := lease(t, s)
	if err := l.Add(p); err != nil {
		t.Fatal(err)
	}
	o := store.RepairOptions{Sources: []store.Source{store.FromStore(liar), store.FromStore(good)}}
	r, err = s.Repair(ctx, o)
	if err != nil || len(r.Failed) != 1 || !strings.Contains(r.Failed[0].Err.Error(), "it is in use by TestRepairRefuses (process ") {
		t.Errorf("an item in use: %+v, %v", r, err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if r, err = s.Repair(ctx, o); err != nil || repairedHow(r, p) != "from "+good.Root() {
		t.Errorf("%+v, %v", r, err)
	}
	mustVerify(t, s)
	expectTidy(t, s)
}

// An item is built again: the same bytes replace the damaged ones, and nothing
// else does.
func TestRepairRebuild(t *testing.T) {
	ctx := context.Background()
	for _, tt := range []struct {
		summary, more string
		err           error
		want          string // part of the error
	}{
		{"the same", "", nil, ""},
		{"something else", "!", nil, "gave something else this time"},
		{"a failure", "", errors.New("it is broken"), "it is broken"},
	} {
		t.Run(tt.summary, func(t *testing.T) {
			s := open(t)
			p := zoo(t, s)
			place := s.Physical(p["output"])
			harm(t, place, func() error { return os.WriteFile(place+"/damage", nil, 0o644) })
			builds := 0
			r, err := s.Repair(ctx, store.RepairOptions{Rebuild: func(_ context.Context, view *store.Store, i store.Info) error {
				builds++
				if i.Path != p["output"] || view.Valid(i.Path) || !view.Valid(p["tree"]) {
					t.Errorf("the view has the damaged %s: %t, and %s: %t", i.Path, view.Valid(i.Path), p["tree"], view.Valid(p["tree"]))
				}
				l, err := view.NewLease("build")
				if err != nil {
					return err
				}
				// Twice, as two outputs that are equal would be.
				for range 2 {
					if _, err := zooOutput(t, view, l, p, tt.more); err != nil {
						return err
					}
				}
				if _, err := os.Lstat(place + "/damage"); err != nil {
					t.Errorf("the tree changed while it was built again: %v", err)
				}
				return errors.Join(tt.err, l.Close())
			}})
			if err != nil || builds != 1 {
				t.Fatalf("%d builds, %v", builds, err)
			}
			if tt.want == "" {
				if repairedHow(r, p["output"]) != "built again" {
					t.Errorf("%+v", r)
				}
				mustVerify(t, s)
			} else if len(r.Failed) != 1 || !strings.Contains(r.Failed[0].Err.Error(), tt.want) {
				t.Errorf("%+v, want %q", r, tt.want)
			}
			gc(t, s, store.GCOptions{MinAge: time.Hour})
			expectTidy(t, s)
		})
	}
}

// The info files and the index are made again from the trees alone.
func TestRebuild(t *testing.T) {
	ctx := context.Background()
	s := open(t)
	p := zoo(t, s)
	before, err := s.Infos()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range before {
		if err := os.Remove(infoFile(s, i.Path)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(s.Root()+"/db/index.log", []byte("junk"), 0o644); err != nil {
		t.Fatal(err)
	}
	// As a registration leaves it that dies in the middle.
	if err := os.Chmod(s.Physical(p["tree"]), 0o755); err != nil {
		t.Fatal(err)
	}
	// One is damaged, so that what needs it goes too; one has no name.
	harm(t, s.Physical(p["referring"]), func() error { return os.WriteFile(s.Physical(p["referring"]), []byte("other"), 0o444) })
	if err := os.Mkdir(s.Root()+"/store/junk", 0o755); err != nil {
		t.Fatal(err)
	}
	r, err := s.Rebuild(ctx, true)
	if all, aerr := s.All(); err != nil || aerr != nil || len(all) != 0 || len(r.Made) != len(before)-2 {
		t.Errorf("a dry run: %+v, %v, %q", r, err, all)
	}
	if r, err = s.Rebuild(ctx, false); err != nil || len(r.Made) != len(before)-2 || r.Checked != len(before) {
		t.Errorf("%+v, %v", r, err)
	}
	var left []string
	for _, problem := range r.Left {
		left = append(left, fmt.Sprint(filepath.Base(string(problem.Path)), " ", problem.Kind))
	}
	slices.Sort(left)
	if want := []string{"junk address", p["output"].Base() + " reference", p["referring"].Base() + " address"}; !slices.Equal(left, sorted(want)) {
		t.Errorf("left: %q, want %q", left, want)
	}
	after := make(map[store.Path]store.Info)
	for _, path := range r.Made {
		i, err := s.Info(path)
		if err != nil {
			t.Fatal(err)
		}
		after[path] = i
	}
	for _, i := range before {
		j, ok := after[i.Path]
		if !ok {
			continue
		}
		if i.CA != j.CA || i.NarHash != j.NarHash || i.NarSize != j.NarSize || !slices.Equal(i.References, j.References) {
			t.Errorf("the info was\n%s and is\n%s", i.Encode(), j.Encode())
		}
	}
	mustVerify(t, s)
	gc(t, s, store.GCOptions{MinAge: time.Hour})
	if r, err := s.Rebuild(ctx, false); err != nil || len(r.Made)+len(r.Left) > 0 || r.Checked != len(before)-2 {
		t.Errorf("once more: %+v, %v", r, err)
	}
	expectTidy(t, s)
}

func sorted(list []string) []string {
	slices.Sort(list)
	return list
}

// What a sound info file tells beyond the tree stays.
func TestRebuildKeeps(t *testing.T) {
	s := open(t)
	p := zoo(t, s)["output"]
	if r, err := s.Rebuild(context.Background(), false); err != nil || len(r.Made)+len(r.Left) > 0 {
		t.Errorf("%+v, %v", r, err)
	}
	if i, err := s.Info(p); err != nil || i.Deriver != "x.drv" {
		t.Errorf("%s, %v", i.Encode(), err)
	}
}

// Verify looks both ways, and for the references of what was built.
func TestVerifyReferences(t *testing.T) {
	ctx := context.Background()
	s := open(t)
	p := zoo(t, s)
	if err := os.Mkdir(s.Root()+"/store/"+scratchB.Base(), 0o755); err != nil {
		t.Fatal(err)
	}
	l := lease(t, s)
	if err := os.Mkdir(s.Root()+"/store/"+scratchA.Base(), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := l.Add(scratchA); err != nil { // on its way
		t.Fatal(err)
	}
	r, err := s.Verify(ctx, store.VerifyOptions{Contents: true})
	if err != nil || len(r.Problems) > 0 || !slices.Equal(r.Stray, []string{scratchB.Base()}) {
		t.Errorf("%+v, %v", r, err)
	}
	change := func(path store.Path, do func(text string) string) {
		data, err := os.ReadFile(infoFile(s, path))
		if err == nil {
			err = os.WriteFile(infoFile(s, path), []byte(do(string(data))), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	// Without content addresses only the scan tells.
	drop := func(text string) string {
		from := strings.Index(text, "CA: ")
		return text[:from] + text[from+strings.Index(text[from:], "\n")+1:]
	}
	change(p["referring"], func(text string) string {
		return strings.Replace(drop(text), "References: "+p["text"].Base(), "References: ", 1)
	})
	change(p["text"], func(text string) string {
		return strings.Replace(drop(text), "References: ", "References: "+p["tree"].Base(), 1)
	})
	r, err = s.Verify(ctx, store.VerifyOptions{Contents: true})
	if err != nil || len(r.Problems) != 2 {
		t.Fatalf("%+v, %v", r.Problems, err)
	}
	for _, problem := range r.Problems {
		want := map[store.Path]string{p["referring"]: "it refers to the item " + p["text"].Digest() + ", which is not registered", p["text"]: "it is registered as referring to " + string(p["tree"]) + ", which does not occur in it"}[problem.Path]
		if problem.Kind != store.ProblemReference || problem.Detail != want {
			t.Errorf("%s, want %q", problem, want)
		}
	}
}
