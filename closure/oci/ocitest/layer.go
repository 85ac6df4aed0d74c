// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package ocitest

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// readLayer reads a layer and holds it against its digests.
func readLayer(dir string, d descriptor, diffID string) ([]File, error) {
	packed, err := d.read(dir)
	if err != nil {
		return nil, err
	}
	var r io.Reader
	switch d.MediaType {
	case "application/vnd.oci.image.layer.v1.tar+zstd":
		dec, err := zstd.NewReader(bytes.NewReader(packed), zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, err
		}
		defer dec.Close()
		r = dec
	case "application/vnd.oci.image.layer.v1.tar+gzip":
		if r, err = gzip.NewReader(bytes.NewReader(packed)); err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("unknown type %q", d.MediaType)
	}
	plain, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.Digest, err)
	}
	if sum := sha256.Sum256(plain); "sha256:"+hex.EncodeToString(sum[:]) != diffID {
		return nil, fmt.Errorf("%s does not unpack to %s", d.Digest, diffID)
	}
	return Entries(plain)
}

// Entries reads an archive that must end where it says that it ends.
func Entries(plain []byte) ([]File, error) {
	// Readers of archives read ahead; this one has nothing to read ahead of
	// the end but the end itself.
	const end = 2 * 512
	if len(plain) < end || len(bytes.Trim(plain[len(plain)-end:], "\x00")) != 0 {
		return nil, errors.New("the archive has no end")
	}
	in := bytes.NewReader(plain)
	t := tar.NewReader(in)
	seen := map[string]bool{}
	var files []File
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		f, err := file(t, h)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", h.Name, err)
		}
		above := path.Dir(f.Path)
		if seen[f.Path] || above != "." && !seen[above] {
			return nil, fmt.Errorf("%q is there twice, or stands before its folder", h.Name)
		}
		seen[f.Path] = true
		files = append(files, f)
	}
	if in.Len() != 0 {
		return nil, fmt.Errorf("%d bytes follow the end of the archive", in.Len())
	}
	return files, nil
}

// file is a header, and the content behind it, as a File.
func file(r io.Reader, h *tar.Header) (File, error) {
	f := File{
		Path: strings.TrimSuffix(h.Name, "/"), Mode: h.Mode, UID: h.Uid, GID: h.Gid,
		Target: h.Linkname, Time: h.ModTime.Unix(),
	}
	switch {
	case !fs.ValidPath(f.Path):
		return f, errors.New("the path is not relative and clean")
	case strings.HasPrefix(path.Base(f.Path), ".wh."):
		return f, errors.New("the name means that a file is deleted")
	case h.Uname != "" || h.Gname != "" || !h.AccessTime.IsZero() || !h.ChangeTime.IsZero():
		return f, errors.New("the header says what differs between machines")
	}
	switch h.Typeflag {
	case tar.TypeReg:
		f.Kind = "file"
		hash := sha256.New()
		if _, err := io.Copy(hash, r); err != nil {
			return f, err
		}
		f.Content = hex.EncodeToString(hash.Sum(nil))[:8]
	case tar.TypeDir:
		f.Kind = "dir"
	case tar.TypeSymlink:
		f.Kind = "link"
	default:
		return f, fmt.Errorf("unknown kind %q", h.Typeflag)
	}
	return f, nil
}
