// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Info is what the store knows about an item. It is written once, and its
// file makes the item valid.
type Info struct {
	Path       Path
	NarHash    Hash
	NarSize    int64
	References []Path // sorted; may hold Path itself
	CA         string // how the path follows from the content, as Nix spells it
	Deriver    string
	Sigs       []string
	Registered time.Time

	session string // the unit of work that registered it, see session
}

// Encode returns the text of an info file: the format of a Nix cache's
// narinfo, with what only this store needs in fields of their own.
func (i Info) Encode() []byte {
	var b strings.Builder
	line := func(key, value string) { b.WriteString(key + ": " + value + "\n") }
	line("StorePath", string(i.Path))
	line("NarHash", i.NarHash.String())
	line("NarSize", strconv.FormatInt(i.NarSize, 10))
	bases := make([]string, len(i.References))
	for k, r := range i.References {
		bases[k] = r.Base()
	}
	line("References", strings.Join(bases, " "))
	if i.Deriver != "" {
		line("Deriver", i.Deriver)
	}
	for _, sig := range i.Sigs {
		line("Sig", sig)
	}
	if i.CA != "" {
		line("CA", i.CA)
	}
	if !i.Registered.IsZero() {
		line("X-Registered", i.Registered.UTC().Format(time.RFC3339))
	}
	if i.session != "" {
		line("X-Session", i.session)
	}
	return []byte(b.String())
}

// Shared is the info without what concerns this store alone.
func (i Info) Shared() Info {
	i.Registered, i.session = time.Time{}, ""
	return i
}

// maxInfo bounds the size of an info file.
const maxInfo = 8 << 20

// DecodeInfo reads the text of an info file. Fields that it does not know
// (those of a cache) are skipped; a missing or doubled field, a wrong value
// or a torn last line is an error.
func DecodeInfo(text []byte) (Info, error) { return decodeInfo(string(text)) }

func decodeInfo(text string) (Info, error) {
	var i Info
	if len(text) > maxInfo {
		return Info{}, fmt.Errorf("cannot read an info file: it has more than %d bytes", maxInfo)
	}
	if len(text) == 0 || text[len(text)-1] != '\n' {
		return Info{}, fmt.Errorf("cannot read an info file: its last line is torn")
	}
	var seen fieldSet
	rest := text
	for n := 1; rest != ""; n++ {
		var l string
		l, rest, _ = strings.Cut(rest, "\n")
		key, value, ok := strings.Cut(l, ":")
		if !ok {
			return Info{}, fmt.Errorf("cannot read an info file: line %d is no \"key: value\"", n)
		}
		if key != "Sig" && seen.add(key) {
			return Info{}, fmt.Errorf("cannot read an info file: line %d repeats %s", n, key)
		}
		if err := i.set(key, strings.TrimPrefix(value, " ")); err != nil {
			return Info{}, fmt.Errorf("cannot read an info file: line %d: %w", n, err)
		}
	}
	for k, key := range infoFields[:requiredFields] {
		if !seen.known[k] {
			return Info{}, fmt.Errorf("cannot read an info file: it lacks %s", key)
		}
	}
	return i, nil
}

// infoFields are the fields that occur once at most; the first ones must.
var infoFields = [...]string{"StorePath", "NarHash", "NarSize", "References", "Deriver", "CA", "X-Registered", "X-Session"}

const requiredFields = 4

// fieldSet is a set of fields. Reading all infos of a store takes as long as
// this does, so that it makes a map only for fields of others.
type fieldSet struct {
	known  [len(infoFields)]bool
	others map[string]bool
}

// add says whether the key was there before.
func (f *fieldSet) add(key string) bool {
	if k := slices.Index(infoFields[:], key); k >= 0 {
		had := f.known[k]
		f.known[k] = true
		return had
	}
	if f.others == nil {
		f.others = make(map[string]bool)
	}
	had := f.others[key]
	f.others[key] = true
	return had
}

func (i *Info) set(key, value string) (err error) {
	switch key {
	case "StorePath":
		i.Path, err = ParsePath(value)
	case "NarHash":
		if !strings.HasPrefix(value, "sha256:") {
			return fmt.Errorf("the archive hash %q is not sha256", value)
		}
		i.NarHash, err = ParseHash(value)
	case "NarSize":
		i.NarSize, err = strconv.ParseInt(value, 10, 64)
		if err == nil && i.NarSize <= 0 {
			err = fmt.Errorf("the archive size %q is not positive", value)
		}
	case "References":
		if i.References, err = parseBases(value); err != nil {
			return err
		}
		if !slices.IsSorted(i.References) {
			return fmt.Errorf("the references are not sorted")
		}
	case "Deriver":
		i.Deriver = value
	case "Sig":
		i.Sigs = append(i.Sigs, value)
	case "CA":
		i.CA = value
	case "X-Registered":
		i.Registered, err = time.Parse(time.RFC3339, value)
	case "X-Session":
		i.session = value
	}
	return err
}

// parseBases reads base names, which spaces separate.
func parseBases(list string) ([]Path, error) {
	bases := strings.Fields(list)
	if len(bases) == 0 {
		return nil, nil
	}
	// All paths are parts of one string, which is made at once.
	var b strings.Builder
	b.Grow(len(list) + len(bases)*len(Dir+"/"))
	for _, base := range bases {
		if err := checkBase(base); err != nil {
			return nil, err
		}
		b.WriteString(Dir + "/" + base)
	}
	all := b.String()
	paths := make([]Path, len(bases))
	for k, base := range bases {
		n := len(Dir+"/") + len(base)
		paths[k], all = Path(all[:n]), all[n:]
	}
	return paths, nil
}

// infoPath returns the place of the item's info file.
func (s *Store) infoPath(p Path) string { return s.at(infoFolder, p.Digest()+".narinfo") }

// Info returns what the store knows about a valid item. For any other the
// error wraps [ErrNotFound].
func (s *Store) Info(p Path) (Info, error) {
	text, err := readSmall(s.infoPath(p))
	if errors.Is(err, fs.ErrNotExist) || err == nil && s.suspect[p] {
		return Info{}, fmt.Errorf("cannot find %s in the store at %s: %w", p, s.root, ErrNotFound)
	}
	if err != nil {
		return Info{}, fmt.Errorf("cannot read the info of %s: %w", p, err)
	}
	i, err := DecodeInfo(text)
	if err != nil {
		return Info{}, &InfoError{Path: p, File: s.infoPath(p), Err: err}
	}
	if i.Path != p {
		return Info{}, fmt.Errorf("cannot find %s in the store at %s, only %s: %w", p, s.root, i.Path, ErrNotFound)
	}
	return i, nil
}

// Lookup returns the info of the item with this digest, whatever its name. If
// there is none, the error wraps [ErrNotFound].
func (s *Store) Lookup(digest string) (Info, error) {
	p, err := parseBase(digest + "-any")
	if err != nil {
		return Info{}, fmt.Errorf("%w: %w", err, ErrNotFound)
	}
	text, err := readSmall(s.infoPath(p))
	if errors.Is(err, fs.ErrNotExist) {
		return Info{}, fmt.Errorf("cannot find an item %s in the store at %s: %w", digest, s.root, ErrNotFound)
	}
	if err != nil {
		return Info{}, fmt.Errorf("cannot read the info of %s: %w", digest, err)
	}
	i, err := DecodeInfo(text)
	if err != nil {
		return Info{}, &InfoError{Path: p, File: s.infoPath(p), Err: err}
	}
	return s.Info(i.Path)
}

// readSmall is os.ReadFile without what that does for pipes and devices, which
// takes longer than the reading of a small file; a closure has hundreds.
func readSmall(path string) ([]byte, error) {
	fail := func(op string, err error) ([]byte, error) { return nil, &fs.PathError{Op: op, Path: path, Err: err} }
	var fd int
	var err error
	for {
		if fd, err = unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0); err != unix.EINTR {
			break
		}
	}
	if err != nil {
		return fail("open", err)
	}
	defer unix.Close(fd) // only read
	text := make([]byte, 0, 1024)
	for {
		n, err := unix.Read(fd, text[len(text):cap(text)])
		switch {
		case err == unix.EINTR:
		case err != nil:
			return fail("read", err)
		case n == 0:
			return text, nil
		default:
			if text = text[:len(text)+n]; len(text) == cap(text) {
				text = slices.Grow(text, len(text))
			}
		}
	}
}

// InfoError is the error of an info file that is damaged. The item counts as
// not valid.
type InfoError struct {
	Path Path
	File string
	Err  error
}

func (e *InfoError) Error() string {
	return fmt.Sprintf("%v: %s (osbuild store gc removes the item, after which it can be made again)", e.Err, e.File)
}

func (e *InfoError) Unwrap() error { return e.Err }

// Is makes a damaged item count as one that is not there.
func (e *InfoError) Is(target error) bool { return target == ErrNotFound }

// Valid says whether the item exists: it has a sound info file, and its tree
// has not been removed by other hands.
func (s *Store) Valid(p Path) bool {
	_, err := s.valid(p)
	return err == nil
}

// valid returns the info of an item whose tree is there.
func (s *Store) valid(p Path) (Info, error) {
	i, err := s.Info(p)
	if err != nil {
		return Info{}, err
	}
	if _, err := os.Lstat(s.Physical(p)); err != nil {
		return Info{}, fmt.Errorf("cannot find the tree of %s in the store at %s: %w", p, s.root, ErrNotFound)
	}
	return i, nil
}
