// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package items

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"osbuild/builder/debian/apt"
	"osbuild/builder/debian/deb"
	"osbuild/builder/debian/recipe"
	"osbuild/builder/derivation"
	"osbuild/builder/realise"
)

// debBuiltin fetches packages and unpacks them.
type debBuiltin struct {
	open func() (Archive, error)
	// work bounds how many are unpacked at once: more are fetched than there
	// are processors.
	work chan struct{}
}

func (b *debBuiltin) Name() string { return recipe.BuiltinDeb }

func (b *debBuiltin) Version() int { return recipe.VersionDeb }

// DownloadSize implements realise.Downloader.
func (b *debBuiltin) DownloadSize(d *derivation.Derivation) int64 {
	size, _ := strconv.ParseInt(d.Env["size"], 10, 64)
	return size
}

// Build implements realise.Builtin.
func (b *debBuiltin) Build(ctx context.Context, r realise.Request) error {
	env := r.Drv.Env
	size, err := strconv.ParseInt(env["size"], 10, 64)
	if err != nil {
		return fmt.Errorf("cannot fetch %s: its size is %q", env["package"], env["size"])
	}
	f := apt.File{Suite: env["suite"], Path: env["path"], SHA256: env["sha256"], Size: size}
	// Parsed is what is verified: one file that no other name leads to.
	local, err := os.OpenFile(filepath.Join(r.TempDir, "deb"), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer local.Close()
	if err := os.Remove(local.Name()); err != nil {
		return err
	}
	if err := b.fetch(ctx, r, f, local); err != nil {
		return err
	}
	select {
	case b.work <- struct{}{}:
		defer func() { <-b.work }()
	case <-ctx.Done():
		return ctx.Err()
	}
	meta, err := deb.Unpack(ctx, local, size, r.Outs["out"])
	if err != nil {
		return fmt.Errorf("cannot unpack %s %s: %w", env["package"], env["version"], err)
	}
	return agree(meta, env)
}

// fetch writes the file to local, and makes sure that it is the right one.
func (b *debBuiltin) fetch(ctx context.Context, r realise.Request, f apt.File, local *os.File) error {
	name, version := r.Drv.Env["package"], r.Drv.Env["version"]
	archive, err := b.open()
	if err != nil {
		return fmt.Errorf("cannot fetch %s %s: %w", name, version, err)
	}
	w := &verifier{file: local, sum: sha256.New(), size: f.Size, progress: r.Progress}
	err = archive.Fetch(ctx, f, w)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, apt.ErrGone):
		return gone(ctx, archive, name, version)
	case errors.Is(err, apt.ErrOffline):
		return fmt.Errorf("cannot fetch %s %s: it is not in the store, and %w: run the command once with the network", name, version, apt.ErrOffline)
	default:
		return fmt.Errorf("cannot fetch %s %s: %w", name, version, err)
	}
	if w.got != f.Size {
		return fmt.Errorf("cannot fetch %s %s: it has %d bytes, and the lock says %d", name, version, w.got, f.Size)
	}
	if sum := hex.EncodeToString(w.sum.Sum(nil)); sum != f.SHA256 {
		return fmt.Errorf("cannot fetch %s %s: its SHA-256 is %s, and the lock says %s", name, version, sum, f.SHA256)
	}
	return nil
}

// gone is the error for a version that the archive dropped.
func gone(ctx context.Context, archive Archive, name, version string) error {
	now, suite, err := archive.Newer(ctx, name)
	switch {
	case err == nil && now == "":
		return fmt.Errorf("cannot fetch %s %s: no mirror has it any more, nor any other version: take another package, or add an apt source that has it", name, version)
	case err != nil || now == version:
		return fmt.Errorf("cannot fetch %s %s: no mirror has it any more: run `osbuild lock --update %s FILE`", name, version, name)
	}
	return fmt.Errorf("cannot fetch %s %s: no mirror has it any more; %s has %s: run `osbuild lock --update %s FILE`", name, version, suite, now, name)
}

// verifier writes a download to a file and hashes it. A download that begins
// anew, at another mirror, begins the file anew.
type verifier struct {
	file      *os.File
	sum       hash.Hash
	got, size int64
	progress  func(done, total int64)
}

func (v *verifier) Write(p []byte) (int, error) {
	if v.got += int64(len(p)); v.got > v.size {
		return 0, fmt.Errorf("it has more than the %d bytes that the lock says", v.size)
	}
	v.sum.Write(p)
	n, err := v.file.Write(p)
	if err == nil {
		v.progress(v.got, v.size)
	}
	return n, err
}

// Truncate and Seek are how a download begins anew; they know no other place
// than the beginning.
func (v *verifier) Truncate(int64) error {
	v.sum.Reset()
	v.got = 0
	_, err := v.file.Seek(0, io.SeekStart)
	return errors.Join(err, v.file.Truncate(0))
}

func (v *verifier) Seek(int64, int) (int64, error) { return 0, nil }

// agree makes sure that the package is the one that was asked for.
func agree(m *deb.Meta, env map[string]string) error {
	for _, f := range []struct{ field, got, want string }{
		{"Package", m.Package, env["package"]},
		{"Version", m.Version, env["version"]},
		{"Architecture", m.Architecture, env["architecture"]},
	} {
		if f.got != f.want {
			return fmt.Errorf("cannot use %s %s: its field %s is %q, and the lock says %q", env["package"], env["version"], f.field, f.got, f.want)
		}
	}
	return nil
}
