// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package handlers

import (
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/binary"
	"encoding/pem"
	"fmt"
	"path"
	"strings"
	"unicode/utf16"

	"osbuild/builder/debian/rootfs"
	"osbuild/builder/debian/script"
)

const (
	certificatesPackage = "ca-certificates"
	trustedDir          = "/usr/share/ca-certificates"
	localTrustedDir     = "/usr/local/share/ca-certificates"
	certsDir            = "/etc/ssl/certs"
)

// certificates makes what update-ca-certificates makes: the list of all that
// ca-certificates brings, a link to each in /etc/ssl/certs, links by the hash
// of the name by which OpenSSL looks for them, and one file with all.
var certificates = class{
	name:     "certificates",
	whole:    []string{certificatesPackage},
	commands: map[string]command{"update-ca-certificates": func(*call) script.Status { return script.Success }, "c_rehash": func(*call) script.Status { return script.Success }},
	finish:   finishCertificates,
}

func finishCertificates(r *root) error {
	if r.byName[certificatesPackage] == nil {
		return nil
	}
	dir, _, err := r.Find(trustedDir, true)
	if err != nil {
		return nil
	}
	if _, err := r.MkdirAll(localTrustedDir); err != nil {
		return err
	}
	var list, bundle strings.Builder
	list.WriteString("# The certificates of " + trustedDir + " that are trusted, a line each.\n# A line that begins with ! is one that is not.\n")
	hashes := map[string]int{}
	seen := map[[sha256.Size]byte]bool{}
	err = dir.Each("", func(p string, n *rootfs.Node) error {
		if n.Kind != rootfs.File || !strings.HasSuffix(p, ".crt") {
			return nil
		}
		text, err := n.Bytes()
		if err != nil {
			return err
		}
		list.WriteString(p + "\n")
		bundle.WriteString(strings.TrimSuffix(text, "\n") + "\n")
		name := strings.NewReplacer(" ", "_", "(", "=", ")", "=", ",", "_").Replace(strings.TrimSuffix(path.Base(p), ".crt")) + ".pem"
		if err := r.Put(certsDir+"/"+name, &rootfs.Node{Kind: rootfs.Link, Text: trustedDir + "/" + p}); err != nil {
			return err
		}
		block, _ := pem.Decode([]byte(text))
		if block == nil || seen[sha256.Sum256(block.Bytes)] {
			return nil
		}
		seen[sha256.Sum256(block.Bytes)] = true
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil // OpenSSL finds it in the file with all
		}
		hash, err := subjectHash(cert.RawSubject)
		if err != nil {
			return nil
		}
		at := fmt.Sprintf("%s/%s.%d", certsDir, hash, hashes[hash])
		hashes[hash]++
		return r.Put(at, &rootfs.Node{Kind: rootfs.Link, Text: name})
	})
	if err != nil {
		return err
	}
	if err := r.Create("/etc/ca-certificates.conf", list.String()); err != nil {
		return err
	}
	return r.Create(certsDir+"/ca-certificates.crt", bundle.String())
}

// subjectHash is the name under which OpenSSL looks for the certificate of a
// subject: the first four bytes, as a little-endian number, of the SHA-1 of
// the name in its canonical form, in which texts are UTF-8, in lower case and
// without superfluous blanks.
func subjectHash(raw []byte) (string, error) {
	var sets []asn1.RawValue
	if rest, err := asn1.Unmarshal(raw, &sets); err != nil || len(rest) > 0 {
		return "", fmt.Errorf("it has no subject: %w", err)
	}
	type attribute struct {
		Type  asn1.ObjectIdentifier
		Value asn1.RawValue
	}
	var canonical []byte
	for _, set := range sets {
		var list []attribute
		if _, err := asn1.UnmarshalWithParams(set.FullBytes, &list, "set"); err != nil {
			return "", err
		}
		for i, a := range list {
			if text, ok := canonicalText(a.Value); ok {
				list[i].Value = asn1.RawValue{Tag: asn1.TagUTF8String, Bytes: []byte(text)}
			} else {
				list[i].Value = asn1.RawValue{FullBytes: a.Value.FullBytes}
			}
		}
		der, err := asn1.MarshalWithParams(list, "set")
		if err != nil {
			return "", err
		}
		canonical = append(canonical, der...)
	}
	sum := sha1.Sum(canonical)
	return fmt.Sprintf("%08x", binary.LittleEndian.Uint32(sum[:4])), nil
}

// canonicalText is a text of a name as it is compared; values of other types
// stay as they are.
func canonicalText(v asn1.RawValue) (string, bool) {
	if v.Class != asn1.ClassUniversal {
		return "", false
	}
	var s string
	switch v.Tag {
	case asn1.TagUTF8String, asn1.TagPrintableString, asn1.TagIA5String, 26: // 26 is VisibleString
		s = string(v.Bytes)
	case asn1.TagT61String:
		for _, b := range v.Bytes {
			s += string(rune(b))
		}
	case asn1.TagBMPString:
		var units []uint16
		for i := 0; i+1 < len(v.Bytes); i += 2 {
			units = append(units, binary.BigEndian.Uint16(v.Bytes[i:]))
		}
		s = string(utf16.Decode(units))
	default:
		return "", false
	}
	s = strings.Map(func(c rune) rune {
		if 'A' <= c && c <= 'Z' {
			return c + 'a' - 'A'
		}
		return c
	}, s)
	return strings.Join(strings.FieldsFunc(s, func(c rune) bool { return strings.ContainsRune(" \t\n\v\f\r", c) }), " "), true
}
