// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package apt

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	pgperrors "github.com/ProtonMail/go-crypto/openpgp/errors"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

const (
	beginMessage   = "-----BEGIN PGP SIGNED MESSAGE-----"
	beginSignature = "-----BEGIN PGP SIGNATURE-----"
	endSignature   = "-----END PGP SIGNATURE-----"
	// maxSignatures bounds the work on a release file; Debian's have three.
	maxSignatures = 16
	// minRSA is the shortest modulus that is believed.
	minRSA = 2048
)

// signedFile is a release file with its signatures, before they are checked.
type signedFile struct {
	text       []byte // what the signatures vouch for, and nothing else
	message    []byte // text in the form that was signed
	signatures []byte // packets
}

// openClearsigned takes an InRelease apart. Nothing may stand before or behind
// the signed message: a reader that looks for fields would find them there.
func openClearsigned(data []byte) (*signedFile, error) {
	if !bytes.HasPrefix(data, []byte(beginMessage+"\n")) && !bytes.HasPrefix(data, []byte(beginMessage+"\r\n")) {
		return nil, fmt.Errorf("%w: the file does not begin with a signed message", ErrSignature)
	}
	block, rest := clearsign.Decode(data)
	if block == nil {
		return nil, fmt.Errorf("%w: the signed message is cut off or malformed", ErrSignature)
	}
	if len(bytes.TrimSpace(rest)) > 0 {
		return nil, fmt.Errorf("%w: there is text behind the signature", ErrSignature)
	}
	if block.ArmoredSignature.Type != openpgp.SignatureType {
		return nil, fmt.Errorf("%w: the signature is a %q", ErrSignature, block.ArmoredSignature.Type)
	}
	packets, err := io.ReadAll(block.ArmoredSignature.Body)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSignature, err)
	}
	return &signedFile{text: block.Plaintext, message: block.Bytes, signatures: packets}, nil
}

// openDetached joins a Release and its Release.gpg.
func openDetached(text, signature []byte) (*signedFile, error) {
	f := &signedFile{text: text, message: text, signatures: signature}
	trimmed := bytes.TrimSpace(signature)
	if !bytes.HasPrefix(trimmed, []byte("-----")) {
		return f, nil // not armored
	}
	if !bytes.HasPrefix(trimmed, []byte(beginSignature)) || !bytes.HasSuffix(trimmed, []byte(endSignature)) ||
		bytes.Count(trimmed, []byte("-----BEGIN")) != 1 {
		return nil, fmt.Errorf("%w: Release.gpg is not one signature", ErrSignature)
	}
	block, err := armor.Decode(bytes.NewReader(trimmed))
	if err == nil {
		f.signatures, err = io.ReadAll(block.Body)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: Release.gpg is malformed: %w", ErrSignature, err)
	}
	return f, nil
}

// verify checks the signatures and returns the fingerprint of the key of the
// first good one. As with apt, one good signature is enough, and a bad one of
// a key that is known spoils all.
func (k *keyring) verify(f *signedFile, now time.Time) (string, error) {
	packets := packet.NewOpaqueReader(bytes.NewReader(f.signatures))
	var signer string
	var reasons []string
	for n := 0; ; n++ {
		p, err := packets.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return "", fmt.Errorf("%w: %w", ErrSignature, err)
		}
		if n == maxSignatures {
			return "", fmt.Errorf("%w: there are more than %d signatures", ErrSignature, maxSignatures)
		}
		by, reason, err := k.verifyOne(f.message, p, now)
		switch {
		case err != nil:
			return "", fmt.Errorf("%w: %w", ErrSignature, err)
		case reason != "":
			reasons = append(reasons, reason)
		case signer == "":
			signer = by
		}
	}
	if signer != "" {
		return signer, nil
	}
	if len(reasons) == 0 {
		reasons = []string{"there is none"}
	}
	return "", fmt.Errorf("%w: %s (the keys are those of %s)", ErrSignature, strings.Join(reasons, "; "), k.from)
}

// verifyOne checks one signature: it is good and by a key, or it does not
// count for a reason, or it is bad, which is the error.
func (k *keyring) verifyOne(message []byte, p *packet.OpaquePacket, now time.Time) (by, reason string, err error) {
	var one bytes.Buffer
	if err := p.Serialize(&one); err != nil {
		return "", "", err
	}
	parsed, err := packet.Read(bytes.NewReader(one.Bytes()))
	var unsupported pgperrors.UnsupportedError
	if errors.As(err, &unsupported) {
		return "", fmt.Sprintf("one is of a kind that is not known (%v)", err), nil
	}
	if err != nil {
		return "", "", err
	}
	sig, ok := parsed.(*packet.Signature)
	if !ok {
		return "", "", errors.New("something among the signatures is none")
	}
	if sig.SigType != packet.SigTypeBinary && sig.SigType != packet.SigTypeText || sig.IssuerKeyId == nil {
		return "", "one is not the signature of a document", nil
	}
	name := fmt.Sprintf("the key %016X", *sig.IssuerKeyId)
	if sig.CreationTime.After(now) {
		return "", fmt.Sprintf("%s signed on %s, which is in the future (is the clock right?)", name, stamp(sig.CreationTime)), nil
	}
	config := &packet.Config{Time: func() time.Time { return now }}
	_, entity, err := openpgp.VerifyDetachedSignature(k.keys, bytes.NewReader(message), &one, config)
	switch {
	case errors.Is(err, pgperrors.ErrUnknownIssuer):
		return "", name + " is not among those that may sign", nil
	case errors.Is(err, pgperrors.ErrKeyExpired):
		return "", name + " has expired", nil
	case errors.Is(err, pgperrors.ErrKeyRevoked):
		return "", name + " has been revoked", nil
	case errors.Is(err, pgperrors.ErrSignatureExpired):
		return "", "the signature by " + name + " has expired", nil
	case err != nil:
		return "", "", err
	}
	if reason := k.weak(sig, entity); reason != "" {
		return "", name + " " + reason, nil
	}
	return fingerprint(entity.PrimaryKey.Fingerprint), "", nil
}

// weak says why a correct signature is not believed.
func (k *keyring) weak(sig *packet.Signature, entity *openpgp.Entity) string {
	switch sig.Hash {
	case crypto.MD5, crypto.SHA1, crypto.RIPEMD160:
		return fmt.Sprintf("signed with the hash %v, which is too weak", sig.Hash)
	}
	key := entity.PrimaryKey
	for i := range entity.Subkeys {
		if entity.Subkeys[i].PublicKey.KeyId == *sig.IssuerKeyId {
			key = entity.Subkeys[i].PublicKey
		}
	}
	if sig.CreationTime.Before(key.CreationTime) {
		return "signed before it was made"
	}
	switch key.PubKeyAlgo {
	case packet.PubKeyAlgoDSA, packet.PubKeyAlgoElGamal:
		return "is of a kind that is too weak"
	case packet.PubKeyAlgoRSA, packet.PubKeyAlgoRSASignOnly:
		if bits, err := key.BitLength(); err != nil || bits < minRSA {
			return fmt.Sprintf("has %d bits, which is too weak", bits)
		}
	}
	if k.signers != nil {
		primary := fingerprint(entity.PrimaryKey.Fingerprint)
		exact, named := k.signers[primary]
		if _, sub := k.signers[fingerprint(key.Fingerprint)]; !sub && (!named || exact) {
			return "is not the one that Signed-By names"
		}
	}
	return ""
}

// stamp writes a time for people.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }
