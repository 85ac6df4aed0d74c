// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"osbuild/store"
	"osbuild/store/nar"
)

// selfReferring adds an output that holds its own path.
func selfReferring(t *testing.T, s *store.Store, l *store.Lease, dep store.Path) store.Info {
	t.Helper()
	scratch, err := store.TextPath("self", []byte("scratch"), nil)
	if err != nil {
		t.Fatal(err)
	}
	temp, err := l.TempDir()
	if err != nil {
		t.Fatal(err)
	}
	writeTreeAt(t, temp+"/out", map[string]string{"bin/me": "#!" + string(scratch) + " and " + string(dep), "link": "-> " + string(scratch) + "/bin/me", "empty/": ""})
	i, err := s.AddOutput(context.Background(), l, store.Output{Name: "self", Physical: temp + "/out", Scratch: scratch, Candidates: []store.Path{dep}})
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func dump(t *testing.T, s *store.Store, p store.Path) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := s.DumpNAR(context.Background(), p, &b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestArrivals(t *testing.T) {
	from, to := open(t), open(t)
	l, here := lease(t, from), lease(t, to)
	dep := text(t, from, l, "dep", "a text")
	infos := []store.Info{selfReferring(t, from, l, dep)}
	for _, add := range []func() (store.Info, error){
		func() (store.Info, error) { return from.Info(dep) },
		func() (store.Info, error) {
			return from.AddFlat(t.Context(), l, "flat", "sha1", from.Physical(dep))
		},
		func() (store.Info, error) {
			return from.AddFixed(t.Context(), l, "tree", from.Physical(infos[0].Path), "md5", nil, true)
		},
		func() (store.Info, error) {
			return from.AddExecutable(t.Context(), l, "x", []byte("#!"+string(dep)), []store.Path{dep})
		},
	} {
		i, err := add()
		if err != nil {
			t.Fatal(err)
		}
		infos = append(infos, i)
	}
	var arrivals []*store.Arrival
	for _, i := range infos {
		if err := store.CheckAddress(i); err != nil {
			t.Error(err)
		}
		a, err := to.Unpack(t.Context(), here, i, bytes.NewReader(dump(t, from, i.Path)))
		if err != nil {
			t.Fatal(err)
		}
		arrivals = append(arrivals, a)
	}
	if all, err := to.All(); err != nil || len(all) > 0 {
		t.Errorf("registered before they were admitted: %v %v", all, err)
	}
	if err := to.Admit(t.Context(), here, arrivals...); err != nil {
		t.Fatal(err)
	}
	for _, i := range infos {
		got, err := to.Info(i.Path)
		if err != nil || got.NarHash != i.NarHash || !slices.Equal(got.References, i.References) || got.CA != i.CA {
			t.Errorf("%+v became %+v, %v", i, got, err)
		}
	}
	mustVerify(t, to)
	empty(t, here)
}

// empty checks that nothing is left in the lease's folder.
func empty(t *testing.T, l *store.Lease) {
	t.Helper()
	dir, err := l.TempDir()
	if err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

// TestUnpackRefuses holds that nothing but the announced item gets in.
func TestUnpackRefuses(t *testing.T) {
	from, to := open(t), open(t)
	l, here := lease(t, from), lease(t, to)
	dep := text(t, from, l, "dep", "a text")
	self := selfReferring(t, from, l, dep)
	plain, err := from.Info(dep)
	if err != nil {
		t.Fatal(err)
	}
	exec, err := from.AddExecutable(t.Context(), l, "x", []byte("a text"), nil)
	if err != nil {
		t.Fatal(err)
	}
	signed := plain
	signed.CA = ""
	other := plain.NarHash
	other[0]++
	for _, c := range []struct {
		summary string
		info    store.Info
		change  func(i *store.Info)
		archive func(b []byte) []byte
		want    string
	}{
		{"truncated", self, nil, func(b []byte) []byte { return b[:len(b)-8] }, "too early"},
		{"empty", self, nil, func([]byte) []byte { return nil }, "too early"},
		{"longer", self, nil, func(b []byte) []byte { return append(b, 0) }, "longer than"},
		{"endless", self, nil, func(b []byte) []byte { return append(b, make([]byte, 1<<20)...) }, "longer than"},
		{"one byte differs", self, nil, func(b []byte) []byte { return bytes.Replace(b, []byte(" and "), []byte(" AND "), 1) }, "hash mismatch"},
		{"wrong archive hash", plain, func(i *store.Info) { i.NarHash = other }, nil, "hash mismatch"},
		{"wrong archive hash without address", signed, func(i *store.Info) { i.NarHash = other }, nil, "hash mismatch"},
		{"too large a size", plain, func(i *store.Info) { i.NarSize++ }, nil, "are announced"},
		{"too small a size", plain, func(i *store.Info) { i.NarSize-- }, nil, "longer than"},
		{"another content address", plain, func(i *store.Info) { i.CA = strings.Replace(i.CA, ":1", ":0", 1) }, nil, "content has the address"},
		{"a folder as a text", self, func(i *store.Info) { i.CA = plain.CA }, nil, "only a file"},
		{"does not list itself", self, func(i *store.Info) { i.References = []store.Path{dep} }, nil, "does not list it"},
		{"an executable text", exec, func(i *store.Info) { i.CA = plain.CA }, nil, "executable"},
	} {
		if c.change != nil {
			c.change(&c.info)
		}
		b := dump(t, from, c.info.Path)
		if c.archive != nil {
			b = c.archive(b)
		}
		_, err := to.Unpack(t.Context(), here, c.info, bytes.NewReader(b))
		if !errors.Is(err, store.ErrWrong) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.summary, err)
		}
		empty(t, here)
	}
	broken := io.MultiReader(bytes.NewReader(dump(t, from, dep)[:50]), &failing{})
	if _, err := to.Unpack(t.Context(), here, plain, broken); !errors.Is(err, io.ErrClosedPipe) || errors.Is(err, store.ErrWrong) {
		t.Errorf("a broken connection: %v", err)
	}
	empty(t, here)
}

type failing struct{}

func (*failing) Read([]byte) (int, error) { return 0, io.ErrClosedPipe }

// TestUnpackNames holds that no archive writes outside of its place.
func TestUnpackNames(t *testing.T) {
	to := open(t)
	here := lease(t, to)
	for _, name := range []string{"..", ".", "", "a/b", "a\x00b", strings.Repeat("n", 256)} {
		b := []byte("\x0d\x00\x00\x00\x00\x00\x00\x00nix-archive-1\x00\x00\x00")
		str := func(list ...string) {
			for _, s := range list {
				b = append(b, byte(len(s)), byte(len(s)>>8), 0, 0, 0, 0, 0, 0)
				b = append(b, s...)
				b = append(b, make([]byte, -len(s)&7)...)
			}
		}
		str("(", "type", "directory", "entry", "(", "name", name, "node", "(", "type", "regular", "contents", "x", ")", ")", ")")
		p, err := store.SourcePath("odd", store.Hash{}, nil, false)
		if err != nil {
			t.Fatal(err)
		}
		_, err = to.Unpack(t.Context(), here, store.Info{Path: p, NarSize: int64(len(b))}, bytes.NewReader(b))
		if !errors.Is(err, nar.ErrFormat) || !errors.Is(err, store.ErrWrong) {
			t.Errorf("%q: %v", name, err)
		}
		empty(t, here)
	}
}

// TestAdmitRefuses holds that a set of items with a hole is not registered at
// all.
func TestAdmitRefuses(t *testing.T) {
	from, to := open(t), open(t)
	l, here := lease(t, from), lease(t, to)
	dep := text(t, from, l, "dep", "a text")
	a := text(t, from, l, "a", "of "+string(dep), dep)
	other := text(t, from, l, "other", "alone")
	unpack := func(p store.Path, change func(*store.Info)) *store.Arrival {
		i, err := from.Info(p)
		if err != nil {
			t.Fatal(err)
		}
		if change != nil {
			change(&i)
		}
		arrival, err := to.Unpack(t.Context(), here, i, bytes.NewReader(dump(t, from, p)))
		if err != nil {
			t.Fatal(err)
		}
		return arrival
	}
	err := to.Admit(t.Context(), here, unpack(other, nil), unpack(a, nil))
	if !errors.Is(err, store.ErrNotFound) {
		t.Errorf("without a reference: %v", err)
	}
	circle := func(p store.Path) func(*store.Info) {
		return func(i *store.Info) { i.References = append(i.References, p) }
	}
	err = to.Admit(t.Context(), here, unpack(other, nil), unpack(dep, circle(a)), unpack(a, nil))
	if !errors.Is(err, store.ErrWrong) {
		t.Errorf("in a circle: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	arrival := unpack(other, nil)
	cancel()
	if err := to.Admit(ctx, here, arrival); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if all, err := to.All(); err != nil || len(all) > 0 {
		t.Errorf("registered: %v %v", all, err)
	}
	empty(t, here)
	// The same item twice is one.
	if err := to.Admit(t.Context(), here, unpack(dep, nil), unpack(a, nil), unpack(dep, nil)); err != nil {
		t.Error(err)
	}
	mustVerify(t, to)
	empty(t, here)
}

func TestAddSignatures(t *testing.T) {
	s := open(t)
	l := lease(t, s)
	p := text(t, s, l, "a", "text")
	for range 2 {
		if err := s.AddSignatures(t.Context(), p, "k-1:abc", "k-2:def"); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"k-1:abc", "k-2:def"}
	if i, err := s.Info(p); err != nil || !slices.Equal(i.Sigs, want) {
		t.Errorf("%q, %v", i.Sigs, err)
	}
	if infos, err := s.Infos(); err != nil || len(infos) != 1 || !slices.Equal(infos[0].Sigs, want) {
		t.Errorf("listed: %+v, %v", infos, err)
	}
	if err := s.AddSignatures(t.Context(), p, "k:a\nCA: x"); err == nil {
		t.Error("a signature of two lines was taken")
	}
	gone, err := store.TextPath("gone", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.AddSignatures(t.Context(), gone, "k-1:abc"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("%v", err)
	}
	mustVerify(t, s)
}
