// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package apt

import (
	"context"
	"crypto"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"osbuild/builder/debian/apt/apttest"
	"osbuild/builder/debian/lock"
)

const helloControl = "Package: hello\nVersion: 1.0-1\nArchitecture: amd64\nSection: misc"

// published makes an archive with one package.
func published(t *testing.T) *apttest.Repo {
	t.Helper()
	r := apttest.New(t)
	r.AddDeb([]byte("the bytes of hello"), helloControl)
	r.Publish()
	return r
}

// files lists the regular files below a folder.
func files(t *testing.T, dir string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			found = append(found, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// edit replaces text in a file of the archive; the text has to be there.
func edit(t *testing.T, r *apttest.Repo, name, old, now string) {
	t.Helper()
	data, err := os.ReadFile(r.Path(name))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(data), old) {
		t.Fatalf("%s does not hold %q:\n%s", name, old, data)
	}
	r.Write(name, []byte(strings.Replace(string(data), old, now, 1)))
}

func remove(t *testing.T, r *apttest.Repo, names ...string) {
	t.Helper()
	for _, name := range names {
		if err := os.RemoveAll(r.Path(name)); err != nil {
			t.Fatal(err)
		}
	}
}

const (
	inRelease = "dists/stable/InRelease"
	indexDir  = "dists/stable/main/binary-amd64/"
)

// onlyPlain leaves the archive with the plain index, by its name.
func onlyPlain(t *testing.T, r *apttest.Repo) {
	r.Packings = []string{""}
	r.Publish()
	remove(t, r, indexDir+"by-hash")
}

// TestAttacks changes a good archive, and expects that nothing of it is used
// or kept.
func TestAttacks(t *testing.T) {
	ago := func(d time.Duration) time.Time { return time.Now().Add(-d) }
	rewrite := func(r *apttest.Repo, old, now string) {
		r.Edit = func(s string) string {
			if !strings.Contains(s, old) {
				t.Errorf("the release file does not hold %q", old)
			}
			return strings.Replace(s, old, now, 1)
		}
		r.Publish()
	}
	tests := []struct {
		summary string
		attack  func(t *testing.T, r *apttest.Repo)
		options IndexOptions
		kind    error
		text    string // regular expression
	}{{
		summary: "the release file is changed",
		attack:  func(t *testing.T, r *apttest.Repo) { edit(t, r, inRelease, "Label: Test", "Label: Evil") },
		kind:    ErrSignature, text: "signature",
	}, {
		summary: "a key that the source does not name",
		attack: func(t *testing.T, r *apttest.Repo) {
			old := r.Key
			r.Key = apttest.NewKey(t, ago(48*time.Hour))
			text, _ := os.ReadFile(r.Path("dists/stable/Release"))
			r.Sign(string(text))
			r.Key = old
		},
		kind: ErrSignature, text: "the key [0-9A-F]{16} is not among those that may sign",
	}, {
		summary: "a key that has expired since it signed",
		attack: func(t *testing.T, r *apttest.Repo) {
			made := ago(48 * time.Hour)
			r.Key = apttest.NewKeyWith(t, &packet.Config{Time: func() time.Time { return made }, Algorithm: packet.PubKeyAlgoEdDSA, KeyLifetimeSecs: 24 * 3600})
			r.Publish()
		},
		kind: ErrSignature, text: "the key [0-9A-F]{16} has expired",
	}, {
		summary: "a key that had expired when it signed",
		attack: func(t *testing.T, r *apttest.Repo) {
			made := ago(48 * time.Hour)
			r.Key = apttest.NewKeyWith(t, &packet.Config{Time: func() time.Time { return made }, Algorithm: packet.PubKeyAlgoEdDSA, KeyLifetimeSecs: 3600})
			r.Key.Config.Time = func() time.Time { return made.Add(time.Minute) }
			r.Publish()
		},
		kind: ErrSignature, text: "has expired",
	}, {
		summary: "a key that was revoked",
		attack: func(t *testing.T, r *apttest.Repo) {
			if err := r.Key.Entity.RevokeKey(packet.KeyCompromised, "stolen", r.Key.Config); err != nil {
				t.Fatal(err)
			}
			host, err := os.ReadFile(filepath.Join(r.Root(), "etc/apt/sources.list.d/test.sources"))
			if err != nil || string(host) == r.Source() {
				t.Fatal("the revocation is not in the key", err)
			}
			if err := os.WriteFile(filepath.Join(r.Root(), "etc/apt/sources.list.d/test.sources"), []byte(r.Source()), 0o644); err != nil {
				t.Fatal(err)
			}
		},
		kind: ErrSignature, text: "has been revoked",
	}, {
		summary: "a signature that has expired",
		attack: func(t *testing.T, r *apttest.Repo) {
			r.Key.Config.SigLifetimeSecs = 60
			r.Publish()
		},
		kind: ErrSignature, text: "the signature by the key [0-9A-F]{16} has expired",
	}, {
		summary: "a signature of the future",
		attack: func(t *testing.T, r *apttest.Repo) {
			r.Key.Config.Time = func() time.Time { return ago(-time.Hour) }
			r.Publish()
		},
		kind: ErrSignature, text: "which is in the future",
	}, {
		summary: "a key that is too short",
		attack: func(t *testing.T, r *apttest.Repo) {
			made := ago(48 * time.Hour)
			r.Key = apttest.NewKeyWith(t, &packet.Config{Time: func() time.Time { return made }, Algorithm: packet.PubKeyAlgoRSA, RSABits: 1024})
			r.Publish()
		},
		kind: ErrSignature, text: "has 1024 bits, which is too weak",
	}, {
		summary: "no signature at all",
		attack: func(t *testing.T, r *apttest.Repo) {
			text, _ := os.ReadFile(r.Path("dists/stable/Release"))
			r.Write(inRelease, text)
		},
		kind: ErrSignature, text: "does not begin with a signed message",
	}, {
		summary: "no signature beside Release",
		attack:  func(t *testing.T, r *apttest.Repo) { remove(t, r, inRelease, "dists/stable/Release.gpg") },
		kind:    ErrSignature, text: "neither InRelease nor Release.gpg",
	}, {
		summary: "Release is changed",
		attack: func(t *testing.T, r *apttest.Repo) {
			remove(t, r, inRelease)
			edit(t, r, "dists/stable/Release", "Label: Test", "Label: Evil")
		},
		kind: ErrSignature, text: "signature",
	}, {
		summary: "text behind Release.gpg",
		attack: func(t *testing.T, r *apttest.Repo) {
			remove(t, r, inRelease)
			edit(t, r, "dists/stable/Release.gpg", "-----END PGP SIGNATURE-----", "-----END PGP SIGNATURE-----\nmore")
		},
		kind: ErrSignature, text: "Release.gpg is not one signature",
	}, {
		summary: "fields before the signed message",
		attack: func(t *testing.T, r *apttest.Repo) {
			edit(t, r, inRelease, "-----BEGIN PGP SIGNED MESSAGE-----", "Origin: Evil\n\n-----BEGIN PGP SIGNED MESSAGE-----")
		},
		kind: ErrSignature, text: "does not begin with a signed message",
	}, {
		summary: "an empty line before the signed message",
		attack: func(t *testing.T, r *apttest.Repo) {
			edit(t, r, inRelease, "-----BEGIN PGP SIGNED MESSAGE-----", "\n-----BEGIN PGP SIGNED MESSAGE-----")
		},
		kind: ErrSignature, text: "does not begin with a signed message",
	}, {
		summary: "fields behind the signature",
		attack: func(t *testing.T, r *apttest.Repo) {
			edit(t, r, inRelease, "-----END PGP SIGNATURE-----", "-----END PGP SIGNATURE-----\nOrigin: Evil")
		},
		kind: ErrSignature, text: "text behind the signature",
	}, {
		summary: "a second signed message",
		attack: func(t *testing.T, r *apttest.Repo) {
			text, _ := os.ReadFile(r.Path(inRelease))
			r.Write(inRelease, append(text, text...))
		},
		kind: ErrSignature, text: "text behind the signature",
	}, {
		summary: "the release file is cut off",
		attack: func(t *testing.T, r *apttest.Repo) {
			text, _ := os.ReadFile(r.Path(inRelease))
			r.Write(inRelease, text[:len(text)/2])
		},
		kind: ErrSignature, text: "cut off or malformed",
	}, {
		summary: "an empty release file",
		attack:  func(t *testing.T, r *apttest.Repo) { r.Write(inRelease, nil) },
		kind:    ErrSignature, text: "does not begin with a signed message",
	}, {
		summary: "a release file without end",
		attack: func(t *testing.T, r *apttest.Repo) {
			if err := os.Truncate(r.Path(inRelease), maxRelease+1); err != nil {
				t.Fatal(err)
			}
		},
		text: "more than 16777216 bytes",
	}, {
		summary: "the release file of another suite",
		attack:  func(t *testing.T, r *apttest.Repo) { rewrite(r, "Suite: stable", "Suite: oldstable\nCodename: older") },
		text:    `another suite: wanted "stable", got Suite "oldstable" and Codename "older"`,
	}, {
		summary: "a state older than the lock's",
		attack:  func(t *testing.T, r *apttest.Repo) { r.Date = time.Date(2026, 1, 2, 3, 3, 5, 0, time.UTC); r.Publish() },
		options: IndexOptions{Known: []lock.Suite{{Name: "stable", Date: "2026-03-04T05:06:07Z"}}},
		kind:    ErrRollback, text: `it is of 2026-01-02 03:04:05 UTC, but the lock knows one of 2026-03-04 05:06:07 UTC .*osbuild lock --update`,
	}, {
		summary: "a state that is not good any more",
		attack:  func(t *testing.T, r *apttest.Repo) { r.ValidUntil = ago(time.Hour); r.Publish() },
		kind:    ErrExpired, text: "was good until 20",
	}, {
		summary: "a state of the future",
		attack:  func(t *testing.T, r *apttest.Repo) { r.Date = ago(-time.Hour); r.Publish() },
		text:    "which is in the future",
	}, {
		summary: "no date",
		attack:  func(t *testing.T, r *apttest.Repo) { rewrite(r, "Date: ", "Data: ") },
		text:    "Date: there is none",
	}, {
		summary: "no hash of the index",
		attack: func(t *testing.T, r *apttest.Repo) {
			r.Edit = func(s string) string { return regexp.MustCompile("(?m)^ .*Packages.*\n").ReplaceAllString(s, "") }
			r.Publish()
		},
		text: "the release file has no SHA256 of it",
	}, {
		summary: "only weak hashes of the index",
		attack:  func(t *testing.T, r *apttest.Repo) { rewrite(r, "SHA256:", "SHA1:") },
		text:    "the release file has no SHA256 of it",
	}, {
		summary: "two hashes of the index",
		attack: func(t *testing.T, r *apttest.Repo) {
			rewrite(r, "SHA256:\n", "SHA256:\n "+strings.Repeat("0", 64)+" 1 main/binary-amd64/Packages\n")
		},
		text: "has two sums",
	}, {
		summary: "a component that the archive does not have",
		attack: func(t *testing.T, r *apttest.Repo) {
			source := strings.Replace(r.Source(), "Components: main", "Components: mian", 1)
			if err := os.WriteFile(filepath.Join(r.Root(), "etc/apt/sources.list.d/test.sources"), []byte(source), 0o644); err != nil {
				t.Fatal(err)
			}
		},
		text: `cannot read the index mian/binary-amd64/Packages of .*\(the archive has the components \["main"\]; the source at .*test.sources:1 names`,
	}, {
		summary: "the index is changed",
		attack: func(t *testing.T, r *apttest.Repo) {
			onlyPlain(t, r)
			edit(t, r, indexDir+"Packages", "misc", "evil")
		},
		kind: ErrMismatch, text: "its SHA256 is [0-9a-f]{64}, not [0-9a-f]{64}",
	}, {
		summary: "the index is longer than it has to be",
		attack: func(t *testing.T, r *apttest.Repo) {
			onlyPlain(t, r)
			edit(t, r, indexDir+"Packages", "misc", "misc, more")
		},
		kind: ErrMismatch, text: "it has 20[0-9] bytes, not 19[0-9]",
	}, {
		summary: "the index is cut off",
		attack: func(t *testing.T, r *apttest.Repo) {
			onlyPlain(t, r)
			edit(t, r, indexDir+"Packages", "Section: misc\n", "")
		},
		kind: ErrMismatch, text: "bytes, not",
	}, {
		summary: "the index is not there",
		attack:  func(t *testing.T, r *apttest.Repo) { remove(t, r, indexDir) },
		text:    `cannot read the index main/binary-amd64/Packages of file:.*not found`,
	}, {
		summary: "the index unpacks to more than it should",
		attack: func(t *testing.T, r *apttest.Repo) {
			bomb := r.Pack(".xz", make([]byte, 4<<20))
			swapPacked(t, r, ".xz", bomb)
		},
		kind: ErrMismatch, text: "it unpacks to more than 19[0-9] bytes",
	}, {
		summary: "the index unpacks to less than it should",
		attack: func(t *testing.T, r *apttest.Repo) {
			swapPacked(t, r, ".gz", r.Pack(".gz", []byte("Package: x\n")))
		},
		kind: ErrMismatch, text: "it unpacks to 11 bytes, not",
	}, {
		summary: "the packed index is cut off",
		attack: func(t *testing.T, r *apttest.Repo) {
			data, _ := os.ReadFile(r.Path(indexDir + "Packages.gz"))
			swapPacked(t, r, ".gz", data[:len(data)-9])
		},
		kind: ErrMismatch, text: "what is packed is cut off",
	}, {
		summary: "the packed index is none",
		attack:  func(t *testing.T, r *apttest.Repo) { swapPacked(t, r, ".xz", []byte("not xz")) },
		text:    "cannot unpack it",
	}, {
		summary: "the index is said to be huge",
		attack: func(t *testing.T, r *apttest.Repo) {
			r.Packings = []string{""}
			r.Edit = func(s string) string {
				return regexp.MustCompile(` \d+ main/`).ReplaceAllString(s, " 99999999999 main/")
			}
			r.Publish()
		},
		text: "it has 99999999999 bytes, more than",
	}, {
		summary: "a package outside the archive",
		attack: func(t *testing.T, r *apttest.Repo) {
			r.AddStanza("Package: evil\nVersion: 1\nArchitecture: all\nSize: 5\nSHA256: " + strings.Repeat("0", 64) + "\nFilename: ../../etc/passwd")
			r.Publish()
		},
		text: `"../../etc/passwd" is not a clean path below the archive`,
	}}
	for _, test := range tests {
		t.Run(test.summary, func(t *testing.T) {
			r := published(t)
			test.attack(t, r)
			cache := t.TempDir()
			h, err := Open(context.Background(), Config{Root: r.Root(), Cache: cache})
			if err != nil {
				t.Fatal(err)
			}
			h.pause = func(context.Context, time.Duration) error { return nil }
			s, err := h.Indexes(context.Background(), withArch(test.options))
			if err == nil {
				t.Fatalf("no error; the index has %d packages", len(s.Packages))
			}
			if !regexp.MustCompile(test.text).MatchString(err.Error()) {
				t.Errorf("the error is %q, not %q", err, test.text)
			}
			if test.kind != nil && !errors.Is(err, test.kind) {
				t.Errorf("the error %q is not a %q", err, test.kind)
			}
			if left := files(t, cache); len(left) > 0 {
				t.Errorf("the cache holds %v", left)
			}
		})
	}
}

func withArch(o IndexOptions) IndexOptions {
	o.Arch = "amd64"
	return o
}

// swapPacked offers other bytes as the packed index, with their right hash.
func swapPacked(t *testing.T, r *apttest.Repo, packing string, data []byte) {
	t.Helper()
	r.Packings = []string{packing}
	r.Edit = func(s string) string {
		line := regexp.MustCompile(`(?m)^ .* main/binary-amd64/Packages\` + packing + `\n`)
		if !line.MatchString(s) {
			t.Fatalf("no line of the packed index in\n%s", s)
		}
		return line.ReplaceAllString(s, " "+digest(data)+" "+itoa(len(data))+" main/binary-amd64/Packages"+packing+"\n")
	}
	r.Publish()
	remove(t, r, indexDir+"by-hash")
	r.Write(indexDir+"Packages"+packing, data)
}

// TestWeakHash signs with SHA-1. The library refuses to sign so in a message,
// so the signature is made as a detached one.
func TestWeakHash(t *testing.T) {
	r := published(t)
	remove(t, r, inRelease)
	made := time.Now().Add(-48 * time.Hour)
	r.Key = apttest.NewKeyWith(t, &packet.Config{Time: func() time.Time { return made }, Algorithm: packet.PubKeyAlgoRSA, RSABits: 2048})
	r.Publish()
	remove(t, r, inRelease)
	text, err := os.ReadFile(r.Path("dists/stable/Release"))
	if err != nil {
		t.Fatal(err)
	}
	sig := &packet.Signature{
		Version: 4, SigType: packet.SigTypeBinary, PubKeyAlgo: packet.PubKeyAlgoRSA, Hash: crypto.SHA1,
		CreationTime: made.Add(time.Hour), IssuerKeyId: &r.Key.Entity.PrimaryKey.KeyId,
	}
	r.Key.Config.NonDeterministicSignaturesViaNotation = packet.BoolPointer(false)
	h := crypto.SHA1.New()
	h.Write(text)
	var out strings.Builder
	err = sig.Sign(h, r.Key.Entity.PrivateKey, r.Key.Config)
	if err == nil {
		err = sig.Serialize(&out)
	}
	if err != nil {
		t.Fatal(err)
	}
	r.Write("dists/stable/Release.gpg", []byte(out.String()))
	host, err := Open(context.Background(), Config{Root: r.Root()})
	if err != nil {
		t.Fatal(err)
	}
	_, err = host.Indexes(context.Background(), IndexOptions{Arch: "amd64"})
	if !errors.Is(err, ErrSignature) || !strings.Contains(err.Error(), "SHA-1, which is too weak") {
		t.Errorf("got %v", err)
	}
}
