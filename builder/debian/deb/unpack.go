// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package deb

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// ErrFormat is wrapped by the error for something that is no package, or a
// damaged one; ErrUnsafe by the one for a package that would write outside of
// its folder, or that holds what no item can.
var (
	ErrFormat = errors.New("it is no sound package")
	ErrUnsafe = errors.New("it is refused")
)

// A package may become eight times as large as it says, because hard links
// become copies, and 200 times as large as it is, but always as large as
// minAllowance, and never larger than maxUnpacked. Each entry counts as
// entrySize, so that not even folders are for free.
const (
	minAllowance = 256 << 20
	maxUnpacked  = 32 << 30
	maxGrowth    = 8
	maxRatio     = 200
	entrySize    = 512
	maxEntries   = 1 << 20
)

// bufferSize is how much is written at once.
const bufferSize = 256 << 10

// Unpack makes the folder dir, which must not be there, of the package with
// these bytes: the form of a deb item. The caller has checked that they are
// the ones he wants, and removes the folder where there is an error.
func Unpack(ctx context.Context, r io.ReaderAt, size int64, dir string) (*Meta, error) {
	members, err := readAr(r, size)
	if err != nil {
		return nil, err
	}
	p, err := split(members)
	if err != nil {
		return nil, err
	}
	buf := make([]byte, bufferSize)
	files, err := readControl(p.control, buf)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.control.name, err)
	}
	meta, err := newMeta(files)
	if err != nil {
		return nil, err
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	if err := writeControl(dir, files); err != nil {
		return nil, err
	}
	limit := min(minAllowance+maxGrowth*1024*meta.InstalledSize, max(minAllowance, size*maxRatio), maxUnpacked)
	x := &extraction{left: limit, limit: limit, buf: buf}
	if err := x.all(ctx, p.data, filepath.Join(dir, RootDir)); err != nil {
		return nil, fmt.Errorf("%s: %w", p.data.name, err)
	}
	if meta.Owners, err = x.owners(); err != nil {
		return nil, fmt.Errorf("%s: %w", p.data.name, err)
	}
	data, err := meta.encode()
	if err != nil {
		return nil, err
	}
	return meta, os.WriteFile(filepath.Join(dir, MetaFile), data, 0o444)
}

func writeControl(dir string, files map[string][]byte) error {
	root, err := makeRoot(filepath.Join(dir, ControlDir))
	if err != nil {
		return err
	}
	defer root.Close()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := root.WriteFile(name, files[name], 0o444); err != nil {
			return err
		}
	}
	return nil
}

// makeRoot makes a folder and opens it in the way that nothing leads out of:
// whatever names the checks of this package might miss.
func makeRoot(dir string) (*os.Root, error) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	return os.OpenRoot(dir)
}

// all unpacks the data archive to a new folder.
func (x *extraction) all(ctx context.Context, m member, dir string) error {
	plain, done, err := m.open()
	if err != nil {
		return err
	}
	defer done()
	if x.top, err = makeRoot(dir); err != nil {
		return err
	}
	defer x.close()
	x.nodes = map[string]*node{".": {kind: folder, mode: 0o755}}
	in := bound(plain, x.limit)
	t := tar.NewReader(in)
	for n := 0; ; n++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return tarError(err)
		}
		if n == maxEntries {
			return fmt.Errorf("%w: it has more than %d entries", ErrUnsafe, maxEntries)
		}
		if err := x.entry(h, t); err != nil {
			return fmt.Errorf("%q: %w", h.Name, err)
		}
	}
	return drain(in, x.buf)
}

// entry unpacks one file, folder or link.
func (x *extraction) entry(h *tar.Header, content io.Reader) error {
	if err := checkHeader(h); err != nil {
		return err
	}
	clean, err := cleanName(h.Name)
	if err != nil {
		return err
	}
	if err := x.spend(entrySize); err != nil {
		return err
	}
	n := &node{mode: uint32(h.Mode) & 0o7777, user: ownerName(h.Uname, h.Uid), group: ownerName(h.Gname, h.Gid), explicit: true}
	name := merge(clean)
	switch {
	case h.Typeflag == tar.TypeDir:
		n.kind = folder
		return x.folder(name, n)
	case clean == ".":
		return fmt.Errorf("%w: its top is no folder", ErrUnsafe)
	case merged[clean]:
		// In newer releases the base system brings the links themselves.
		if h.Typeflag == tar.TypeSymlink && (h.Linkname == name || h.Linkname == "/"+name) {
			return nil
		}
		return fmt.Errorf("%w: it stands where the link to /%s must be", ErrUnsafe, name)
	}
	switch h.Typeflag {
	case tar.TypeReg:
		n.kind = file
		return x.file(name, n, h.Size, content)
	case tar.TypeSymlink:
		n.kind, n.target = link, h.Linkname
		return x.link(name, n)
	case tar.TypeLink:
		return x.hardLink(name, h.Linkname)
	}
	return fmt.Errorf("%w: it is a %s, which no item can hold", ErrUnsafe, typeName(h.Typeflag))
}
