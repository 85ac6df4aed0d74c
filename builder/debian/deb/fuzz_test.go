// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package deb_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"osbuild/builder/debian/deb"
)

// check unpacks whatever the fuzzer made up: nothing may change around the
// folder, which is what unpack checks, and each error has a reason.
func check(t *testing.T, data []byte) {
	p := newPlace(t)
	_, err := p.unpack(t, data)
	if err == nil {
		if !deb.IsItem(p.out) {
			t.Error("what was made is no deb item")
		}
		return
	}
	// Names and targets that the kernel does not take.
	if errors.Is(err, syscall.ENAMETOOLONG) || errors.Is(err, syscall.EINVAL) {
		return
	}
	if !errors.Is(err, deb.ErrFormat) && !errors.Is(err, deb.ErrUnsafe) {
		t.Errorf("an error without a reason: %v", err)
	}
	if strings.Contains(err.Error(), os.TempDir()) && errors.Is(err, os.ErrExist) {
		t.Errorf("something was made twice: %v", err)
	}
}

func FuzzAr(f *testing.F) {
	f.Add(withData(file("./a", "1"), dir("./b/"), link("./c", "a")))
	f.Add(ar(version, part{"_x", []byte("abc")}, controlPart(), dataPart()))
	f.Add([]byte("!<arch>\n"))
	f.Fuzz(check)
}

func FuzzData(f *testing.F) {
	f.Add(dataPart(file("./a", "1"), dir("./b/"), link("./c", "a"), hard("./d", "a")).content)
	f.Add(dataPart(link("./a", "../../folder"), file("./a/x", "1")).content)
	f.Add(dataPart(dir("./lib/"), file("./lib/a", "1"), file("./usr/lib/a", "1"), pax("path", "../x"), file("./x", "")).content)
	f.Add(dataPart(entry{name: "./a", mode: 0o4755, uname: "man"}, entry{name: "./dev", typ: '3'}).content)
	f.Fuzz(func(t *testing.T, data []byte) { check(t, ar(version, controlPart(), part{"data.tar", mend(data)})) })
}

func FuzzControl(f *testing.F) {
	f.Add(controlPart(file("./conffiles", "/etc/x\n"), file("./triggers", "interest x # y\n")).content)
	f.Add(tarball(file("../control", controlText)))
	f.Add(tarball(file("control", "Package: x\nVersion: 1\nArchitecture: all\nInstalled-Size: 99999999999999999999\n")))
	f.Fuzz(func(t *testing.T, data []byte) { check(t, ar(version, part{"control.tar", mend(data)}, dataPart())) })
}

// mend writes the sums of the headers anew, without which every change would
// be found at once.
func mend(data []byte) []byte {
	data = bytes.Clone(data)
	for at := 0; at+512 <= len(data); {
		h := data[at : at+512]
		size, _ := strconv.ParseUint(strings.Trim(string(h[124:136]), " \x00"), 8, 20)
		if bytes.Count(h, []byte{0}) < 512 {
			copy(h[148:], "        ")
			sum := 0
			for _, c := range h {
				sum += int(c)
			}
			copy(h[148:], fmt.Sprintf("%06o\x00 ", sum))
		}
		at += 512 + int(size+511)&^511
	}
	return data
}
