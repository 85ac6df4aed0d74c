// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

// Package apt reads the apt configuration of a host and brings what its
// archives hold: indexes that the right keys signed, and files whose hash is
// known.
//
// It owns everything between a line of sources.list and verified bytes:
// sources, keyrings, proxies, credentials, release files, the cache of
// indexes, downloads. It never chooses a package, never looks into a .deb, and
// trusts no byte before a signature or a hash has vouched for it. Start with
// [Open], then [Host.Indexes] and [Host.Fetch].
package apt

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"osbuild/builder/debian/control"
	"osbuild/builder/debian/lock"
)

// Config says where the configuration lies and how to work.
type Config struct {
	// Root is the root of the host whose configuration is read, "/" when
	// empty. The URIs file: and copy: in it are not below Root.
	Root string
	// Cache is the folder for indexes; several processes may share it. Empty
	// means that nothing is kept.
	Cache string
	// Offline forbids the network: the indexes of the last time are used.
	Offline bool
	// Now is the clock that signatures and release files are checked with.
	Now func() time.Time
	// Progress hears of downloads; total is -1 where the size is not known. It
	// is called by several goroutines.
	Progress func(what string, done, total int64)
	// Warn hears what the user should know but nobody has to act on. It is
	// called by one goroutine at a time.
	Warn func(string)
}

// Host is the apt configuration of a host.
type Host struct {
	cfg      Config
	conf     *conf
	auth     []credential
	archives []*archive
	client   *http.Client
	// pause waits between two attempts; tests do not.
	pause func(ctx context.Context, d time.Duration) error
	// silence is how long a server may say nothing.
	silence time.Duration

	warnMu sync.Mutex
	warned map[string]bool

	proxyMu sync.Mutex
	proxies map[string]string // what the program for finding them said

	keyMu    sync.Mutex
	keyrings map[string]*keyring // by Signed-By

	newerOnce sync.Once
	newer     map[string]*control.Package
	newerErr  error
}

// IndexOptions chooses what Indexes reads.
type IndexOptions struct {
	// Arch is the architecture as dpkg names it; empty means the host's.
	Arch string
	// Suites restricts the archives to these suites; nil means all.
	Suites []string
	// Known are suites that were read before, from a lock: an older state of
	// one of them is refused.
	Known []lock.Suite
}

// Snapshot is what the archives held at one moment.
type Snapshot struct {
	Suites   []lock.Suite
	Packages []*control.Package
}

// File names one file of an archive, and what it has to be.
type File struct {
	Suite, Path, SHA256 string
	Size                int64
}

// Open reads the configuration of the host; it does not use the network.
func Open(ctx context.Context, cfg Config) (*Host, error) {
	if cfg.Root == "" {
		cfg.Root = "/"
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Progress == nil {
		cfg.Progress = func(string, int64, int64) {}
	}
	if cfg.Warn == nil {
		cfg.Warn = func(string) {}
	}
	h := &Host{
		cfg: cfg, pause: sleep, silence: serverSilence,
		warned: map[string]bool{}, proxies: map[string]string{}, keyrings: map[string]*keyring{},
	}
	var err error
	if h.conf, err = readConf(ctx, cfg.Root); err != nil {
		return nil, err
	}
	if h.auth, err = h.readAuth(); err != nil {
		return nil, err
	}
	entries, err := h.readSources()
	if err != nil {
		return nil, err
	}
	if h.archives, err = h.makeArchives(entries); err != nil {
		return nil, err
	}
	if len(h.archives) == 0 {
		return nil, fmt.Errorf("cannot find an archive of packages: %s and %s name none (osbuild takes packages from the apt sources of the host: add one, for example in %s)",
			h.path("sources.list"), h.path("sources.list.d"), h.path("sources.list.d/debian.sources"))
	}
	if h.client, err = h.newClient(); err != nil {
		return nil, err
	}
	return h, nil
}

// path gives the place of a file or folder of apt's configuration, which may
// have been moved.
func (h *Host) path(name string) string {
	top, file, _ := strings.Cut(name, "/")
	for _, option := range [][2]string{{pathOptions[top], top}, {"Dir::Etc", "etc/apt"}, {"Dir", "/"}} {
		part := option[1]
		if moved := h.conf.get(option[0]); moved != "" {
			part = moved
		}
		if file = filepath.Join(part, file); filepath.IsAbs(file) {
			break
		}
	}
	return filepath.Join(h.cfg.Root, file)
}

// pathOptions are the options that move the files of the configuration.
var pathOptions = map[string]string{
	"sources.list":   "Dir::Etc::SourceList",
	"sources.list.d": "Dir::Etc::SourceParts",
	"trusted.gpg":    "Dir::Etc::Trusted",
	"trusted.gpg.d":  "Dir::Etc::TrustedParts",
	"auth.conf":      "Dir::Etc::Netrc",
	"auth.conf.d":    "Dir::Etc::NetrcParts",
}

// Arch is the architecture of the host as dpkg names it.
func (h *Host) Arch() string {
	if a := h.conf.get("APT::Architecture"); a != "" {
		return a
	}
	return goArch()
}

// Suites names the suites of the configuration, in its order.
func (h *Host) Suites() []string {
	var names []string
	seen := map[string]bool{}
	for _, a := range h.archives {
		if !seen[a.suite] {
			seen[a.suite] = true
			names = append(names, a.suite)
		}
	}
	return names
}

// warn tells the user something once.
func (h *Host) warn(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	h.warnMu.Lock()
	defer h.warnMu.Unlock()
	if !h.warned[text] {
		h.warned[text] = true
		h.cfg.Warn(text)
	}
}

// suiteName is the word of the configuration in the name of a suite in a
// lock: two archives may call their suites alike, and the second of them is
// then told apart by what comes after the @.
func suiteName(locked string) string {
	name, _, _ := strings.Cut(locked, "@")
	return name
}
