// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package apt

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
)

// conf is apt's configuration: options by their full name in lower case, as
// apt compares them so.
type conf struct{ values map[string]string }

// get returns an option's value, "" when it is not set.
func (c *conf) get(name string) string { return c.values[strings.ToLower(name)] }

// flag returns an option that says yes or no.
func (c *conf) flag(name string, otherwise bool) bool {
	if b, ok := parseBool(c.get(name)); ok {
		return b
	}
	return otherwise
}

// seconds returns an option that is a number.
func (c *conf) number(name string) (int, bool) {
	n, err := strconv.Atoi(c.get(name))
	return n, err == nil && n >= 0
}

// parseBool knows apt's words for yes and no.
func parseBool(s string) (value, ok bool) {
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "yes", "true", "with", "on", "enable", "1":
		return true, true
	case "no", "false", "without", "off", "disable", "0":
		return false, true
	}
	return false, false
}

// readConf asks apt-config, which knows apt's defaults and every way to change
// them. Where the host has none, or its configuration is not that of /, the
// files are read here.
func readConf(ctx context.Context, root string) (*conf, error) {
	if filepath.Clean(root) == "/" {
		if program, err := exec.LookPath("apt-config"); err == nil {
			out, err := exec.CommandContext(ctx, program, "dump").Output()
			if err != nil {
				return nil, fmt.Errorf("cannot read the configuration of apt: apt-config dump: %w", execError(err))
			}
			return parseDump(out), nil
		}
	}
	c := &conf{values: map[string]string{}}
	files, err := parts(filepath.Join(root, "etc/apt/apt.conf.d"), "", ".conf")
	if err != nil {
		return nil, err
	}
	for _, file := range append(files, filepath.Join(root, "etc/apt/apt.conf")) {
		data, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = c.parse(data)
		}
		if err != nil {
			return nil, fmt.Errorf("cannot read the configuration of apt: %s: %w", file, bare(err))
		}
	}
	return c, nil
}

// parseDump reads what apt-config prints: an option a line, its value as it
// is between the first and the last quote.
func parseDump(out []byte) *conf {
	c := &conf{values: map[string]string{}}
	s := bufio.NewScanner(bytes.NewReader(out))
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		name, value, ok := strings.Cut(s.Text(), " \"")
		if value, found := strings.CutSuffix(value, "\";"); ok && found {
			c.values[strings.ToLower(name)] = value
		}
	}
	return c
}

// parse reads a file in apt's own form: `A::B "value";`, blocks
// `A { B "value"; };` in each other, comments of C++ and of the shell. Lists
// (`A:: "value";`) are passed over, as no option that is used here is one, and
// so are #include and #clear.
func (c *conf) parse(data []byte) error {
	in := confReader{data: data}
	var blocks []string
	var words []string
	for {
		token, kind, err := in.next()
		switch {
		case err != nil:
			return err
		case kind == tokenEnd:
			if len(blocks) > 0 {
				return fmt.Errorf("line %d: the block %s is not closed", in.line(), strings.Join(blocks, "::"))
			}
			return nil
		case kind == tokenWord:
			words = append(words, token)
		case token == "{":
			if len(words) == 0 || len(blocks) == 64 {
				return fmt.Errorf("line %d: a block without a name, or too deep", in.line())
			}
			blocks = append(blocks, words[0])
			words = nil
		case token == "}":
			if len(blocks) == 0 {
				return fmt.Errorf("line %d: a closing brace too many", in.line())
			}
			blocks = blocks[:len(blocks)-1]
			words = nil
		default: // ;
			if len(words) == 2 && !strings.HasSuffix(words[0], "::") {
				name := strings.Join(append(blocks[:len(blocks):len(blocks)], words[0]), "::")
				c.values[strings.ToLower(name)] = words[1]
			}
			words = nil
		}
	}
}

type confToken int

const (
	tokenEnd confToken = iota
	tokenWord
	tokenSign
)

type confReader struct {
	data []byte
	at   int
}

func (r *confReader) line() int { return 1 + bytes.Count(r.data[:r.at], []byte("\n")) }

// next returns the next word, without its quotes, or one of { } and ;.
func (r *confReader) next() (string, confToken, error) {
	for r.at < len(r.data) {
		rest := r.data[r.at:]
		switch c := rest[0]; {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			r.at++
		case c == '#' || bytes.HasPrefix(rest, []byte("//")):
			r.at += endOf(rest, "\n")
		case bytes.HasPrefix(rest, []byte("/*")):
			r.at += endOf(rest, "*/")
		case c == '{' || c == '}' || c == ';':
			r.at++
			return string(c), tokenSign, nil
		case c == '"':
			end := bytes.IndexByte(rest[1:], '"')
			if end < 0 {
				return "", 0, fmt.Errorf("line %d: a quote is not closed", r.line())
			}
			r.at += end + 2
			return string(rest[1 : 1+end]), tokenWord, nil
		default:
			end := bytes.IndexAny(rest, " \t\r\n{};\"")
			if end < 0 {
				end = len(rest)
			}
			r.at += end
			return string(rest[:end]), tokenWord, nil
		}
	}
	return "", tokenEnd, nil
}

// endOf returns how many bytes there are up to and with the mark.
func endOf(data []byte, mark string) int {
	if i := bytes.Index(data, []byte(mark)); i >= 0 {
		return i + len(mark)
	}
	return len(data)
}

// parts lists the files of a folder of configuration that apt would read: no
// hidden ones, only letters, digits and -_. in the name, and one of the
// suffixes; the suffix "" stands for a name without a dot.
func parts(dir string, suffixes ...string) ([]string, error) {
	entries, err := os.ReadDir(dir) // sorted
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the configuration of apt: %w", err)
	}
	var files []string
	for _, e := range entries {
		name := e.Name()
		for _, suffix := range suffixes {
			if partName(name) && filepath.Ext(name) == suffix {
				if info, err := os.Stat(filepath.Join(dir, name)); err == nil && info.Mode().IsRegular() {
					files = append(files, filepath.Join(dir, name))
				}
			}
		}
	}
	return files, nil
}

func partName(name string) bool {
	for i := range len(name) {
		c := name[i]
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !letter && (i == 0 || !strings.ContainsRune("-_.:", rune(c))) {
			return false
		}
	}
	return name != ""
}

// goArch is the architecture of this program as dpkg names it.
func goArch() string {
	switch runtime.GOARCH {
	case "386":
		return "i386"
	case "arm":
		return "armhf"
	case "ppc64le":
		return "ppc64el"
	case "mips64le":
		return "mips64el"
	case "loong64":
		return "loong64"
	}
	return runtime.GOARCH
}

// execError adds what a program said to the error of its end.
func execError(err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) && len(exit.Stderr) > 0 {
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(string(exit.Stderr)))
	}
	return err
}

// bare is the reason of a failed file operation without its path, which the
// caller names anyway.
func bare(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
