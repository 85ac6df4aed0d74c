// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package apt

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"osbuild/builder/debian/lock"
)

// maxRelease bounds a release file; the greatest have some 300 kB.
const maxRelease = 16 << 20

// verified is a release file that was found good.
type verified struct {
	*release
	archive *archive
	sha256  string // of the file as it came
	signer  string // fingerprint, "" where the source wants no signature
	note    string // why it is good only by the configuration
	kept    *kept
	// bare says that there is no release file, which the source allows.
	bare bool
}

// verified gets the release file of an archive and verifies it: the signature
// before anything else is read.
func (h *Host) verified(ctx context.Context, a *archive) (*verified, error) {
	if a.err != nil {
		return nil, a.err
	}
	c := cache{h.cfg.Cache}
	var old *verified
	var check func(*kept) (*verified, error)
	if trusted := a.options.trusted; trusted != nil && *trusted {
		h.warn("nobody vouches for the packages of %s: the source at %s says trusted=yes", a, a.where)
		check = func(k *kept) (*verified, error) { return h.unsigned(a, k) }
	} else if trusted != nil {
		return nil, fmt.Errorf("cannot use %s: the source at %s says trusted=no", a, a.where)
	} else {
		keys, err := h.keyring(a)
		if err != nil {
			return nil, err
		}
		check = func(k *kept) (*verified, error) { return h.check(a, keys, k) }
	}
	if k, ok := c.readRelease(a); ok {
		// What is wrong with it now makes it worthless: it is fetched anew.
		old, _ = check(k)
	}
	k, err := h.fetchRelease(ctx, a, old)
	switch {
	case errors.Is(err, errSame):
		return old, nil
	case errors.Is(err, ErrOffline) && old != nil:
		return old, nil
	case errors.Is(err, ErrOffline):
		return nil, fmt.Errorf("cannot read the index of %s: %w, and the indexes were not read before (run it once with the network)", a, ErrOffline)
	case errors.Is(err, errNotFound) && a.options.trusted != nil && *a.options.trusted:
		return &verified{release: &release{rank: rankUsual}, archive: a, bare: true}, nil
	case errors.Is(err, errNotFound):
		return nil, fmt.Errorf("cannot read the index of %s: there is no release file (does the suite exist? the source is at %s): %w", a, a.where, err)
	case errors.Is(err, ErrNetwork):
		return nil, fmt.Errorf("cannot read the index of %s: %w (without a network, --offline uses the indexes of the last time)", a, err)
	case err != nil:
		return nil, fmt.Errorf("cannot read the index of %s: %w", a, err)
	}
	v, err := check(k)
	if err != nil {
		return nil, fmt.Errorf("cannot trust the release file of %s: %w", a, err)
	}
	if old != nil && v.date.Before(old.date) {
		// A mirror that lags behind; what we have is newer and as good.
		h.warn("%s shows its state of %s, which is older than what is known of %s: using the newer one", a, stamp(v.date), stamp(old.date))
		return old, nil
	}
	return v, nil
}

// errSame says that the release file is the one that is kept.
var errSame = errors.New("not modified")

// fetchRelease gets the release file from the first mirror that has one.
func (h *Host) fetchRelease(ctx context.Context, a *archive, old *verified) (*kept, error) {
	var errs []error
	for _, m := range a.mirrors {
		k, err := h.fetchReleaseFrom(ctx, a, m, old)
		if err == nil || errors.Is(err, errSame) || ctx.Err() != nil {
			return k, err
		}
		errs = append(errs, fmt.Errorf("%s: %w", place{m, a.dist()}, err))
	}
	return nil, joinPlaces(errs)
}

func (h *Host) fetchReleaseFrom(ctx context.Context, a *archive, m mirror, old *verified) (*kept, error) {
	get := func(name string, ask bool) (*kept, error) {
		q := query{mirror: m, name: a.dist() + name}
		if old != nil && ask {
			q.modified, q.tag = old.kept.Modified, old.kept.Tag
		}
		data, answer, err := h.small(ctx, q, maxRelease)
		if err != nil {
			return nil, err
		}
		if answer.same {
			return nil, errSame
		}
		return &kept{Text: data, Modified: answer.modified, Tag: answer.tag}, nil
	}
	name := "InRelease"
	if a.options.releasePath != "" {
		name = a.options.releasePath
	}
	detached := old != nil && old.kept.Signature != nil
	k, err := get(name, !detached)
	if !errors.Is(err, errNotFound) || a.options.releasePath != "" {
		return k, err
	}
	if k, err = get("Release", detached); err != nil {
		return nil, err
	}
	signature, err := get("Release.gpg", false)
	if errors.Is(err, errNotFound) && a.options.trusted != nil && *a.options.trusted {
		return k, nil
	}
	if errors.Is(err, errNotFound) {
		return nil, fmt.Errorf("%w: it has neither InRelease nor Release.gpg", ErrSignature)
	}
	if err != nil {
		return nil, err
	}
	k.Signature = signature.Text
	return k, nil
}

// check verifies a release file.
func (h *Host) check(a *archive, keys *keyring, k *kept) (*verified, error) {
	var f *signedFile
	var err error
	if k.Signature == nil {
		f, err = openClearsigned(k.Text)
	} else {
		f, err = openDetached(k.Text, k.Signature)
	}
	if err != nil {
		return nil, err
	}
	signer, err := keys.verify(f, h.cfg.Now())
	if err != nil {
		return nil, err
	}
	v, err := h.checkText(a, k, f.text)
	if err != nil {
		return nil, err
	}
	v.signer = signer
	return v, nil
}

// unsigned takes a release file of a source that is trusted as it is.
func (h *Host) unsigned(a *archive, k *kept) (*verified, error) {
	text := k.Text
	if f, err := openClearsigned(text); err == nil {
		text = f.text
	}
	return h.checkText(a, k, text)
}

// checkText checks what the release file says.
func (h *Host) checkText(a *archive, k *kept, text []byte) (*verified, error) {
	r, err := parseRelease(text)
	if err != nil {
		return nil, fmt.Errorf("cannot read it: %w", err)
	}
	if err := r.checkName(a); err != nil {
		return nil, err
	}
	note, err := h.checkTimes(r, a, h.cfg.Now())
	if err != nil {
		return nil, err
	}
	digest := sha256.Sum256(k.Text)
	return &verified{release: r, archive: a, sha256: hex.EncodeToString(digest[:]), note: note, kept: k}, nil
}

// locked is what a lock keeps of the release file.
func (v *verified) locked(name string) lock.Suite {
	s := lock.Suite{Name: name, InReleaseSHA256: v.sha256, Signer: v.signer}
	if !v.bare {
		s.Date = v.date.UTC().Format(time.RFC3339)
	}
	return s
}

// checkRollback refuses a release file older than the one in a lock: a mirror
// that is far behind, or somebody who hides an update.
func (v *verified) checkRollback(name string, known []lock.Suite) error {
	for _, k := range known {
		if k.Name != name || k.Date == "" || v.bare {
			continue
		}
		date, err := time.Parse(time.RFC3339, k.Date)
		if err != nil {
			if date, err = parseDate(k.Date); err != nil {
				return fmt.Errorf("the lock's date of the suite %s is not one: %q", name, k.Date)
			}
		}
		if v.date.Before(date) {
			return fmt.Errorf("cannot trust the release file of %s: %w: it is of %s, but the lock knows one of %s (a mirror is behind, or somebody hides updates: "+
				"wait, or use another mirror; to take the older state all the same, remove the lock and run `osbuild lock --update`)",
				v.archive, ErrRollback, stamp(v.date), stamp(date))
		}
	}
	return nil
}
