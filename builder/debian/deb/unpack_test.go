// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package deb_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"osbuild/builder/debian/deb"
	"osbuild/runner/spec"
)

// TestUnpack holds what real packages have, in every compression.
func TestUnpack(t *testing.T) {
	control := controlPart(
		file("./conffiles", "/etc/x.conf\n/lib/x/y.conf\nremove-on-upgrade /etc/old\n"),
		file("./triggers", "# words\nactivate-noawait ldconfig\n\ninterest /usr/lib/x\n"),
		entry{name: "./postinst", content: "#!/bin/sh\n", mode: 0o755},
		entry{name: "./config", content: "#!/bin/sh\n", mode: 0o755},
		file("./md5sums", "x"),
	)
	data := dataPart(
		dir("./bin/"), entry{name: "./bin/su", content: "su", mode: 0o4755},
		dir("./usr/"), dir("./usr/bin/"), entry{name: "./usr/bin/tool", content: "tool", mode: 0o755},
		hard("./usr/bin/tool2", "./usr/bin/tool"), hard("./sbin/su2", "./bin/su"),
		entry{name: "./usr/bin/chage", content: "c", mode: 0o2755, gid: 42, gname: "shadow"},
		link("./usr/bin/absolute", "/etc/alternatives/x"), link("./usr/bin/up", "../../etc/x.conf"),
		file("./lib64/ld.so", "ld"), file("./usr/lib/same", "same"), file("./lib/same", "same"),
		link("./lib/l", "same"), link("./usr/lib/l", "same"),
		dir("./etc/"), entry{name: "./etc/x.conf", content: "conf", mode: 0o640, uid: 101, gid: 7},
		entry{name: "./var/mail/", mode: 0o2775, gname: "mail", gid: 8}, entry{name: "./tmp/", mode: 0o1777},
		entry{name: "./usr/share/ő", content: "utf", uname: "root", gname: "root"}, dir("./srv/"),
		file("./usr/share/implicit/file", "i"), dir("./usr/share/implicit/"),
	)
	want := strings.TrimSpace(`
control/
control/conffiles /etc/x.conf
/lib/x/y.conf
remove-on-upgrade /etc/old

control/config #!/bin/sh

control/control ` + controlText + `
control/md5sums x
control/postinst #!/bin/sh

control/triggers # words
activate-noawait ldconfig

interest /usr/lib/x

root/
root/etc/
root/etc/x.conf conf
root/srv/
root/tmp/
root/usr/
root/usr/bin/
root/usr/bin/absolute -> /etc/alternatives/x
root/usr/bin/chage !c
root/usr/bin/su !su
root/usr/bin/tool !tool
root/usr/bin/tool2 !tool
root/usr/bin/up -> ../../etc/x.conf
root/usr/lib/
root/usr/lib/l -> same
root/usr/lib/same same
root/usr/lib64/
root/usr/lib64/ld.so ld
root/usr/sbin/
root/usr/sbin/su2 !su
root/usr/share/
root/usr/share/implicit/
root/usr/share/implicit/file i
root/usr/share/ő utf
root/var/
root/var/mail/`)
	wantMeta := &deb.Meta{
		Format: deb.MetaFormat, Package: "x", Version: "1", Architecture: "all", InstalledSize: 10,
		Owners: []spec.Owner{
			{Path: "/etc/x.conf", User: "101", Group: "7", Mode: 0o640},
			{Path: "/tmp", Mode: 0o1777},
			{Path: "/usr/bin/chage", Group: "shadow", Mode: 0o2755},
			{Path: "/usr/bin/su", Mode: 0o4755},
			{Path: "/usr/sbin/su2", Mode: 0o4755},
			{Path: "/var/mail", Group: "mail", Mode: 0o2775},
		},
		Conffiles: []string{"/etc/x.conf", "/usr/lib/x/y.conf"},
		Scripts:   []string{"config", "postinst"},
		Triggers:  []string{"activate-noawait ldconfig", "interest /usr/lib/x"},
	}
	for _, format := range []string{"", ".gz", ".xz", ".zst"} {
		t.Run("format "+format, func(t *testing.T) {
			p := newPlace(t)
			meta, err := p.unpack(t, ar(
				version, part{"_gpgorigin", []byte("abc")},
				part{control.name + format, compress(t, format, control.content)},
				part{data.name + format + "/", compress(t, format, data.content)},
			))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(wantMeta, meta); d != "" {
				t.Error(d)
			}
			read, err := deb.ReadMeta(p.out)
			if err != nil || !deb.IsItem(p.out) || deb.IsItem(p.top) {
				t.Error(err)
			}
			if d := cmp.Diff(meta, read); d != "" {
				t.Error(d)
			}
			got := dump(t, p.out, func(rel string) bool { return rel == deb.MetaFile })
			if d := cmp.Diff(want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestAccepted holds what is odd, but has one meaning.
func TestAccepted(t *testing.T) {
	for _, test := range []struct {
		summary string
		deb     []byte
		want    string // the files
	}{
		{"nothing", withData(), ""},
		{"the links of merged /usr", withData(link("./bin", "usr/bin"), link("./lib", "/usr/lib"), file("./bin/x", "1")), "usr/\nusr/bin/\nusr/bin/x 1"},
		{"a name with no dot before it", withData(file("usr//./a", "1")), "usr/\nusr/a 1"},
		{"the same file twice", withData(file("./a", "1"), file("./a", "1")), "a 1"},
		{"a hard link to itself", withData(file("./lib/a", "1"), hard("./usr/lib/a", "./lib/a")), "usr/\nusr/lib/\nusr/lib/a 1"},
		{"a hard link to a link", withData(link("./a", "/etc"), hard("./b", "a")), "a -> /etc\nb -> /etc"},
		{"a link out of the root", withData(link("./a", "../../../outside")), "a -> ../../../outside"},
		{"a later minor version", ar(part{"debian-binary", []byte("2.7\nmore\n")}, controlPart(), dataPart()), ""},
		{"a long name", withData(pax("path", "./"+strings.Repeat("n", 255)), file("x", "1")), strings.Repeat("n", 255) + " 1"},
		{"a control file that is empty", ar(version, controlPart(file("./conffiles", "")), dataPart()), ""},
	} {
		t.Run(test.summary, func(t *testing.T) {
			p := newPlace(t)
			if _, err := p.unpack(t, test.deb); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(test.want, dump(t, p.out+"/"+deb.RootDir, func(string) bool { return false })); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestRefused(t *testing.T) {
	xz := func(data []byte) []byte { return compress(t, ".xz", data) }
	zst := func(data []byte) []byte { return compress(t, ".zst", data) }
	good := withData(file("./a", "1"))
	zeros := bytes.Repeat([]byte{0}, 8<<20)
	for _, test := range []struct {
		summary string
		deb     []byte
		want    string
		cause   error
	}{
		{"empty", nil, "it ends too early", deb.ErrFormat},
		{"text", []byte("this is no package at all"), "does not begin as an ar archive", deb.ErrFormat},
		{"garbage behind the last member", append(bytes.Clone(good), "garbage"...), "it ends too early", deb.ErrFormat},
		{"a lot of garbage", append(bytes.Clone(good), bytes.Repeat([]byte("garbage"), 30)...), "member 4: it is no sound package: its header does not end", deb.ErrFormat},
		{"one more byte", append(bytes.Clone(good), '\n'), "it ends too early", deb.ErrFormat},
		{"cut", good[:len(good)-600], `its member "data.tar" has`, deb.ErrFormat},
		{"a size that is negative", bytes.Replace(good, []byte("4         `"), []byte("-4        `"), 1), `its size is "-4"`, deb.ErrFormat},
		{"a size that is huge", bytes.Replace(good, []byte("4         `"), []byte("9999999999`"), 1), "has 9999999999 bytes, and only", deb.ErrFormat},
		{"a wrong padding", bytes.Replace(ar(version, part{"_x", []byte("abc")}, controlPart(), dataPart()), []byte("abc\n"), []byte("abcX"), 1), "padding", deb.ErrFormat},
		{"a name with a slash", ar(version, part{"../data.tar", nil}), "it has the name", deb.ErrFormat},
		{"many members", ar(append([]part{version}, make([]part, 40)...)...), "member 2: it is no sound package: it has the name", deb.ErrFormat},
		{"many members with names", ar(append([]part{version}, repeat(part{"_x", nil}, 40)...)...), "more than 32 members", deb.ErrFormat},
		{"no version", ar(controlPart(), dataPart()), "first member is not debian-binary", deb.ErrFormat},
		{"another version", ar(part{"debian-binary", []byte("3.0\n")}, controlPart(), dataPart()), `its version is "3.0"`, deb.ErrFormat},
		{"a version without an end", ar(part{"debian-binary", []byte("2.0")}, controlPart(), dataPart()), `its version is "2.0"`, deb.ErrFormat},
		{"no control", ar(version, dataPart()), `it has a member "data.tar", out of place`, deb.ErrFormat},
		{"no data", ar(version, controlPart()), "no member data.tar", deb.ErrFormat},
		{"only a version", ar(version), "no member control.tar", deb.ErrFormat},
		{"two data archives", ar(version, controlPart(), dataPart(), dataPart()), "out of place", deb.ErrFormat},
		{"two control archives", ar(version, controlPart(), controlPart(), dataPart()), "out of place", deb.ErrFormat},
		{"an unknown member", ar(version, controlPart(), part{"extra", nil}, dataPart()), `member "extra"`, deb.ErrFormat},
		{"an unknown compression", ar(version, controlPart(), part{"data.tar.bz2", nil}), `the compression ".bz2" is not known`, deb.ErrFormat},
		{"a wrong compression", ar(version, controlPart(), part{"data.tar.xz", []byte("no xz at all")}), "cannot undo the compression", deb.ErrFormat},
		{"an empty compression", ar(version, controlPart(), part{"data.tar.xz", nil}), "cannot undo the compression", deb.ErrFormat},

		{"control: no file control", ar(version, part{"control.tar", tarball(dir("./"))}, dataPart()), "no file control", deb.ErrFormat},
		{"control: no version", ar(version, part{"control.tar", tarball(file("control", "Package: x\nArchitecture: all\n"))}, dataPart()), "no field Version", deb.ErrFormat},
		{"control: two stanzas", ar(version, part{"control.tar", tarball(file("control", "Package: x\n\nPackage: y\n"))}, dataPart()), "2 stanzas", deb.ErrFormat},
		{"control: nonsense", ar(version, part{"control.tar", tarball(file("control", "\x00\x01"))}, dataPart()), "control:", deb.ErrFormat},
		{"control: size", ar(version, part{"control.tar", tarball(file("control", controlText[:40]+"\nInstalled-Size: -1\n"))}, dataPart()), "control:", deb.ErrFormat},
		{"control: up", ar(version, controlPart(file("../up", "x")), dataPart()), `"../up": it is refused: control files have plain names`, deb.ErrUnsafe},
		{"control: absolute", ar(version, controlPart(file("/etc/passwd", "x")), dataPart()), "plain names", deb.ErrUnsafe},
		{"control: a link", ar(version, controlPart(link("./postinst", "/etc/passwd")), dataPart()), "it is a link, and only files belong there", deb.ErrUnsafe},
		{"control: a folder", ar(version, controlPart(dir("./x/")), dataPart()), "it is a folder", deb.ErrUnsafe},
		{"control: twice", ar(version, controlPart(file("./control", "x")), dataPart()), "it is there twice", deb.ErrUnsafe},
		{"control: many files", ar(version, controlPart(many(300)...), dataPart()), "more than 256 files", deb.ErrUnsafe},
		{"control: a bomb", ar(version, part{"control.tar.zst", zst(append(entry{name: "a", size: 80 << 20}.encode(), bytes.Repeat(zeros, 10)...))}, dataPart()), "it becomes more than 67108864 bytes", deb.ErrUnsafe},
		{"control: a conffile outside", ar(version, controlPart(file("./conffiles", "/etc/../../x\n")), dataPart()), `conffiles: "/etc/../../x": it is refused`, deb.ErrFormat},

		{"absolute", withData(file("/etc/passwd", "x")), "its path is not relative", deb.ErrUnsafe},
		{"up", withData(file("./../../outside", "x")), `its path holds ".."`, deb.ErrUnsafe},
		{"up behind a folder", withData(file("./usr/../../outside", "x")), `its path holds ".."`, deb.ErrUnsafe},
		{"a folder above", withData(dir("../")), `its path holds ".."`, deb.ErrUnsafe},
		{"no name", withData(file("", "x")), "its path is not relative", deb.ErrUnsafe},
		{"the top is a file", withData(file(".", "x")), "its top is no folder", deb.ErrUnsafe},
		{"the top is a link", withData(link(".", "/")), "its top is no folder", deb.ErrUnsafe},
		{"a character device", withData(entry{name: "./dev/null", typ: '3'}), "it is a device", deb.ErrUnsafe},
		{"a block device", withData(entry{name: "./dev/sda", typ: '4'}), "it is a device", deb.ErrUnsafe},
		{"a pipe", withData(entry{name: "./run/pipe", typ: '6'}), "it is a pipe", deb.ErrUnsafe},
		{"something else", withData(entry{name: "./x", typ: 'Z'}), "special file of type 'Z'", deb.ErrUnsafe},
		{"through a link that is absolute", withData(link("./a", "/tmp"), file("./a/x", "1")), `"a" is both a folder and something else`, deb.ErrUnsafe},
		{"through a link that goes up", withData(link("./a", "../../folder"), file("./a/x", "1")), `"a" is both`, deb.ErrUnsafe},
		{"through a link inside", withData(dir("./real/"), link("./a", "real"), file("./a/x", "1")), `"a" is both`, deb.ErrUnsafe},
		{"a folder through a link", withData(link("./a", "/tmp"), dir("./a/x/")), `"a" is both`, deb.ErrUnsafe},
		{"a link for a folder", withData(dir("./a/"), link("./a", "/tmp")), `"/a" is there twice, and differs`, deb.ErrUnsafe},
		{"a folder for a link", withData(link("./a", "/tmp"), dir("./a/")), `"a" is both`, deb.ErrUnsafe},
		{"a folder for a file", withData(file("./a", ""), dir("./a/")), `"a" is both`, deb.ErrUnsafe},
		{"below a file", withData(file("./a", ""), file("./a/b", "")), `"a" is both`, deb.ErrUnsafe},
		{"a file for a link", withData(link("./a", "/tmp/outside"), file("./a", "x")), `"/a" is there twice, and differs`, deb.ErrUnsafe},
		{"two links", withData(link("./a", "b"), link("./a", "c")), `"/a" is there twice, and differs`, deb.ErrUnsafe},
		{"two files of other bytes", withData(file("./lib/a", "1"), file("./usr/lib/a", "2")), `"/usr/lib/a" is there twice, and differs`, deb.ErrUnsafe},
		{"two files of other lengths", withData(file("./lib/a", "1"), file("./usr/lib/a", "12")), `"/usr/lib/a" is there twice, and differs`, deb.ErrUnsafe},
		{"two files of other modes", withData(file("./a", "1"), entry{name: "./a", content: "1", mode: 0o4755}), `"/a" is there twice, and differs`, deb.ErrUnsafe},
		{"two folders of other owners", withData(dir("./a/"), entry{name: "./a/", uid: 7}), `the folder "a" is there twice`, deb.ErrUnsafe},
		{"a link for /bin elsewhere", withData(link("./bin", "/tmp")), "stands where the link to /usr/bin must be", deb.ErrUnsafe},
		{"a file for /lib", withData(file("./lib", "")), "stands where the link to /usr/lib must be", deb.ErrUnsafe},
		{"/usr is a link", withData(link("./usr", "/tmp"), file("./bin/x", "")), `"usr" is both`, deb.ErrUnsafe},
		{"a hard link up", withData(hard("./a", "../../../outside")), `its hard link to "../../../outside"`, deb.ErrUnsafe},
		{"a hard link out", withData(hard("./a", "/etc/passwd")), `its hard link to "/etc/passwd"`, deb.ErrUnsafe},
		{"a hard link to nothing", withData(hard("./a", "b")), `it is a hard link to "b", which does not stand before it`, deb.ErrUnsafe},
		{"a hard link through a link", withData(link("./d", "/etc"), hard("./a", "d/passwd")), `it is a hard link to "d/passwd", which does not stand`, deb.ErrUnsafe},
		{"a hard link to a folder", withData(dir("./d/"), hard("./a", "d")), "hard link to the folder", deb.ErrUnsafe},
		{"a link to nothing", withData(link("./a", "")), "it links to \"\"", deb.ErrUnsafe},
		{"a link that is too long", withData(pax("linkpath", strings.Repeat("n/", 2100)), link("./a", "x")), "which no item can hold", deb.ErrUnsafe},
		{"a name that is too long", withData(pax("path", strings.Repeat("n", 256)), file("./a", "x")), "longer than 255 bytes", deb.ErrUnsafe},
		{"too deep", withData(pax("path", strings.Repeat("n/", 63)+"a"), file("./a", "x")), "more than 62 folders deep", deb.ErrUnsafe},
		{"a long way up", withData(pax("path", "a/../../../outside"), file("./a", "x")), `its path holds ".."`, deb.ErrUnsafe},
		{"capabilities", withData(pax("SCHILY.xattr.security.capability", "x"), file("./a", "x")), "it has extended attributes", deb.ErrUnsafe},
		{"an owner's name that is no text", withData(entry{name: "./a", uname: "\xff", mode: 0o600}), "not UTF-8", deb.ErrUnsafe},
		{"a global header", withData(entry{name: "g", typ: 'g', content: "11 path=/x\n"}, file("./a", "")), "speaks for files that follow", deb.ErrUnsafe},
		{"a sparse file", withData(entry{name: "./a", typ: 'S', content: "x"}), "data.tar", nil},
		{"a sparse file of another kind", withData(pax("GNU.sparse.major", "1"), file("./a", "x")), "data.tar", nil},

		{"a bomb", ar(version, controlPart(), part{"data.tar.zst", zst(append(entry{name: "./a", size: 400 << 20}.encode(), bytes.Repeat(zeros, 50)...))}), "becomes more than 268", deb.ErrUnsafe},
		{"a bomb of hard links", withData(append([]entry{file("./a", string(zeros))}, hardLinks(40)...)...), "becomes more than 268", deb.ErrUnsafe},
		{"truncated xz", ar(version, controlPart(), part{"data.tar.xz", half(xz(tarball(file("./a", strings.Repeat("abc", 5000)))))}), "cannot undo the compression", deb.ErrFormat},
		{"truncated gz", ar(version, controlPart(), part{"data.tar.gz", half(compress(t, ".gz", tarball(file("./a", strings.Repeat("abc", 5000)))))}), "cannot undo the compression", deb.ErrFormat},
		{"truncated zst", ar(version, controlPart(), part{"data.tar.zst", half(compress(t, ".zst", tarball(file("./a", strings.Repeat("abc", 5000)))))}), "cannot undo the compression", deb.ErrFormat},
		{"truncated tar", ar(version, controlPart(), part{"data.tar", half(tarball(file("./a", strings.Repeat("abc", 5000))))}), "ends too early", deb.ErrFormat},
		{"a flipped bit", ar(version, controlPart(), part{"data.tar.xz", flip(xz(tarball(file("./a", strings.Repeat("abc", 5000)))))}), "data.tar.xz: it is no sound package", deb.ErrFormat},
		{"garbage behind xz", ar(version, controlPart(), part{"data.tar.xz", append(xz(tarball()), "garbage!"...)}), "cannot undo the compression", deb.ErrFormat},
		{"garbage behind gz", ar(version, controlPart(), part{"data.tar.gz", append(compress(t, ".gz", tarball()), "garbage!"...)}), "cannot undo the compression", deb.ErrFormat},
		{"garbage behind zst", ar(version, controlPart(), part{"data.tar.zst", append(compress(t, ".zst", tarball()), "garbage!"...)}), "cannot undo the compression", deb.ErrFormat},
		{"garbage behind tar", ar(version, controlPart(), part{"data.tar", append(tarball(), "garbage"...)}), "something follows its end", deb.ErrFormat},
		{"a second tar", ar(version, controlPart(), part{"data.tar", append(tarball(), tarball(file("./a", ""))...)}), "something follows its end", deb.ErrFormat},
		{"a tar header with a wrong sum", ar(version, controlPart(), part{"data.tar", flip(tarball(file("./a", "")))}), "data.tar", deb.ErrFormat},
	} {
		t.Run(test.summary, func(t *testing.T) {
			p := newPlace(t)
			_, err := p.unpack(t, test.deb)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("the error is %v, and it should say %q", err, test.want)
			}
			if test.cause != nil && !errors.Is(err, test.cause) {
				t.Errorf("the error %v is not %v", err, test.cause)
			}
		})
	}
}

func repeat(p part, n int) []part {
	var list []part
	for range n {
		list = append(list, p)
	}
	return list
}

func many(n int) []entry {
	var list []entry
	for i := range n {
		list = append(list, file(fmt.Sprint("f", i), ""))
	}
	return list
}

func hardLinks(n int) []entry {
	var list []entry
	for i := range n {
		list = append(list, hard(fmt.Sprint("h", i), "a"))
	}
	return list
}

func half(data []byte) []byte { return data[:len(data)/2] }

// flip changes one bit.
func flip(data []byte) []byte {
	data = bytes.Clone(data)
	data[len(data)*2/5] ^= 4
	return data
}

// A folder that is there already belongs to somebody else.
func TestUnpackOverSomething(t *testing.T) {
	p := newPlace(t)
	if err := os.MkdirAll(p.out, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := p.unpack(t, withData(file("./a", "1"))); !errors.Is(err, os.ErrExist) {
		t.Error(err)
	}
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	data := withData(file("./a", "1"))
	_, err := deb.Unpack(ctx, bytes.NewReader(data), int64(len(data)), t.TempDir()+"/out")
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
