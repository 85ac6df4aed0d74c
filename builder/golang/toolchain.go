// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package golang

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"strings"

	"osbuild/builder/derivation"
	"osbuild/store"
)

// toolchainDir is where a build sees the toolchain.
const toolchainDir = "/go"

// ErrNoToolchain is wrapped by the error for a machine without Go.
var ErrNoToolchain = errors.New("there is no Go toolchain")

// Toolchain is a Go distribution of the host.
type Toolchain struct {
	// Root is its GOROOT on the host.
	Root string
	// Version is such as "go1.26.0".
	Version string

	arch  string
	parts []part
}

// part is a folder of a toolchain that builds use.
type part struct{ target, hash, physical string }

func (tc *Toolchain) hosts() []derivation.Host {
	var hosts []derivation.Host
	for _, p := range tc.parts {
		hosts = append(hosts, derivation.Host{Target: p.target, Hash: p.hash})
	}
	return hosts
}

// folders are all that a build sees of a GOROOT, one by one, because
// distributions make links of some of them. The version of the tools is in the
// tools; go.env holds defaults for variables that the build sets itself.
var folders = []struct {
	name     string
	optional bool
	filter   store.Filter
}{
	{"bin", false, nil},
	{"lib", true, nil},
	{"pkg/include", true, nil},
	{"pkg/tool", false, nil},
	{"src", false, compiled},
}

// compiled leaves out of src what gets into no program, two thirds of it: the
// tools' own sources, which no other module can import, and tests.
func compiled(rel, _ string) bool {
	base := path.Base(rel)
	return rel != "cmd" && base != "testdata" && !strings.HasSuffix(base, "_test.go")
}

// HostToolchain finds the toolchain whose go command is in the PATH, and
// hashes it.
func HostToolchain(ctx context.Context, h derivation.Hasher) (*Toolchain, error) {
	root, err := findRoot(ctx)
	if err != nil {
		return nil, err
	}
	tc := &Toolchain{Root: root, arch: runtime.GOARCH}
	version, err := os.ReadFile(filepath.Join(root, "VERSION"))
	if err != nil {
		return nil, fmt.Errorf("cannot use the Go toolchain %s: %w", root, err)
	}
	tc.Version, _, _ = strings.Cut(string(version), "\n")
	if old(tc.Version) {
		return nil, fmt.Errorf("cannot use the Go toolchain %s: it is %s, and builds need go1.%d or later", root, tc.Version, oldest)
	}
	for _, f := range folders {
		physical, err := filepath.EvalSymlinks(filepath.Join(root, f.name))
		if f.optional && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("cannot use the Go toolchain %s: %w; install all of it, with its sources", root, err)
		}
		hash, _, err := h.HashTree(ctx, physical, f.filter)
		if err != nil {
			return nil, fmt.Errorf("cannot use the Go toolchain %s: %w", root, err)
		}
		tc.parts = append(tc.parts, part{toolchainDir + "/" + f.name, hash.Hex(), physical})
	}
	return tc, nil
}

// findRoot finds the GOROOT of the go command in the PATH: mostly it is where
// the command really lies; a wrapper is asked.
func findRoot(ctx context.Context) (string, error) {
	command, err := exec.LookPath("go")
	if err != nil {
		return "", fmt.Errorf("cannot find the go command in the PATH: %w: install one (such as the Debian package golang-go), or add its bin folder to PATH", ErrNoToolchain)
	}
	real, err := filepath.EvalSymlinks(command)
	if err != nil {
		return "", fmt.Errorf("cannot find the Go toolchain: %w", err)
	}
	if root := filepath.Dir(filepath.Dir(real)); isRoot(root) {
		return root, nil
	}
	cmd := exec.CommandContext(ctx, command, "env", "GOROOT")
	cmd.Env = append(os.Environ(), "GOTOOLCHAIN=local")
	out, err := cmd.Output()
	root := strings.TrimSpace(string(out))
	if err != nil || !isRoot(root) {
		return "", fmt.Errorf("cannot find the toolchain of %s: `go env GOROOT` says %q: %w", command, root, errors.Join(err, ErrNoToolchain))
	}
	return root, nil
}

func isRoot(dir string) bool {
	for _, name := range []string{"VERSION", "bin/go", "pkg/tool", "src/runtime"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			return false
		}
	}
	return true
}

// oldest is the first Go 1 release whose `go build` knows -C.
const oldest = 20

// old says whether a version is too old; what is no release, such as a
// development version, is taken for a new one.
func old(version string) bool {
	var minor int
	n, err := fmt.Sscanf(version, "go1.%d", &minor)
	return err == nil && n == 1 && minor < oldest
}
