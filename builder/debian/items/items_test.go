// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package items_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"osbuild/builder/debian/apt"
	"osbuild/builder/debian/deb"
	"osbuild/builder/debian/items"
	"osbuild/builder/debian/lock"
	"osbuild/builder/debian/recipe"
	"osbuild/builder/derivation"
	"osbuild/builder/realise"
	"osbuild/store"
)

var pos derivation.Position

func newMirror() *mirror { return &mirror{files: map[string][]byte{}} }

// web declares a server, a library that both it and a tool need, and the tool.
func web(m *mirror, w *world) (server, tool string, debs []string) {
	lib := w.deb(m.pkg("libz", "1:1.2~rc1", map[string]string{"lib/x86_64-linux-gnu/libz.so.1": "library", "etc/z.conf": "conf"}))
	nginx := w.deb(m.pkg("nginx", "1.22", map[string]string{"usr/sbin/nginx": "!program", "usr/share/link": "->/etc/z.conf", "var/empty/": ""}))
	curl := w.deb(m.pkg("curl", "7", map[string]string{"usr/bin/curl": "!tool"}))
	s, err := recipe.Package(w.g, "nginx", []string{nginx, lib}, "1.22", pos)
	server = get(w.t, s, err)
	s, err = recipe.Package(w.g, "curl", []string{curl, lib}, "7", pos)
	return server, get(w.t, s, err), []string{curl, lib, nginx}
}

func TestItems(t *testing.T) {
	m := newMirror()
	w := newWorld(t, m)
	server, tool, debs := web(m, w)
	text, err := w.g.Text("command", "exec "+server+"/usr/sbin/nginx", false, pos)
	if err != nil {
		t.Fatal(err)
	}
	s, err := recipe.Set(w.g, "packages", []string{text, tool}, pos)
	file := w.store.Physical(w.realise(get(t, s, err)))
	entries, err := items.ReadSet(file)
	if err != nil {
		t.Fatal(err)
	}
	var want []items.SetEntry
	for i, e := range [][2]string{{"curl", "7"}, {"libz", "1:1.2~rc1"}, {"nginx", "1.22"}} {
		want = append(want, items.SetEntry{Package: e[0], Version: e[1], Item: w.realise(debs[i])})
	}
	if d := cmp.Diff(want, entries); d != "" {
		t.Error(d)
	}
	p := w.realise(server)
	if p.Name() != "nginx-1.22-package" {
		t.Errorf("the package item is called %s", p.Name())
	}
	dir := w.store.Physical(p)
	var links []string
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		if target, err := os.Readlink(filepath.Join(dir, e.Name())); err == nil {
			links = append(links, e.Name()+">"+target)
		}
	}
	if got := strings.Join(links, " "); got != "bin>/usr/bin etc>/etc lib>/usr/lib lib64>/usr/lib64 opt>/opt sbin>/usr/sbin usr>/usr var>/var" {
		t.Error(got)
	}
	info, err := w.store.Info(p)
	refs := []store.Path{want[1].Item, want[2].Item}
	slices.Sort(refs)
	if err != nil || !slices.Equal(info.References, refs) {
		t.Errorf("the package item refers to %v, not to %v: %v", info.References, refs, err)
	}
	lib := w.store.Physical(want[1].Item)
	meta, err := deb.ReadMeta(lib)
	if err != nil || meta.Version != "1:1.2~rc1" || want[1].Item.Name() != "libz-1-1.2-rc1" {
		t.Errorf("%v, %v", meta, err)
	}
	if data, err := os.ReadFile(lib + "/root/usr/lib/x86_64-linux-gnu/libz.so.1"); err != nil || string(data) != "library" {
		t.Errorf("%s, %v", data, err)
	}
	if info, err := w.store.Info(want[1].Item); err != nil || len(info.References) > 0 {
		t.Errorf("a deb item refers to %v, %v", info.References, err)
	}
	if m.asked != 3 {
		t.Errorf("%d downloads", m.asked)
	}
	checkEvents(t, w.seen)
	if err := w.r.Check(t.Context(), w.g, s, server, tool); err != nil {
		t.Errorf("built again: %v", err)
	}
	report, err := w.store.Verify(t.Context(), store.VerifyOptions{Contents: true})
	if err != nil || len(report.Problems) > 0 {
		t.Errorf("verify: %v %v", err, report.Problems)
	}
}

// checkEvents wants all downloads to be announced, followed and settled.
func checkEvents(t *testing.T, seen *events) {
	t.Helper()
	var queued, settled int
	var total, done int64
	for _, e := range seen.list {
		switch e.Kind {
		case realise.EventQueued:
			queued++
			total += e.Total
		case realise.EventSettled:
			settled++
		case realise.EventProgress:
			if e.Done == e.Total {
				done += e.Done
			}
		}
	}
	if queued != 3 || settled != 3 || total == 0 || done != total {
		t.Errorf("%d downloads of %d bytes were announced, and %d of %d settled", queued, total, settled, done)
	}
}

// golden is the list of the packages of web, which hangs on every byte of their
// items: it is the same for every user, on every machine.
const golden = "/osbuild/store/c51ibv5bnmyqmb1d0k133c4hix2ll7a2-packages"

// TestSame builds in another folder, with another number of processors, and
// from a declaration in another order.
func TestSame(t *testing.T) {
	build := func() store.Path {
		m := newMirror()
		w := newWorld(t, m)
		server, tool, _ := web(m, w)
		s, err := recipe.Set(w.g, "packages", []string{tool, server}, pos)
		return w.realise(get(t, s, err))
	}
	if first := build(); first != golden {
		t.Errorf("the list is %s; if items are meant to change, their builtin needs another version", first)
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	if second := build(); second != golden {
		t.Errorf("and then it is %s", second)
	}
}

// TestAsUser makes the same items as an ordinary user.
func TestAsUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("SKIP-ENV: not root, so all tests run as a plain user anyway")
	}
	u, err := user.Lookup("osbtest")
	if err != nil {
		t.Skipf("SKIP-ENV: %v (useradd -m osbtest)", err)
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		t.Fatal(err)
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		t.Fatal(err)
	}
	// t.TempDir lies in a folder that only its owner may enter.
	dir, err := os.MkdirTemp("", "osbuild-items-user-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chown(dir, uid, gid); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run", "^Test(Same|Items|Failures)$")
	cmd.Env = append(os.Environ(), "TMPDIR="+dir, "HOME="+dir)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("as %s: %v\n%s", u.Username, err, out)
	}
}

func TestFailures(t *testing.T) {
	tests := []struct {
		summary string
		// change may spoil the mirror and the locked package.
		change func(m *mirror, p *lock.Package)
		want   string
	}{
		{"gone", func(m *mirror, _ *lock.Package) {
			m.fail, m.newer = fmt.Errorf("404: %w", apt.ErrGone), [2]string{"1.22.1-9+deb12u1", "bookworm-security"}
		}, "cannot fetch nginx-light 1.22.1-9: no mirror has it any more; bookworm-security has 1.22.1-9+deb12u1: run `osbuild lock --update nginx-light FILE`"},
		{"gone without a successor", func(m *mirror, _ *lock.Package) { m.fail = apt.ErrGone }, "no mirror has it any more, nor any other version: take another package"},
		{"gone for now", func(m *mirror, _ *lock.Package) { m.fail, m.newer = apt.ErrGone, [2]string{"1.22.1-9", "x"} }, "no mirror has it any more: run `osbuild lock --update nginx-light FILE`"},
		{"offline", func(m *mirror, _ *lock.Package) { m.fail = apt.ErrOffline }, "cannot fetch nginx-light 1.22.1-9: it is not in the store, and the network is switched off (--offline): run the command once with the network"},
		{"no network", func(m *mirror, _ *lock.Package) { m.fail = apt.ErrNetwork }, "cannot fetch nginx-light 1.22.1-9: no server answers"},
		{"other bytes", func(m *mirror, p *lock.Package) { m.files[p.Path][100] ^= 1 }, "its SHA-256 is"},
		{"too short", func(m *mirror, p *lock.Package) { m.files[p.Path] = m.files[p.Path][:50] }, "it has 50 bytes, and the lock says"},
		{"too long", func(m *mirror, p *lock.Package) { m.files[p.Path] = append(m.files[p.Path], 0) }, "it has more than the"},
		{"another version", func(m *mirror, p *lock.Package) { p.Version = "1.22.1-10" }, `its field Version is "1.22.1-9", and the lock says "1.22.1-10"`},
		{"another package", func(m *mirror, p *lock.Package) { p.Name = "nginx" }, `its field Package is "nginx-light", and the lock says "nginx"`},
		{"writes outside", func(m *mirror, p *lock.Package) {
			*p = m.pkg("nginx-light", "1.22.1-9", map[string]string{"usr/a": "x", "usr/b/../../../../../outside": "x"})
		}, "cannot unpack nginx-light 1.22.1-9: data.tar: \"./usr/b/../../../../../outside\": it is refused"},
		{"writes through a link", func(m *mirror, p *lock.Package) {
			*p = m.pkg("nginx-light", "1.22.1-9", map[string]string{"etc": "->/etc", "etc/passwd": "x"})
		}, "it is refused: \"etc\" is both a folder and something else"},
		{"no package", func(m *mirror, p *lock.Package) {
			m.files[p.Path] = []byte("text")
			sum := sha256.Sum256(m.files[p.Path])
			p.Size, p.SHA256 = 4, hex.EncodeToString(sum[:])
		}, "cannot unpack nginx-light 1.22.1-9: it is no sound package"},
		{"another machine", func(m *mirror, p *lock.Package) { p.Arch = "arm64" }, `its field Architecture is "all", and the lock says "arm64"`},
	}
	for _, test := range tests {
		t.Run(test.summary, func(t *testing.T) {
			m := newMirror()
			p := m.pkg("nginx-light", "1.22.1-9", map[string]string{"usr/sbin/nginx": "!program"})
			test.change(m, &p)
			w := newWorld(t, m)
			_, err := w.r.Realise(t.Context(), w.g, w.deb(p))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("the error is %v, and it should say %q", err, test.want)
			}
			if all, err := w.store.All(); err != nil || len(all) > 0 {
				t.Errorf("there are items: %v %v", all, err)
			}
			if tmp, err := w.lease.TempDir(); err != nil {
				t.Error(err)
			} else if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v %v", left, err)
			}
		})
	}
}

// TestNothingIsParsed: the bytes that are refused are not looked at.
func TestNothingIsParsed(t *testing.T) {
	m := newMirror()
	p := m.pkg("x", "1", map[string]string{"../../outside": "x"})
	good := m.files[p.Path]
	p.SHA256 = strings.Repeat("0", 64)
	w := newWorld(t, m)
	_, err := w.r.Realise(t.Context(), w.g, w.deb(p))
	if err == nil || !strings.Contains(err.Error(), "its SHA-256 is") || strings.Contains(err.Error(), "..") {
		t.Errorf("%d bytes: %v", len(good), err)
	}
}

func TestNoArchive(t *testing.T) {
	m := newMirror()
	w := newWorld(t, m)
	w.r.Builtins = items.Builtins(func() (items.Archive, error) { return nil, errors.New("cannot find an archive") })
	_, err := w.r.Realise(t.Context(), w.g, w.deb(m.pkg("x", "1", nil)))
	if err == nil || !strings.Contains(err.Error(), "cannot fetch x 1: cannot find an archive") {
		t.Error(err)
	}
}

// again is an archive whose first mirror sends wrong bytes.
type again struct{ *mirror }

func (a again) Fetch(ctx context.Context, f apt.File, w io.Writer) error {
	if _, err := w.Write([]byte("wrong")); err != nil {
		return err
	}
	r := w.(interface {
		io.Seeker
		Truncate(int64) error
	})
	if err := r.Truncate(0); err != nil {
		return err
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return a.mirror.Fetch(ctx, f, w)
}

func TestBeginAnew(t *testing.T) {
	m := newMirror()
	w := newWorld(t, again{m})
	w.realise(w.deb(m.pkg("x", "1", map[string]string{"a": "b"})))
}

func TestTwoVersions(t *testing.T) {
	m := newMirror()
	w := newWorld(t, m)
	one := w.deb(m.pkg("lib", "1", map[string]string{"a": "1"}))
	two := w.deb(m.pkg("lib", "2", map[string]string{"a": "2"}))
	own := w.deb(m.pkg("own", "1", nil))
	s, err := recipe.Set(w.g, "set", []string{one, two}, pos)
	_, err = w.r.Realise(t.Context(), w.g, get(t, s, err))
	if want := "cannot put two versions of the package lib into one system: "; err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "lib-1)") || !strings.Contains(err.Error(), "lib-2)") {
		t.Errorf("the error is %v, and it should say %q", err, want)
	}
	s, err = recipe.Package(w.g, "own", []string{own, one, two}, "1", pos)
	if _, err = w.r.Realise(t.Context(), w.g, get(t, s, err)); err == nil || !strings.Contains(err.Error(), "two versions of the package lib") {
		t.Error(err)
	}
	s, err = recipe.Package(w.g, "own", []string{one, own}, "1", pos)
	if _, err = w.r.Realise(t.Context(), w.g, get(t, s, err)); err == nil || !strings.Contains(err.Error(), "the first deb item of the package own is that of lib") {
		t.Error(err)
	}
}

// A set looks into items that are anything: files, links, folders that only
// look alike.
func TestOtherItems(t *testing.T) {
	m := newMirror()
	w := newWorld(t, m)
	dir := t.TempDir()
	for name, content := range map[string]string{"folder/meta.json": "{}", "elsewhere/meta.json": `{"format":"osbuild-deb-1","package":"evil"}`, "file": "x"} {
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for link, target := range map[string]string{"link": dir + "/elsewhere", "folder2": ""} {
		if target == "" {
			must(os.Mkdir(filepath.Join(dir, link), 0o755))
			must(os.Symlink(dir+"/elsewhere/meta.json", filepath.Join(dir, link, "meta.json")))
			continue
		}
		must(os.Symlink(target, filepath.Join(dir, link)))
	}
	var all []string
	for _, name := range []string{"folder", "folder2", "file", "link"} {
		s, err := w.g.Source(t.Context(), name, filepath.Join(dir, name), nil, "", pos)
		all = append(all, get(t, s, err))
	}
	s, err := recipe.Set(w.g, "set", all, pos)
	if entries, err := items.ReadSet(w.store.Physical(w.realise(get(t, s, err)))); err != nil || len(entries) > 0 {
		t.Errorf("%v %v", entries, err)
	}
}

func TestReadSet(t *testing.T) {
	p, err := store.TextPath("x", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ summary, text, want string }{
		{"empty", "", ""},
		{"good", "a 1 " + string(p) + "\nb 1:2~3 " + string(p) + "\n", ""},
		{"torn", "a 1 " + string(p), "line 1 is"},
		{"a word too many", "a 1 2 " + string(p) + "\n", "line 1 is"},
		{"no version", "a  " + string(p) + "\n", "line 1 is"},
		{"no item", "a 1 /nix/store/x\n", "line 1: "},
		{"twice", "a 1 " + string(p) + "\na 1 " + string(p) + "\n", "line 2 does not come behind"},
		{"unsorted", "b 1 " + string(p) + "\na 1 " + string(p) + "\n", "line 2 does not come behind"},
	} {
		file := filepath.Join(t.TempDir(), "set")
		must(os.WriteFile(file, []byte(test.text), 0o644))
		_, err := items.ReadSet(file)
		if test.want == "" && err == nil {
			continue
		}
		if !errors.Is(err, items.ErrBadSet) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", test.summary, err)
		}
	}
}
