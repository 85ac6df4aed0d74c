// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package handlers

import (
	"crypto/md5"
	"encoding/hex"
	"strings"

	"osbuild/builder/debian/rootfs"
)

const dpkgDir = "/var/lib/dpkg/"

// dpkgStatus makes the database of dpkg, by which people and scanners see
// which packages, versions and files a system has.
var dpkgStatus = class{name: "dpkg status", finish: func(r *root) error {
	if len(r.pkgs) == 0 {
		return nil
	}
	var all strings.Builder
	for _, p := range r.pkgs {
		if err := r.stanza(p, &all); err != nil {
			return err
		}
		name := p.Name
		if p.Control.Get("Multi-Arch") == "same" {
			name += ":" + p.Meta.Architecture
		}
		if err := r.Create(dpkgDir+"info/"+name+".list", p.listed()); err != nil {
			return err
		}
		for _, member := range []string{"md5sums", "conffiles"} {
			text, err := p.Member(member)
			if err != nil {
				return err
			}
			if text == "" {
				continue
			}
			if err := r.Create(dpkgDir+"info/"+name+"."+member, text); err != nil {
				return err
			}
		}
	}
	for name, text := range map[string]string{
		"status": all.String(), "available": "", "diversions": r.diversionList(), "info/format": "1\n", "arch": r.arch() + "\n",
	} {
		if err := r.Create(dpkgDir+name, text); err != nil {
			return err
		}
	}
	for _, dir := range []string{"updates", "triggers", "alternatives"} {
		if _, err := r.MkdirAll(dpkgDir + dir); err != nil {
			return err
		}
	}
	return nil
}}

// listed are the paths of a package in the form of dpkg.
func (p *pkg) listed() string {
	return strings.Join(append([]string{"/."}, p.Paths...), "\n") + "\n"
}

// stanza writes the control file of a package as one of an installed one.
func (r *root) stanza(p *pkg, b *strings.Builder) error {
	field := func(name, value string) { b.WriteString(name + ": " + value + "\n") }
	for i, f := range p.Control.Fields {
		if f.Name == "Description" || f.Name == "Homepage" {
			continue
		}
		field(f.Name, f.Value)
		if i == 0 {
			field("Status", "install ok installed")
		}
	}
	if len(p.Meta.Conffiles) > 0 {
		b.WriteString("Conffiles:\n")
		for _, c := range p.Meta.Conffiles {
			n, _, err := r.Find(c, true)
			if err != nil || n.Kind != rootfs.File || n.Given {
				continue
			}
			text, err := n.Bytes()
			if err != nil {
				return err
			}
			sum := md5.Sum([]byte(text))
			b.WriteString(" " + c + " " + hex.EncodeToString(sum[:]) + "\n")
		}
	}
	for _, name := range []string{"Description", "Homepage"} {
		if v, ok := p.Control.Lookup(name); ok {
			field(name, v)
		}
	}
	b.WriteString("\n")
	return nil
}

// diversionList is what dpkg-divert would have written.
func (r *root) diversionList() string {
	var b strings.Builder
	for _, from := range sorted(r.Diversions) {
		d := r.Diversions[from]
		b.WriteString(from + "\n" + d.To + "\n" + d.By + "\n")
	}
	return b.String()
}
