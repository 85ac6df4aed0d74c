// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"osbuild/store"
	"osbuild/store/nar"
)

// nix is a peer: the real tools on a store of their own with our store dir.
type nix struct {
	t    *testing.T
	home string
	uri  string
}

func newNix(t *testing.T) *nix {
	t.Helper()
	for _, tool := range []string{"nix", "nix-store", "nix-instantiate", "nix-build"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("SKIP-ENV: %s is not installed, so nothing is compared with Nix (Debian package nix-bin); the golden vectors still are", tool)
		}
	}
	dir := t.TempDir()
	n := &nix{t: t, home: dir, uri: fmt.Sprintf("local?store=%s&real=%[2]s/phys&state=%[2]s/var&log=%[2]s/log", store.Dir, dir)}
	n.write("etc/nix.conf", "sandbox = false\nbuild-users-group =\nexperimental-features = nix-command ca-derivations\nsubstituters =\n")
	t.Cleanup(func() { unlock(t, dir) })
	return n
}

func (n *nix) write(name, text string) string {
	n.t.Helper()
	path := filepath.Join(n.home, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		n.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		n.t.Fatal(err)
	}
	return path
}

func (n *nix) try(stdin []byte, tool string, args ...string) ([]byte, error) {
	cmd := exec.Command(tool, args...)
	cmd.Dir = n.home
	cmd.Env = append(os.Environ(), "NIX_REMOTE=local", "NIX_CONF_DIR="+n.home+"/etc", "NIX_STATE_DIR="+n.home+"/state", "HOME="+n.home)
	cmd.Stdin = bytes.NewReader(stdin)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return out, fmt.Errorf("%s %q: %w\n%s", tool, args, err, errs.Bytes())
	}
	return out, nil
}

func (n *nix) run(stdin []byte, tool string, args ...string) string {
	n.t.Helper()
	out, err := n.try(stdin, tool, args...)
	if err != nil {
		n.t.Fatal(err)
	}
	return string(out)
}

type nixInfo struct {
	Path       string
	NarHash    string
	NarSize    int64
	References []string
	CA         string
}

func (n *nix) infos(paths ...string) map[string]nixInfo {
	n.t.Helper()
	var list []nixInfo
	args := append([]string{"path-info", "--json", "--store", n.uri}, paths...)
	if err := json.Unmarshal([]byte(n.run(nil, "nix", args...)), &list); err != nil {
		n.t.Fatal(err)
	}
	out := make(map[string]nixInfo)
	for _, i := range list {
		out[i.Path] = i
	}
	return out
}

// same compares our info with that of the peer.
func same(t *testing.T, ours store.Info, theirs nixInfo) {
	t.Helper()
	refs := make([]string, len(ours.References))
	for k, r := range ours.References {
		refs[k] = string(r)
	}
	slices.Sort(theirs.References)
	if string(ours.Path) != theirs.Path || ours.NarHash.SRI() != theirs.NarHash || ours.NarSize != theirs.NarSize ||
		!slices.Equal(refs, theirs.References) || ours.CA != theirs.CA {
		t.Errorf("ours:   %s %s %d %q %s\ntheirs: %s %s %d %q %s", ours.Path, ours.NarHash.SRI(), ours.NarSize, refs, ours.CA,
			theirs.Path, theirs.NarHash, theirs.NarSize, theirs.References, theirs.CA)
	}
}

// randomTree makes a tree with all that may occur in one.
func randomTree(t *testing.T, r *rand.Rand, dir string) {
	t.Helper()
	names := []string{"a", "A", "b.txt", "b", "ab", "a-b", ".hidden", "ä ö", "new\nline", "zz", "+x", "~", "0", "\xff\xfe", strings.Repeat("n", 255)}
	sizes := []int{0, 1, 7, 8, 9, 100, 4096, 65535, 65536, 65537, 131071, 131072, 131073, 300000}
	files := map[string]string{}
	var fill func(rel string, depth int)
	fill = func(rel string, depth int) {
		files[rel] = ""
		for range r.IntN(5) {
			name := names[r.IntN(len(names))]
			path := rel + name
			if _, ok := files[path]; ok || files[path+"/"] != "" {
				continue
			}
			switch k := r.IntN(10); {
			case k < 3 && depth < 5 && len(name) < 255:
				if _, ok := files[path+"/"]; !ok {
					fill(path+"/", depth+1)
				}
			case k < 5:
				files[path] = "-> " + []string{"a", "../x", "/nowhere", strings.Repeat("t", 1000)}[r.IntN(4)]
			case k < 7:
				files[path] = "#!" + randomText(r, r.IntN(100))
			default:
				files[path] = randomText(r, sizes[r.IntN(len(sizes))])
			}
		}
	}
	fill("./", 0)
	for name := range files {
		if _, dir := files[name+"/"]; dir {
			delete(files, name)
		}
	}
	writeTreeAt(t, dir, files)
}

func randomText(r *rand.Rand, n int) string {
	b := make([]byte, n)
	for k := range b {
		b[k] = byte(r.Uint32())
	}
	return string(b)
}

func TestNixAdd(t *testing.T) {
	n := newNix(t)
	s := open(t)
	l := lease(t, s)
	ctx := context.Background()
	r := rand.New(rand.NewPCG(1, 2))
	var dirs []string
	for k := range 100 {
		dir := filepath.Join(n.home, fmt.Sprintf("tree%d", k))
		randomTree(t, r, dir)
		dirs = append(dirs, dir)
	}
	paths := strings.Fields(n.run(nil, "nix-store", append([]string{"--store", n.uri, "--add"}, dirs...)...))
	theirs := n.infos(paths...)
	for k, dir := range dirs {
		i, err := s.AddTree(ctx, l, filepath.Base(dir), dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		same(t, i, theirs[paths[k]])
		if k >= 10 {
			continue
		}
		// Archives: ours are theirs, and each unpacks the other's.
		var ours bytes.Buffer
		if err := s.DumpNAR(ctx, i.Path, &ours); err != nil {
			t.Fatal(err)
		}
		if dump := n.run(nil, "nix-store", "--dump", dir); dump != ours.String() {
			t.Errorf("%s: the archives differ", dir)
		}
		restored := filepath.Join(n.home, fmt.Sprintf("restored%d", k))
		n.run(ours.Bytes(), "nix-store", "--restore", restored)
		if h, _, err := nar.Hash(ctx, restored, nil); err != nil || store.Hash(h) != i.NarHash {
			t.Errorf("%s: what they restored has another hash (%v)", dir, err)
		}
		if err := nar.Restore(&ours, restored+"x"); err != nil {
			t.Fatal(err)
		}
		if got := strings.TrimSpace(n.run(nil, "nix-hash", "--type", "sha256", "--base32", restored+"x")); got != i.NarHash.Base32() {
			t.Errorf("%s: what we restored has another hash", dir)
		}
	}
	mustVerify(t, s)
}

func TestNixFixed(t *testing.T) {
	n := newNix(t)
	s := open(t)
	l := lease(t, s)
	src := n.write("some.tar.gz", "content\n")
	for _, algo := range []string{"md5", "sha1", "sha256", "sha512"} {
		for _, recursive := range []bool{false, true} {
			args := []string{"--store", n.uri, "--add-fixed", algo, src}
			if recursive {
				args = slices.Insert(args, 3, "--recursive")
			}
			path := strings.TrimSpace(n.run(nil, "nix-store", args...))
			i, err := s.AddFixed(context.Background(), l, "some.tar.gz", src, algo, nil, recursive)
			if err != nil {
				t.Fatal(err)
			}
			same(t, i, n.infos(path)[path])
			if p, err := store.ComputeFixed(context.Background(), "some.tar.gz", src, algo, recursive); err != nil || p != i.Path {
				t.Errorf("computed %s, %v", p, err)
			}
		}
	}
	mustVerify(t, s)
}

func TestNixText(t *testing.T) {
	n := newNix(t)
	s := open(t)
	l := lease(t, s)
	// toFile only writes to the default store.
	const expr = `let
  a = builtins.toFile "a" "a text";
  b = builtins.toFile "b" "refers to ${a}\n";
  c = builtins.toFile "c.conf" "${b} and ${a}, ${b}";
in builtins.concatStringsSep "\n" [ a b c ]`
	var got []string
	if err := json.Unmarshal([]byte("["+strings.ReplaceAll(n.run(nil, "nix-instantiate", "--store", n.uri, "--eval", "--read-write-mode", "-E", expr), `\n`, `","`)+"]"), &got); err != nil {
		t.Fatal(err)
	}
	a := text(t, s, l, "a", "a text")
	b := text(t, s, l, "b", "refers to "+string(a)+"\n", a)
	c := text(t, s, l, "c.conf", string(b)+" and "+string(a)+", "+string(b), b, a, b)
	theirs := n.infos(got...)
	for k, p := range []store.Path{a, b, c} {
		i, err := s.Info(p)
		if err != nil {
			t.Fatal(err)
		}
		same(t, i, theirs[got[k]])
	}
	mustVerify(t, s)
}

// Outputs with references to themselves are built by Nix as content-addressed
// derivations and by us from the same text.
func TestNixOutputs(t *testing.T) {
	n := newNix(t)
	const busybox = "/bin/busybox"
	if _, err := os.Stat(busybox); err != nil {
		t.Skip("SKIP-ENV: /bin/busybox is missing, so no content-addressed output is built by Nix (Debian package busybox-static)")
	}
	s := open(t)
	l := lease(t, s)
	dep0, dep1 := text(t, s, l, "dep0", "dep0"), text(t, s, l, "dep1", "dep1")
	var expr strings.Builder
	expr.WriteString(`let dep0 = builtins.toFile "dep0" "dep0"; dep1 = builtins.toFile "dep1" "dep1"; mk = k: script: derivation {
  name = "out"; system = builtins.currentSystem; builder = "/bin/busybox"; inherit k dep0 dep1;
  args = [ "sh" (builtins.toFile "build.sh" script) ];
  __contentAddressed = true; outputHashMode = "recursive"; outputHashAlgo = "sha256"; }; in [` + "\n")
	for k, c := range outputCases {
		fmt.Fprintf(&expr, "(mk %d ''\n%s'')\n", k, c.script())
	}
	expr.WriteString("]\n")
	out, err := n.try(nil, "nix-build", "--store", n.uri, "--no-out-link", "--option", "sandbox", "true", "--option", "sandbox-paths", busybox, n.write("outputs.nix", expr.String()))
	if err != nil {
		t.Skipf("SKIP-ENV: Nix cannot build in its sandbox here, so no content-addressed output is compared: %v", err)
	}
	paths := strings.Fields(string(out))
	theirs := n.infos(paths...)
	for k, c := range outputCases {
		i, err := c.build(t, s, l, scratchA, dep0, dep1)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(c.summary, func(t *testing.T) { same(t, i, theirs[paths[k]]) })
	}
	mustVerify(t, s)
}

// script is a shell script that makes the output at $out.
func (c outputCase) script() string {
	const b = "/bin/busybox "
	r := strings.NewReplacer("OUTHASH", "$outhash", "DEP0HASH", "$dep0hash", "DEP1HASH", "$dep1hash", "OUT", "$out", "DEP0", "$dep0", "DEP1", "$dep1", "\n", `\n`)
	var s strings.Builder
	for _, v := range []string{"out", "dep0", "dep1"} {
		fmt.Fprintf(&s, "%[1]shash=$("+b+"basename $%[1]s | "+b+"cut -c1-32)\n", v)
	}
	s.WriteString(b + "mkdir $out\n")
	for name, text := range c.files {
		// A script's text is short, so long runs are made by it.
		pad := strings.Count(text, "x")
		prefix := ""
		if pad > 1000 {
			text = strings.TrimLeft(text, "x")
			prefix = fmt.Sprintf(b+"head -c %d /dev/zero | "+b+"tr '\\0' x > $out/%s\n", pad, name)
		}
		fmt.Fprintf(&s, b+"mkdir -p $out/%s\n", filepath.Dir(name))
		switch {
		case strings.HasPrefix(text, "-> "):
			fmt.Fprintf(&s, b+"ln -s \"%s\" $out/%s\n", r.Replace(text[3:]), name)
		default:
			fmt.Fprintf(&s, "%sprintf \"%s\" >> $out/%s\n", prefix, bracket(r.Replace(text)), name)
			if strings.HasPrefix(text, "#!") {
				fmt.Fprintf(&s, b+"chmod +x $out/%s\n", name)
			}
		}
	}
	return s.String()
}

// bracket writes $name as ”${name}, which ends the name for the shell and
// is no interpolation for Nix.
func bracket(s string) string {
	for _, v := range []string{"outhash", "dep0hash", "dep1hash"} {
		s = strings.ReplaceAll(s, "$"+v, "''${"+v+"}")
	}
	return s
}

// loadDB gives Nix our tree with our infos and lets it verify all contents.
func (n *nix) loadDB(s *store.Store) (infos []store.Info, uri string) {
	n.t.Helper()
	infos, err := s.Infos()
	if err != nil {
		n.t.Fatal(err)
	}
	var db bytes.Buffer
	for _, i := range infos {
		fmt.Fprintf(&db, "%s\n%s\n%d\n\n%d\n", i.Path, i.NarHash.Hex(), i.NarSize, len(i.References))
		for _, r := range i.References {
			fmt.Fprintln(&db, r)
		}
	}
	uri = fmt.Sprintf("local?store=%s&real=%s/store&state=%[3]s/var2&log=%[3]s/log2", store.Dir, s.Root(), n.home)
	n.run(db.Bytes(), "nix-store", "--store", uri, "--load-db")
	n.run(nil, "nix-store", "--store", uri, "--verify", "--check-contents")
	return infos, uri
}

// Nix reads our store as it lies on disk: it takes what dump-db prints, finds
// the same closures, and finds nothing wrong with any content.
func TestNixLoadDB(t *testing.T) {
	n := newNix(t)
	s := open(t)
	l := lease(t, s)
	p := diamond(t, s)
	if _, err := (outputCase{"", map[string]string{"f": "OUT DEP0", "g": "#!DEP1"}}).build(t, s, l, scratchA, p["top"], p["lone"]); err != nil {
		t.Fatal(err)
	}
	src := writeTree(t, map[string]string{"a": "1", "b/c": "#!2", "l": "-> a", "e/": ""})
	if _, err := s.AddTree(context.Background(), l, "tree", src, nil); err != nil {
		t.Fatal(err)
	}
	infos, uri := n.loadDB(s)
	for _, i := range infos {
		theirs := strings.Fields(n.run(nil, "nix-store", "--store", uri, "-q", "--referrers", string(i.Path)))
		ours, err := s.Referrers(i.Path)
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(theirs)
		if fmt.Sprint(theirs) != fmt.Sprint(ours) {
			t.Errorf("referrers of %s: %q, theirs %q", i.Path, ours, theirs)
		}
	}
}

// The same graph with the same roots, direct and indirect, has the same dead.
func TestNixGC(t *testing.T) {
	n := newNix(t)
	s := open(t)
	l, err := s.NewLease("graph")
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(7, 8))
	var all []store.Path
	expr := "let\n"
	for k := range 60 {
		content, script := fmt.Sprintf("node %d", k), fmt.Sprintf("node %d", k)
		var refs []store.Path
		for range min(k, r.IntN(4)) {
			to := r.IntN(k)
			content += " " + string(all[to])
			script += fmt.Sprintf(" ${n%d}", to)
			refs = append(refs, all[to])
		}
		all = append(all, text(t, s, l, "node", content, refs...))
		expr += fmt.Sprintf("n%d = builtins.toFile \"node\" \"%s\";\n", k, script)
	}
	expr += "in [ "
	for k := range all {
		expr += fmt.Sprintf("n%d ", k)
	}
	n.run(nil, "nix-instantiate", "--store", n.uri, "--eval", "--strict", "--read-write-mode", "-E", expr+"]")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for k := range 5 {
		p := all[r.IntN(len(all))]
		link := filepath.Join(n.home, fmt.Sprintf("root%d", k))
		n.run(nil, "nix-store", "--store", n.uri, "--add-root", link+"-nix", "-r", string(p))
		if err := s.AddRoot(link, p); err != nil {
			t.Fatal(err)
		}
		if k == 0 { // a root that is gone
			if err := errors.Join(os.Remove(link), os.Remove(link+"-nix")); err != nil {
				t.Fatal(err)
			}
		}
	}
	theirs := strings.Fields(n.run(nil, "nix-store", "--store", n.uri, "--gc", "--print-dead"))
	res, err := s.GC(context.Background(), store.GCOptions{DryRun: true})
	if err != nil {
		t.Fatal(err)
	}
	var ours []string
	for _, p := range res.Freed {
		ours = append(ours, string(p))
	}
	slices.Sort(ours)
	slices.Sort(theirs)
	if !slices.Equal(ours, theirs) || len(ours) == 0 || len(ours) == len(all) {
		t.Errorf("dead here %q\nand there %q", ours, theirs)
	}
}
