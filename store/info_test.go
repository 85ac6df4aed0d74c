// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

const goodInfo = `StorePath: /osbuild/store/rkfr254jwp3ndfvly304psci24m54bi3-a
NarHash: sha256:1b8m03r63zqhnjf7l5wnldhh7c134ap5vpj0850ymkq1iyzicy5s
NarSize: 120
References: rd3zkkmxi5wl6yp2cvl5mvr8hpk65fsv-dep rkfr254jwp3ndfvly304psci24m54bi3-a
Deriver: 00ff
Sig: key-1:abc
Sig: key-2:def
CA: fixed:r:sha256:1b8m03r63zqhnjf7l5wnldhh7c134ap5vpj0850ymkq1iyzicy5s
X-Registered: 2026-01-02T03:04:05Z
X-Session: abc
`

func TestInfoText(t *testing.T) {
	i, err := DecodeInfo([]byte(goodInfo))
	if err != nil {
		t.Fatal(err)
	}
	if got := string(i.Encode()); got != goodInfo {
		t.Error(cmp.Diff(goodInfo, got))
	}
	// Fields of a binary cache do not matter.
	if _, err := DecodeInfo([]byte(goodInfo + "URL: nar/x.nar.zst\nCompression: zstd\nFileSize: 1\n")); err != nil {
		t.Error(err)
	}
	for summary, bad := range map[string][2]string{
		"no path":             {"StorePath: /osbuild/store/rkfr254jwp3ndfvly304psci24m54bi3-a\n", ""},
		"other store":         {"/osbuild/store/", "/nix/store/"},
		"no hash":             {"NarHash", "Nar"},
		"other hash":          {"NarHash: sha256:", "NarHash: sha1:"},
		"bad size":            {"120", "12 0"},
		"no size":             {"120", "0"},
		"unsorted references": {"References: rd3", "References: zd3"},
		"a path as reference": {"References: rd3", "References: /osbuild/store/rd3"},
		"two sizes":           {"NarSize: 120\n", "NarSize: 120\nNarSize: 120\n"},
		"torn":                {"X-Session: abc\n", "X-Sess"},
		"bad time":            {"2026-01-02T03", "2026-01-02 03"},
	} {
		if _, err := DecodeInfo([]byte(strings.Replace(goodInfo, bad[0], bad[1], 1))); err == nil {
			t.Errorf("%s was taken", summary)
		}
	}
}

// What the decoder takes, the encoder gives so that it means the same.
func FuzzDecodeInfo(f *testing.F) {
	f.Add([]byte(goodInfo))
	f.Add([]byte("StorePath: x\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		i, err := DecodeInfo(text)
		if err != nil {
			return
		}
		again, err := DecodeInfo(i.Encode())
		if err != nil {
			t.Fatalf("%v\n%s", err, i.Encode())
		}
		if !bytes.Equal(again.Encode(), i.Encode()) {
			t.Error(cmp.Diff(i, again, cmpopts.IgnoreUnexported(Info{})))
		}
	})
}

func FuzzDecodeIndex(f *testing.F) {
	f.Add(appendRecord(nil, []byte(goodInfo)))
	f.Fuzz(func(t *testing.T, b []byte) {
		infos, torn := decodeIndex(b)
		var again []byte
		for _, i := range infos {
			again = appendRecord(again, i.Encode())
		}
		if same, bad := decodeIndex(again); bad || len(same) != len(infos) {
			t.Errorf("%d infos, torn %t, give %d, torn %t", len(infos), torn, len(same), bad)
		}
	})
}

func FuzzParsePath(f *testing.F) {
	f.Add("/osbuild/store/rkfr254jwp3ndfvly304psci24m54bi3-a")
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParsePath(s)
		if err == nil && (string(p) != s || Dir+"/"+p.Digest()+"-"+p.Name() != s || strings.Contains(p.Base(), "/")) {
			t.Errorf("%q was read as %q", s, p)
		}
	})
}

func FuzzParseHash(f *testing.F) {
	f.Add("sha256:1b8m03r63zqhnjf7l5wnldhh7c134ap5vpj0850ymkq1iyzicy5s")
	f.Fuzz(func(t *testing.T, s string) {
		h, err := ParseHash(s)
		if err != nil {
			return
		}
		for _, form := range []string{h.Hex(), h.Base32(), h.SRI(), h.String()} {
			if again, err := ParseHash(form); err != nil || again != h {
				t.Errorf("%s: %v, %v", form, again, err)
			}
		}
	})
}

// Names of files that processes map are anybody's. Whatever they are, an item is
// noted only where its folder begins a path.
func FuzzMaps(f *testing.F) {
	const base = "rkfr254jwp3ndfvly304psci24m54bi3-a"
	f.Add("7f00-7f01 r-xp 0 fe:00 12  /root/store/" + base + "/lib\n")
	f.Add("7f00-7f01 r-xp 0 fe:00 12  /osbuild/store/" + base + " (deleted)\n")
	f.Add("7f00 [heap]\n\n/\n/root/store/\n /x/root/store/" + base)
	f.Fuzz(func(t *testing.T, maps string) {
		uses := make(map[Path]bool)
		mappedItems(uses, maps, []string{"/root/store/", Dir + "/"})
		for p := range uses {
			if _, err := ParsePath(string(p)); err != nil || !strings.Contains(maps, "/store/"+p.Base()) {
				t.Errorf("%q of %q, %v", p, maps, err)
			}
		}
	})
}
