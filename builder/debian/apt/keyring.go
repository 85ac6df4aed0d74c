// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package apt

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/ProtonMail/go-crypto/openpgp"
)

const beginKeys = "-----BEGIN PGP PUBLIC KEY BLOCK-----"

// keyring is the set of keys that may sign an archive.
type keyring struct {
	keys openpgp.EntityList
	// signers restricts the keys to these fingerprints, when it is not nil. The
	// value says that the key itself has to sign, and not one of its subkeys.
	signers map[string]bool
	// from says where the keys are, for messages.
	from string
}

// keyring reads the keys of an archive: those that its source names, or those
// that the host trusts for everything.
func (h *Host) keyring(a *archive) (*keyring, error) {
	// Suites share their keys, and reading keys verifies a signature for each.
	h.keyMu.Lock()
	defer h.keyMu.Unlock()
	k := h.keyrings[a.options.signedBy]
	if k == nil {
		var err error
		if k, err = h.signedBy(a.options.signedBy); err != nil {
			return nil, fmt.Errorf("cannot read the keys for the source at %s: %w", a.where, err)
		}
		h.keyrings[a.options.signedBy] = k
	}
	if len(k.keys) == 0 {
		return nil, fmt.Errorf("cannot verify %s: %s holds no key (the source at %s names its keys with Signed-By)", a, k.from, a.where)
	}
	return k, nil
}

func (h *Host) signedBy(signedBy string) (*keyring, error) {
	switch {
	case signedBy == "":
		keys, err := h.trustedKeys()
		return &keyring{keys: keys, from: h.path("trusted.gpg.d")}, err
	case strings.Contains(signedBy, beginKeys):
		keys, err := readKeys([]byte(signedBy))
		return &keyring{keys: keys, from: "the block of Signed-By"}, err
	}
	k := &keyring{from: signedBy}
	var all openpgp.EntityList
	for _, word := range strings.FieldsFunc(signedBy, func(r rune) bool { return strings.ContainsRune(", \t\n", r) }) {
		if strings.HasPrefix(word, "/") {
			keys, err := readKeyFile(filepath.Join(h.cfg.Root, word))
			if err != nil {
				return nil, err
			}
			k.keys = append(k.keys, keys...)
			continue
		}
		print, exact := strings.CutSuffix(word, "!")
		if raw, err := hex.DecodeString(print); err != nil || len(raw) < 20 {
			return nil, fmt.Errorf("%q in Signed-By is neither an absolute path nor a fingerprint", word)
		}
		if all == nil {
			var err error
			if all, err = h.trustedKeys(); err != nil {
				return nil, err
			}
			k.signers = map[string]bool{}
		}
		k.signers[strings.ToUpper(print)] = exact
	}
	// Keys of a file that the source names are good without a fingerprint too.
	if k.signers != nil {
		for _, e := range k.keys {
			k.signers[fingerprint(e.PrimaryKey.Fingerprint)] = false
		}
		k.keys = append(k.keys, all...)
	}
	return k, nil
}

// trustedKeys reads the keys that the host trusts for every archive that
// names none. A file that is no keyring is passed over, as apt does.
func (h *Host) trustedKeys() (openpgp.EntityList, error) {
	files, err := parts(h.path("trusted.gpg.d"), ".gpg", ".asc")
	if err != nil {
		return nil, err
	}
	var all openpgp.EntityList
	for _, file := range append([]string{h.path("trusted.gpg")}, files...) {
		keys, err := readKeyFile(file)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			h.warn("passed over a keyring of apt: %v", err)
		default:
			all = append(all, keys...)
		}
	}
	return all, nil
}

func readKeyFile(file string) (openpgp.EntityList, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	keys, err := readKeys(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return keys, nil
}

// readKeys reads keys, binary or as one or more armored blocks.
func readKeys(data []byte) (openpgp.EntityList, error) {
	if !bytes.Contains(data, []byte(beginKeys)) {
		keys, err := openpgp.ReadKeyRing(bytes.NewReader(data))
		if err != nil {
			return nil, fmt.Errorf("not a keyring that can be read: %w", err)
		}
		return keys, nil
	}
	var all openpgp.EntityList
	for _, block := range bytes.Split(data, []byte(beginKeys))[1:] {
		keys, err := openpgp.ReadArmoredKeyRing(strings.NewReader(beginKeys + string(block)))
		if err != nil {
			return nil, fmt.Errorf("not a block of keys that can be read: %w", err)
		}
		all = append(all, keys...)
	}
	return all, nil
}

// fingerprint writes a fingerprint as gpg and apt do.
func fingerprint(raw []byte) string { return strings.ToUpper(hex.EncodeToString(raw)) }
