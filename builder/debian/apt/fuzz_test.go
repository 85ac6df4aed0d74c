// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package apt

import (
	"bytes"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"osbuild/builder/debian/apt/apttest"
)

// FuzzSources asks that whatever a file of sources says, an archive of it has
// its files within its places.
func FuzzSources(f *testing.F) {
	f.Add("deb [ arch=amd64 signed-by=/a.gpg ] http://example.org/debian bookworm main # x\n")
	f.Add("deb \"file:/a b\" ./\ndeb-src x y z")
	f.Add("Types: deb\nURIs: http://example.org/a\nSuites: x y\nComponents: main\nSigned-By:\n -----BEGIN\n .\n")
	f.Add("Types: deb\nURIs: mirror+file:/a copy:/b\nSuites: a/b/\nEnabled: no\n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, parse := range []func(string, []byte) ([]entry, error){parseLines, parseStanzas} {
			entries, err := parse("f", []byte(text))
			if err != nil {
				continue
			}
			h := &Host{cfg: Config{Root: t.TempDir()}}
			archives, err := h.makeArchives(entries)
			if err != nil {
				continue
			}
			for _, a := range archives {
				if strings.HasPrefix(a.dist(), "/") || strings.Contains("/"+a.dist(), "/../") {
					t.Errorf("the folder of %q is %q", a.suite, a.dist())
				}
				for _, m := range a.mirrors {
					if u, err := url.Parse(m.at(a.dist() + "InRelease").String()); err != nil || u.User != nil || !strings.HasPrefix(u.Path, m.base.Path) {
						t.Errorf("the release file of %q is %v, %v", a, u, err)
					}
				}
			}
		}
	})
}

// FuzzConf asks only that it ends.
func FuzzConf(f *testing.F) {
	f.Add([]byte("A::B \"c\"; D { E \"f\"; /* g */ }; // h\n#clear x;"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c := &conf{values: map[string]string{}}
		_ = c.parse(data)
		parseDump(data)
	})
}

// FuzzAuth asks that no error shows what stands behind the word password.
func FuzzAuth(f *testing.F) {
	f.Add("machine example.org login a password b\n# x\n")
	f.Add("machine https://example.org:1/x password hidden login")
	f.Fuzz(func(t *testing.T, text string) {
		found, err := parseAuth(text)
		if _, after, ok := strings.Cut(text, " password hidden"); err != nil && ok && !strings.Contains(text, "machine hidden") && after != "" && strings.Contains(err.Error(), "hidden") {
			t.Errorf("the error %q shows a password", err)
		}
		for _, c := range found {
			c.matches(&url.URL{Scheme: "https", Host: c.host, Path: c.path})
		}
	})
}

// FuzzRelease asks that sums are sums and sizes are sizes.
func FuzzRelease(f *testing.F) {
	f.Add([]byte("Suite: x\nDate: Sat, 11 Jan 2025 10:11:12 UTC\nSHA256:\n " + strings.Repeat("a", 64) + " 5 main/binary-amd64/Packages\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := parseRelease(text)
		if err != nil {
			return
		}
		for name, s := range r.files {
			if name == "" || s.size < 0 || len(s.sha256) != 64 || strings.ToLower(s.sha256) != s.sha256 {
				t.Errorf("%q has %+v", name, s)
			}
		}
	})
}

// FuzzSigned asks that nothing but the signed text is ever taken for signed.
func FuzzSigned(f *testing.F) {
	now := time.Now()
	made := now.Add(-48 * time.Hour)
	key := apttest.NewKeyWith(f, &packet.Config{Time: func() time.Time { return made }, Algorithm: packet.PubKeyAlgoEdDSA})
	keys, err := readKeys(key.Public())
	if err != nil {
		f.Fatal(err)
	}
	ring := &keyring{keys: keys}
	const text = "Suite: x\n- dash\n-----BEGIN\n"
	f.Add(key.Clearsign(f, text), []byte(nil))
	f.Add([]byte(text), key.Detach(f, text))
	f.Fuzz(func(t *testing.T, data, signature []byte) {
		file, err := openClearsigned(data)
		if len(signature) > 0 {
			file, err = openDetached(data, signature)
		}
		if err != nil {
			return
		}
		// Blanks at the ends of lines are not part of what is signed, and a
		// message is signed without its last newline.
		trim := func(s []byte) string {
			lines := strings.Split(strings.ReplaceAll(string(s), "\r\n", "\n"), "\n")
			for i := range lines {
				lines[i] = strings.TrimRight(lines[i], " \t\r")
			}
			return strings.TrimRight(strings.Join(lines, "\n"), "\n")
		}
		if _, err := ring.verify(file, now); err == nil && trim(file.text) != trim([]byte(text)) {
			t.Errorf("signed is %q", file.text)
		}
	})
}

// FuzzUnpack asks that no more comes out than was allowed.
func FuzzUnpack(f *testing.F) {
	r := apttest.New(f)
	f.Add(byte(0), r.Pack(".gz", []byte("hello")), int64(5))
	f.Add(byte(1), r.Pack(".xz", bytes.Repeat([]byte("hello"), 1000)), int64(5000))
	f.Fuzz(func(t *testing.T, packing byte, data []byte, size int64) {
		size %= 1 << 20
		if size < 0 {
			size = -size
		}
		p := packings[packing%2]
		if out, err := unpack(p, data, size); err == nil && int64(len(out)) != size {
			t.Errorf("%d bytes came out, not %d", len(out), size)
		}
	})
}
