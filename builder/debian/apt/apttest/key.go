// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package apttest

import (
	"bytes"
	"encoding/hex"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// Key signs archives. Its fields may be changed before it signs.
type Key struct {
	Entity *openpgp.Entity
	// Config says when and how it signs; by default an hour after the key was
	// made.
	Config *packet.Config
}

// NewKey makes a key at a time of the past.
func NewKey(t testing.TB, made time.Time) *Key {
	t.Helper()
	return NewKeyWith(t, &packet.Config{Time: func() time.Time { return made }, Algorithm: packet.PubKeyAlgoEdDSA})
}

// NewKeyWith makes a key of another kind or with a life time.
func NewKeyWith(t testing.TB, config *packet.Config) *Key {
	t.Helper()
	e, err := openpgp.NewEntity("An archive", "", "archive@example.org", config)
	if err != nil {
		t.Fatal(err)
	}
	later := config.Now().Add(time.Hour)
	return &Key{Entity: e, Config: &packet.Config{Time: func() time.Time { return later }}}
}

// Fingerprint is the key's fingerprint as gpg writes it.
func (k *Key) Fingerprint() string {
	return strings.ToUpper(hex.EncodeToString(k.Entity.PrimaryKey.Fingerprint))
}

// Clearsign makes an InRelease.
func (k *Key) Clearsign(t testing.TB, text string) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := clearsign.Encode(&out, k.Entity.PrivateKey, k.Config)
	if err == nil {
		_, err = io.WriteString(w, text)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	out.WriteByte('\n')
	return out.Bytes()
}

// Detach makes a Release.gpg.
func (k *Key) Detach(t testing.TB, text string) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := openpgp.ArmoredDetachSign(&out, k.Entity, strings.NewReader(text), k.Config); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// Public is the public key, in the binary form of keyrings.
func (k *Key) Public() []byte {
	var out bytes.Buffer
	if err := k.Entity.Serialize(&out); err != nil {
		panic(err) // a buffer takes everything
	}
	return out.Bytes()
}

// Armored is the public key as text.
func (k *Key) Armored() string {
	var out bytes.Buffer
	w, err := armor.Encode(&out, openpgp.PublicKeyType, nil)
	if err == nil {
		_, err = w.Write(k.Public())
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		panic(err)
	}
	return out.String() + "\n"
}

// inline is the public key as the value of Signed-By: each line begins with a
// blank, and a dot stands for an empty one.
func (k *Key) inline() string {
	var b strings.Builder
	for _, line := range strings.Split(strings.TrimSpace(k.Armored()), "\n") {
		if line == "" {
			line = "."
		}
		b.WriteString("\n " + line)
	}
	return b.String()
}
