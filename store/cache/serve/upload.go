// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"osbuild/store"
	"osbuild/store/cache"
	"osbuild/store/cache/codec"
	"osbuild/store/cache/narinfo"
	"osbuild/store/cache/origin"
	"osbuild/store/cache/policy"
	"osbuild/store/cache/signature"
)

// maxUpload bounds an upload where the server's owner says nothing, and
// maxText a narinfo or listing.
const (
	maxUpload = 64 << 30
	maxText   = 64 << 20
	// mostSignatures bounds those of one thing.
	mostSignatures = 64
)

// refusal is an answer to an upload that is not taken.
type refusal struct {
	code int
	text string
}

func (e refusal) Error() string { return e.text }

func refused(code int, format string, args ...any) error {
	return refusal{code, fmt.Sprintf(format, args...)}
}

// write takes an upload: archives first, which wait, then the narinfos that
// tell what they are.
func (s *Server) write(w *answer, r *http.Request, name string) {
	if !s.authorized(r) {
		w.Header().Set("WWW-Authenticate", `Basic realm="osbuild"`)
		refuse(w, http.StatusUnauthorized, "uploads need the token of this server")
		return
	}
	limit := cmp.Or(s.MaxSize, maxUpload)
	body := &patientBody{Reader: http.MaxBytesReader(w, r.Body, limit), control: w.control, patience: s.patience()}
	defer s.uploads.begin()()
	var err error
	if r.ContentLength > limit {
		err = &http.MaxBytesError{Limit: limit} // before it comes
	} else {
		err = s.take(r, name, body)
	}
	var no refusal
	switch {
	case err == nil:
		w.WriteHeader(http.StatusCreated)
	case errors.As(err, &no):
		refuse(w, no.code, "%s", no.text)
	case errors.As(err, new(*http.MaxBytesError)):
		refuse(w, http.StatusRequestEntityTooLarge, "more than %d bytes are not taken", limit)
	case errors.Is(err, os.ErrDeadlineExceeded):
		refuse(w, http.StatusRequestTimeout, "nothing more of it came for %v", s.patience())
	case r.Context().Err() != nil:
		w.status = clientGone
		panic(http.ErrAbortHandler) // nobody hears an answer, and none would say yes
	case errors.Is(err, io.ErrUnexpectedEOF):
		refuse(w, http.StatusBadRequest, "its end is missing")
	case diskFull(err):
		w.problem = err
		refuse(w, http.StatusInsufficientStorage, "the disk of this server is full")
	default:
		w.problem = err
		refuse(w, http.StatusInternalServerError, "the store could not take this file (its owner finds the reason in the log)")
	}
}

func diskFull(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }

// archiveName is the shape of an archive's name. It is compiled at the first
// upload: every start of the program would pay for it otherwise.
var archiveName = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^nar/[0-9A-Za-z][0-9A-Za-z._+-]{0,200}$`)
})

func (s *Server) take(r *http.Request, name string, body io.Reader) error {
	switch {
	case archiveName().MatchString(name):
		return s.takeArchive(r, name, body)
	case strings.HasSuffix(name, narinfo.Extension):
		return s.takeItem(r, strings.TrimSuffix(name, narinfo.Extension), body)
	case strings.HasPrefix(name, cache.RealisationFolder) && strings.HasSuffix(name, ".json"):
		return s.takeRealisation(strings.TrimSuffix(strings.TrimPrefix(name, cache.RealisationFolder), ".json"), body)
	case strings.HasSuffix(name, ".ls"):
		// We make listings ourselves.
		_, err := io.Copy(io.Discard, io.LimitReader(body, maxText))
		return err
	case name == narinfo.AboutName:
		text, err := readText(body)
		if err != nil {
			return err
		}
		about, err := narinfo.ParseAbout(text)
		if err == nil {
			err = about.Check()
		}
		if err != nil {
			return refused(http.StatusBadRequest, "%v", err)
		}
		return nil // what we say of ourselves stays
	}
	return refused(http.StatusNotFound, "a cache has no file of this name")
}

func readText(body io.Reader) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(body, narinfo.MaxSize+1))
	if err == nil && len(text) > narinfo.MaxSize {
		err = refused(http.StatusRequestEntityTooLarge, "more than %d bytes are not taken here", narinfo.MaxSize)
	}
	return text, err
}

// takeArchive keeps a file until its narinfo comes. A name that begins with a
// hash must be that of the file.
func (s *Server) takeArchive(r *http.Request, name string, body io.Reader) error {
	dir, err := s.Lease.TempDir()
	if err != nil {
		return err
	}
	var disk unix.Statfs_t
	if err := unix.Statfs(dir, &disk); err == nil && r.ContentLength > int64(disk.Bavail)*disk.Bsize {
		return fmt.Errorf("cannot take %s, which has %d bytes: %w", name, r.ContentLength, unix.ENOSPC) // before it comes
	}
	f, err := os.CreateTemp(dir, "archive-")
	if err != nil {
		return err
	}
	h := sha256.New()
	_, err = io.Copy(io.MultiWriter(f, h), body)
	if err = errors.Join(err, f.Close()); err == nil {
		want, _, _ := strings.Cut(strings.TrimPrefix(name, "nar/"), ".")
		got := store.Hash(h.Sum(nil))
		if hash, perr := store.ParseHash(want); perr == nil && hash != got {
			err = refused(http.StatusBadRequest, "the file has the hash %s, but its name says %s", got.Base32(), want)
		}
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return s.uploads.put(name, f.Name())
}

// takeItem registers an item whose archive was uploaded before.
func (s *Server) takeItem(r *http.Request, digest string, body io.Reader) error {
	text, err := readText(body)
	if err != nil {
		return err
	}
	n, err := narinfo.Parse(text)
	if err != nil {
		return refused(http.StatusBadRequest, "%v", err)
	}
	if n.Path.Digest() != digest {
		return refused(http.StatusBadRequest, "the narinfo of %s stands under another name", n.Path)
	}
	st := s.Origin.Store
	// A lease of its own: that of the server only grows.
	l, err := st.NewLease("upload of " + n.Path.Name())
	if err != nil {
		return err
	}
	err = s.takeFrom(r, l, n)
	return errors.Join(err, l.Close())
}

// takeFrom registers an item under a lease.
func (s *Server) takeFrom(r *http.Request, l *store.Lease, n narinfo.Narinfo) error {
	st := s.Origin.Store
	all := append(slices.Clone(n.References), n.Path)
	if err := l.Add(all...); err != nil {
		return err
	}
	// For longer than this request: what refers to it comes later.
	if err := s.Origin.Keep(all...); err != nil {
		return err
	}
	if have, err := st.Info(n.Path); err == nil && st.Valid(n.Path) {
		if have.NarHash != n.NarHash {
			return refused(http.StatusConflict, "%s is here already, with other bytes", n.Path)
		}
		return s.countersign(r, have, n)
	}
	if err := s.acceptable(n); err != nil {
		return refused(http.StatusUnprocessableEntity, "%v", err)
	}
	for _, ref := range n.References {
		if ref != n.Path && !st.Valid(ref) {
			return refused(http.StatusConflict, "%s refers to %s, which is not here: push that first", n.Path, ref)
		}
	}
	f, err := s.uploads.open(n.URL)
	if err != nil {
		return refused(http.StatusConflict, "its archive %s is not here: push that first", n.URL)
	}
	defer f.Close()
	err = s.register(r, l, n, f)
	switch {
	case err == nil:
		s.uploads.take(n.URL)
		// Somebody else may have been faster, with other signatures.
		if have, err := st.Info(n.Path); err == nil && len(lacking(have, n)) > 0 {
			return s.countersign(r, have, n)
		}
	case diskFull(err):
		// Waiting it would fill the disk for others, too.
		err = errors.Join(err, s.uploads.drop(n.URL))
	}
	return err
}

// countersign adds the signatures of an upload to an item that is here, so that
// several can vouch for it. Whose count is decided by who reads them.
func (s *Server) countersign(r *http.Request, have store.Info, n narinfo.Narinfo) error {
	more := lacking(have, n)
	st := s.Origin.Store
	if len(more) == 0 || signature.Item(have) != signature.Item(n.Info) {
		// Who registered it may be about to make it durable, and die.
		return s.syncing.do(st.Sync)
	}
	if len(have.Sigs)+len(more) > mostSignatures {
		return refused(http.StatusUnprocessableEntity, "more than %d signatures are not taken", mostSignatures)
	}
	if err := st.AddSignatures(r.Context(), n.Path, more...); err != nil {
		return err
	}
	return s.syncing.do(st.Sync)
}

// lacking gives the signatures of an upload that an item lacks.
func lacking(have store.Info, n narinfo.Narinfo) (more []string) {
	for _, sig := range n.Sigs {
		if !slices.Contains(have.Sigs, sig) {
			more = append(more, sig)
		}
	}
	return more
}

// acceptable says whether an item may be registered, as far as its narinfo
// tells.
func (s *Server) acceptable(n narinfo.Narinfo) error {
	if limit := cmp.Or(s.MaxSize, maxUpload); n.NarSize > limit {
		return fmt.Errorf("it has %d bytes, and more than %d are not taken", n.NarSize, limit)
	}
	if err := codec.Readable(n.Compression); err != nil {
		return err
	}
	if n.CA != "" {
		if err := store.CheckAddress(n.Info); err != nil {
			return err
		}
	}
	trust := s.Policy
	if trust == nil {
		trust = policy.Any(nil)
	}
	rule, err := trust.ForItem(n.Info)
	if rule == nil || err != nil {
		return err
	}
	if err := rule.Check(signature.Item(n.Info), n.Sigs); err != nil {
		if rule.Place != "" {
			return err
		}
		return errors.New("it has no content address, and no signature of a key that this server trusts")
	}
	return nil
}

// register unpacks an archive, checks it and makes its item valid, durably.
func (s *Server) register(r *http.Request, l *store.Lease, n narinfo.Narinfo, f *os.File) error {
	h := sha256.New()
	compressed := io.TeeReader(f, h)
	d, err := codec.NewReader(n.Compression, compressed)
	if err != nil {
		return refused(http.StatusUnprocessableEntity, "%v", err)
	}
	defer d.Close()
	st := s.Origin.Store
	a, err := st.Unpack(r.Context(), l, n.Info, d)
	if errors.Is(err, store.ErrWrong) || errors.Is(err, codec.ErrCorrupt) {
		return refused(http.StatusUnprocessableEntity, "%v", err)
	}
	if err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, compressed); err != nil {
		return errors.Join(err, a.Discard())
	}
	if got := store.Hash(h.Sum(nil)); n.FileHash != (store.Hash{}) && n.FileHash != got {
		err := refused(http.StatusUnprocessableEntity, "its archive %s has the hash %s, not %s", n.URL, got, n.FileHash)
		return errors.Join(err, a.Discard())
	}
	if err := st.Admit(r.Context(), l, a); err != nil {
		return err
	}
	return s.syncing.do(st.Sync)
}

// takeRealisation keeps what somebody built and signed. Whose word counts is
// decided by who reads it; the first result stands.
func (s *Server) takeRealisation(resolved string, body io.Reader) error {
	text, err := readText(body)
	if err != nil {
		return err
	}
	n, err := cache.ParseRealisation(text)
	if err != nil {
		return refused(http.StatusBadRequest, "%v", err)
	}
	if n.Resolved != resolved {
		return refused(http.StatusBadRequest, "the realisation of %s stands under another name", n.Resolved)
	}
	if err := s.record(n); err != nil {
		return err
	}
	return s.syncing.do(s.Origin.Store.Sync)
}

// record joins a realisation with what is known of the same build.
func (s *Server) record(n cache.Realisation) error {
	s.uploads.recording.Lock()
	defer s.uploads.recording.Unlock()
	have, err := s.Origin.Realisation(n.Resolved)
	switch {
	case err != nil:
	case !maps.Equal(have.Outputs, n.Outputs):
		if s.own(n.Resolved) || s.vouched(have) || !s.vouched(n) {
			return refused(http.StatusConflict, "another result of this build is known here, and the first one stands")
		}
		// Nobody whose word counts said so: it would only stand in the way.
	default:
		for _, sig := range have.Signatures {
			if !slices.Contains(n.Signatures, sig) {
				n.Signatures = append(n.Signatures, sig)
			}
		}
	}
	if len(n.Signatures) > mostSignatures {
		return refused(http.StatusUnprocessableEntity, "more than %d signatures are not taken", mostSignatures)
	}
	return s.Origin.Store.PutRecord(origin.SharedRecords, n.Resolved, n.Encode())
}

// own says whether the result of a build was realised here.
func (s *Server) own(resolved string) bool {
	if s.Origin.Built == nil {
		return false
	}
	_, _, err := s.Origin.Built(resolved)
	return err == nil
}

// vouched says whether enough keys have signed a realisation for this server.
func (s *Server) vouched(r cache.Realisation) bool {
	if s.Policy == nil {
		return false
	}
	rules, err := s.Policy.ForOutputs(r.Outputs)
	return err == nil && !slices.ContainsFunc(rules, func(rule *policy.Rule) bool {
		return rule.Check(r.Fingerprint(), r.Signatures) != nil
	})
}

// patientBody ends an upload that does not go on.
type patientBody struct {
	io.Reader
	control  *http.ResponseController
	patience time.Duration
}

func (b *patientBody) Read(p []byte) (int, error) {
	_ = b.control.SetReadDeadline(time.Now().Add(b.patience)) // a test's recorder has none
	n, err := b.Reader.Read(p)
	if errors.Is(err, io.EOF) {
		// All is here. Checking it may take long, and net/http would take the
		// end of this time for that of the client.
		_ = b.control.SetReadDeadline(time.Time{})
	}
	return n, err
}
