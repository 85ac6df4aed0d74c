// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

// Package derivation holds what one evaluation declares: how items are made,
// and the strings that stand for them before they exist.
//
// It owns [Derivation] with its canonical encoding and key, the placeholders,
// and [Graph], in which an evaluation collects texts, sources and derivations
// and which finds the dependencies of any string. It never builds anything,
// never writes to a store, and reads the disk only to hash local sources.
// Start with [Graph.Derive], then read scan.go: a dependency is an occurrence
// of a path in a string, and nothing else.
package derivation

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"unicode/utf8"

	"osbuild/store"
)

// Position is a place in a declaration; the zero value means that it is
// unknown.
type Position struct {
	File      string
	Line, Col int
}

// String gives "system.star:12:5", and "" for an unknown position.
func (p Position) String() string {
	switch {
	case p == Position{}:
		return ""
	case p.Line == 0:
		return p.File
	case p.Col == 0:
		return fmt.Sprintf("%s:%d", p.File, p.Line)
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Col)
}

// Key identifies a derivation: the SHA-256, in 64 hexadecimal digits, of its
// canonical encoding.
type Key string

// ErrBadKey is wrapped by the error of [ParseKey].
var ErrBadKey = errors.New("not a derivation key")

// ParseKey checks that s has the form of a key.
func ParseKey(s string) (Key, error) {
	if b, err := hex.DecodeString(s); err != nil || len(b) != sha256.Size || strings.ToLower(s) != s {
		return "", fmt.Errorf("%w: %q (want %d lower-case hexadecimal digits)", ErrBadKey, s, 2*sha256.Size)
	}
	return Key(s), nil
}

// Input is something that must be in the store before a build: one output of
// a derivation, or a path that is known already.
type Input struct {
	Drv    Key        `json:"drv,omitempty"`
	Output string     `json:"output,omitempty"`
	Path   store.Path `json:"path,omitempty"`
}

// Host is a read-only tree of the host that a builder sees at Target. Only
// its content is part of the key; where it lies is told by [Graph.AddHost].
type Host struct {
	Target string `json:"target"`
	Hash   string `json:"hash"`
}

// Fixed is the content that the only output must have.
type Fixed struct {
	Algo string `json:"algo"`
	// Hash is the digest in hexadecimal.
	Hash string `json:"hash"`
	// Recursive says that Hash is that of the output's NAR, not of its bytes.
	Recursive bool `json:"recursive,omitempty"`
}

// BuiltinPrefix begins the Builder of a derivation that osbuild itself makes.
const BuiltinPrefix = "builtin:"

// Derivation says how to make one or more items.
type Derivation struct {
	// Name is the name of the item, without its hash.
	Name string `json:"name"`
	// Builder is "builtin:text" or the like, or an absolute path, which may
	// lie in an item or in a host tree.
	Builder string `json:"builder"`
	// Version is that of a builtin: a change of what it makes changes keys.
	Version int `json:"version,omitempty"`
	// System is what a program needs to run, e.g. "x86_64-linux"; a builtin
	// needs none.
	System string            `json:"system,omitempty"`
	Args   []string          `json:"args,omitempty"`
	Env    map[string]string `json:"env,omitempty"`
	Inputs []Input           `json:"inputs,omitempty"`
	Host   []Host            `json:"host,omitempty"`
	// Outputs are names; one called "out" gives an item with the plain Name,
	// any other an item called Name-output. Empty means "out".
	Outputs []string `json:"outputs"`
	Fixed   *Fixed   `json:"fixed,omitempty"`
	// Root is an item with what packages put at /usr for the builder program
	// to see: a tree that holds spec.PackagesRoot. Empty: nothing.
	Root string `json:"root,omitempty"`

	// Pos is where it was declared. It is not part of the key.
	Pos Position `json:"-"`
}

// Builtin is the name of the builtin that makes d, and whether one does.
func (d *Derivation) Builtin() (string, bool) {
	return strings.CutPrefix(d.Builder, BuiltinPrefix)
}

// OutputName is the name of the item that a derivation called name makes for
// one of its outputs.
func OutputName(name, output string) string {
	if output == "out" {
		return name
	}
	return name + "-" + output
}

// Deriver is how the info files of items name the derivation k that made them:
// in the form of a store path's last part, as other readers of such files
// expect it. Its digest holds the first 20 bytes of the key.
func Deriver(k Key, name string) string {
	h, err := store.ParseHash(string(k))
	if err != nil {
		return ""
	}
	const ext = ".drv"
	b32 := h.Base32()
	return b32[len(b32)-digestLen:] + "-" + name[:min(len(name), 211-len(ext))] + ext
}

// Key identifies d. Two derivations with one key make the same items.
func (d *Derivation) Key() Key {
	sum := sha256.Sum256(d.Encode())
	return Key(hex.EncodeToString(sum[:]))
}

// normalise brings the parts whose order has no meaning into one order and
// fills in the default output.
func (d *Derivation) normalise() {
	if len(d.Outputs) == 0 {
		d.Outputs = []string{"out"}
	}
	d.Outputs = slices.Clone(d.Outputs)
	slices.Sort(d.Outputs)
	d.Host = slices.Clone(d.Host)
	slices.SortFunc(d.Host, func(a, b Host) int { return strings.Compare(a.Target, b.Target) })
	d.Inputs = slices.Clone(d.Inputs)
	slices.SortFunc(d.Inputs, compareInputs)
	d.Inputs = slices.Compact(d.Inputs)
}

func compareInputs(a, b Input) int {
	if c := strings.Compare(string(a.Drv), string(b.Drv)); c != 0 {
		return c
	}
	if c := strings.Compare(a.Output, b.Output); c != 0 {
		return c
	}
	return strings.Compare(string(a.Path), string(b.Path))
}

// strings calls f with every string of d that may hold placeholders.
func (d *Derivation) strings(f func(what, s string) error) error {
	if err := f("builder", d.Builder); err != nil {
		return err
	}
	if err := f("root", d.Root); err != nil {
		return err
	}
	for i, a := range d.Args {
		if err := f(fmt.Sprintf("argument %d", i+1), a); err != nil {
			return err
		}
	}
	// Sorted, so that the error for a bad declaration is always the same one.
	for _, k := range sortedKeys(d.Env) {
		if err := f("variable "+k, d.Env[k]); err != nil {
			return err
		}
	}
	return nil
}

// validate checks a normalised derivation.
func (d *Derivation) validate() error {
	if err := store.ValidName(d.Name); err != nil {
		return fmt.Errorf("bad name: %w", err)
	}
	for i, o := range d.Outputs {
		if err := validOutput(d, o); err != nil {
			return err
		}
		if i > 0 && d.Outputs[i-1] == o {
			return fmt.Errorf("output %q is declared twice", o)
		}
	}
	name, builtin := d.Builtin()
	switch {
	case builtin && name == "":
		return fmt.Errorf("builder %q names no builtin", d.Builder)
	case !builtin && !strings.HasPrefix(d.Builder, "/"):
		return fmt.Errorf("builder %q is neither an absolute path nor %sNAME", d.Builder, BuiltinPrefix)
	case !builtin && d.Version != 0:
		return errors.New("only a builtin has a version")
	case builtin && d.Root != "":
		return errors.New("a builtin needs no root")
	}
	if err := d.validateStrings(builtin); err != nil {
		return err
	}
	for i, h := range d.Host {
		if !strings.HasPrefix(h.Target, "/") || h.Hash == "" {
			return fmt.Errorf("host tree %q needs an absolute target and a hash", h.Target)
		}
		if i > 0 && d.Host[i-1].Target == h.Target {
			return fmt.Errorf("two host trees stand at %s", h.Target)
		}
	}
	for _, in := range d.Inputs {
		if err := in.validate(); err != nil {
			return err
		}
	}
	return d.validateFixed()
}

func (d *Derivation) validateStrings(builtin bool) error {
	for k := range d.Env {
		if k == "" || strings.ContainsAny(k, "=\x00") || !utf8.ValidString(k) {
			return fmt.Errorf("bad variable name %q", k)
		}
		if slices.Contains(d.Outputs, k) {
			return fmt.Errorf("variable %q has the name of an output; the build sets it to the output's path", k)
		}
	}
	return d.strings(func(what, s string) error {
		if !utf8.ValidString(s) {
			// The canonical encoding could not tell two such strings apart.
			return fmt.Errorf("%s is not valid UTF-8: put bytes into a file of their own and name that file", what)
		}
		if !builtin && strings.ContainsRune(s, 0) {
			return fmt.Errorf("%s holds a NUL byte, which no program can be given", what)
		}
		return nil
	})
}

func validOutput(d *Derivation, o string) error {
	if o == "" || len(o) > 64 {
		return fmt.Errorf("bad output name %q (want 1 to 64 letters, digits, _ or -)", o)
	}
	for i := range len(o) {
		c := o[i]
		if c != '_' && c != '-' && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') {
			return fmt.Errorf("bad output name %q (want 1 to 64 letters, digits, _ or -)", o)
		}
	}
	if err := store.ValidName(OutputName(d.Name, o)); err != nil {
		return fmt.Errorf("bad name of output %q: %w", o, err)
	}
	return nil
}

func (in Input) validate() error {
	if in.Drv == "" {
		if in.Output != "" {
			return fmt.Errorf("input output %q has no derivation", in.Output)
		}
		_, err := store.ParsePath(string(in.Path))
		return err
	}
	if in.Path != "" || in.Output == "" {
		return fmt.Errorf("input %s is neither one output of a derivation nor one path", in.Drv)
	}
	_, err := ParseKey(string(in.Drv))
	return err
}

// fixedSizes are the digest lengths in bytes of the algorithms that a fixed
// output may use.
func fixedSize(algo string) int {
	switch algo {
	case "md5":
		return 16
	case "sha1":
		return 20
	case "sha256":
		return 32
	case "sha512":
		return 64
	}
	return 0
}

func (d *Derivation) validateFixed() error {
	if d.Fixed == nil {
		return nil
	}
	if len(d.Outputs) != 1 || d.Outputs[0] != "out" {
		return errors.New(`a derivation with a fixed hash has exactly one output, "out"`)
	}
	n := fixedSize(d.Fixed.Algo)
	if n == 0 {
		return fmt.Errorf("unknown hash algorithm %q (known: md5, sha1, sha256, sha512)", d.Fixed.Algo)
	}
	if b, err := hex.DecodeString(d.Fixed.Hash); err != nil || len(b) != n || strings.ToLower(d.Fixed.Hash) != d.Fixed.Hash {
		return fmt.Errorf("bad %s hash %q (want %d lower-case hexadecimal digits)", d.Fixed.Algo, d.Fixed.Hash, 2*n)
	}
	return nil
}

// HostSystem is the system whose programs this machine runs.
func HostSystem() string {
	arch := runtime.GOARCH
	switch arch {
	case "amd64":
		arch = "x86_64"
	case "arm64":
		arch = "aarch64"
	case "386":
		arch = "i686"
	}
	return arch + "-" + runtime.GOOS
}
