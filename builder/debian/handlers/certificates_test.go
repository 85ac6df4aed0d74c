// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package handlers

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"
)

// makeCertificate gives a certificate of this subject; the same subject and
// serial give the same bytes.
func makeCertificate(t testing.TB, serial int64, subject pkix.RDNSequence) string {
	t.Helper()
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	raw, err := asn1.Marshal(subject)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(serial), RawSubject: raw, NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<32, 0)}
	der, err := x509.CreateCertificate(nil, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// name is a subject of one country, one organisation and one common name.
func name(country, organization, common string) pkix.RDNSequence {
	one := func(id int, value any) pkix.RelativeDistinguishedNameSET {
		return pkix.RelativeDistinguishedNameSET{{Type: asn1.ObjectIdentifier{2, 5, 4, id}, Value: value}}
	}
	return pkix.RDNSequence{one(6, country), one(10, organization), one(3, common)}
}

func TestCertificates(t *testing.T) {
	a := makeCertificate(t, 1, name("AA", "One  Trust ", "Root (old)"))
	b := makeCertificate(t, 2, name("BB", "Ünited Trust", "Root"))
	twin := makeCertificate(t, 3, name("aa", "one trust", "ROOT (OLD)"))
	ar := &txtar.Archive{}
	for file, text := range map[string]string{
		"control": "", "postinst": "#!/bin/sh\nfrob\n",
		"root/usr/share/ca-certificates/org/One Root, (old).crt": a,
		"root/usr/share/ca-certificates/org/Two.crt":             strings.TrimSuffix(b, "\n"),
		"root/usr/share/ca-certificates/org/Three.crt":           twin,
		"root/usr/share/ca-certificates/org/Again.crt":           b,
		"root/usr/share/ca-certificates/org/readme":              "text",
	} {
		ar.Files = append(ar.Files, txtar.File{Name: "ca-certificates/" + file, Data: []byte(text)})
	}
	got, err := build(t, plant(t, ar))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"etc/ssl/certs/One_Root__=old=.pem -> /usr/share/ca-certificates/org/One Root, (old).crt\n",
		"etc/ssl/certs/Two.pem -> /usr/share/ca-certificates/org/Two.crt\n",
		// Two subjects that differ in case and blanks alone have one hash.
		".0 -> One_Root__=old=.pem\n", ".1 -> Three.pem\n", ".0 -> Again.pem\n",
		"    org/Again.crt\n    org/One Root, (old).crt\n    org/Three.crt\n    org/Two.crt\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
	if n := strings.Count(got, "BEGIN CERTIFICATE"); n != 4 {
		t.Errorf("the file with all has %d certificates", n)
	}
	if strings.Contains(got, "frob") {
		t.Error("the script of ca-certificates is read")
	}
}

// TestSubjectHash compares the hash with what OpenSSL says.
func TestSubjectHash(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("SKIP-ENV: there is no openssl")
	}
	for _, subject := range []pkix.RDNSequence{
		name("DE", "Plain", "Root"),
		name("US", "  Many   Blanks ", "UPPER lower"),
		name("FR", "Société Générale", "é"),
		{{{Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: "b"}, {Type: asn1.ObjectIdentifier{2, 5, 4, 11}, Value: "a"}}},
		{{{Type: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 1}, Value: asn1.RawValue{Tag: asn1.TagIA5String, Bytes: []byte("A@Example.org")}}}},
		{{{Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: asn1.RawValue{Tag: asn1.TagBMPString, Bytes: []byte{0, 'X', 0, ' ', 1, 0x7c}}}}},
		{{{Type: asn1.ObjectIdentifier{2, 5, 4, 5}, Value: asn1.RawValue{Tag: asn1.TagT61String, Bytes: []byte("Ab\xe9")}}}},
		{},
	} {
		text := makeCertificate(t, 1, subject)
		file := filepath.Join(t.TempDir(), "c.pem")
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(openssl, "x509", "-noout", "-subject_hash", "-in", file).Output()
		if err != nil {
			t.Fatal(err)
		}
		block, _ := pem.Decode([]byte(text))
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		got, err := subjectHash(cert.RawSubject)
		if err != nil || got != string(bytes.TrimSpace(out)) {
			t.Errorf("%v: %s, %v; openssl says %s", subject, got, err, out)
		}
	}
}
