// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package builtin

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"osbuild/builder/realise"
)

// ErrUnsafe is wrapped by the error for an archive that would write, or link
// to, something outside of its tree, or that holds what no item can.
var ErrUnsafe = errors.New("the archive is refused")

// An archive may grow by maxRatio when it is unpacked, and always to
// minAllowance: real ones grow by ten, bombs by a thousand. Folders, links and
// empty files count as entrySize each, so that not even they are for free.
const (
	maxRatio     = 200
	minAllowance = 256 << 20
	entrySize    = 512
)

// buildUnpack unpacks a tar archive. Of the metadata only the right to execute
// is kept, as in every item; hard links become copies.
func buildUnpack(ctx context.Context, r realise.Request) error {
	archive := r.Drv.Env["archive"]
	strip, err := strconv.Atoi(r.Drv.Env["strip"])
	if err != nil || strip < 0 {
		return fmt.Errorf("cannot strip %q components of a path", r.Drv.Env["strip"])
	}
	n, err := tree{r.Physical}.resolve(archive)
	if err != nil {
		return err
	}
	f, err := os.Open(n.physical)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("cannot unpack %s: it is no file", archive)
	}
	if err := unpack(ctx, f, max(minAllowance, info.Size()*maxRatio), strip, r.Outs["out"]); err != nil {
		return fmt.Errorf("cannot unpack %s: %w", archive, err)
	}
	return nil
}

// unpack makes out of at most limit bytes of what is in the archive.
func unpack(ctx context.Context, archive io.Reader, limit int64, strip int, out string) error {
	plain, err := decompress(archive)
	if err != nil {
		return err
	}
	if err := os.Mkdir(out, 0o755); err != nil {
		return err
	}
	// Whatever names the checks below might miss, a Root does not leave its
	// folder.
	root, err := os.OpenRoot(out)
	if err != nil {
		return err
	}
	defer root.Close()
	x := &extraction{root: root, strip: strip, left: limit}
	t := tar.NewReader(plain)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if err := x.entry(h, t); err != nil {
			return fmt.Errorf("%q: %w", h.Name, err)
		}
	}
	// What follows the archive's end says whether all of it arrived.
	n, err := io.Copy(io.Discard, io.LimitReader(plain, x.left+1))
	if err := errors.Join(err, x.spend(n)); err != nil {
		return err
	}
	if !x.any {
		return fmt.Errorf("it holds nothing that has more than %d components in its path", strip)
	}
	return nil
}

type extraction struct {
	root  *os.Root
	strip int
	// left is how many bytes may still be unpacked.
	left int64
	any  bool
}

func (x *extraction) entry(h *tar.Header, content io.Reader) error {
	if h.Typeflag == tar.TypeXGlobalHeader {
		return nil
	}
	name, err := x.name(h.Name)
	if err != nil {
		return err
	}
	if err := x.spend(entrySize); err != nil {
		return err
	}
	if name == "" {
		// One of the components that are stripped.
		return nil
	}
	x.any = true
	if h.Typeflag == tar.TypeDir {
		return x.folder(name)
	}
	if name == "." {
		return fmt.Errorf("%w: its top is no folder", ErrUnsafe)
	}
	if err := x.folder(path.Dir(name)); err != nil {
		return err
	}
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeCont, tar.TypeGNUSparse:
		return x.file(name, h.FileInfo().Mode(), content)
	case tar.TypeSymlink:
		return x.link(name, h.Linkname)
	case tar.TypeLink:
		return x.copyOf(name, h.Linkname)
	}
	return fmt.Errorf("%w: it is a %s, which no item can hold", ErrUnsafe, typeName(h.Typeflag))
}

// name checks a path of the archive and strips it: "" when nothing is left.
func (x *extraction) name(n string) (string, error) {
	if n == "" || path.IsAbs(n) || strings.ContainsRune(n, 0) {
		return "", fmt.Errorf("%w: its path is not relative", ErrUnsafe)
	}
	parts := split(n)
	for _, p := range parts {
		if p == ".." {
			return "", fmt.Errorf("%w: its path holds \"..\"", ErrUnsafe)
		}
	}
	if len(parts) == 0 && x.strip == 0 {
		return ".", nil
	}
	if len(parts) <= x.strip {
		return "", nil
	}
	return path.Join(parts[x.strip:]...), nil
}

// spend counts n bytes of what is unpacked.
func (x *extraction) spend(n int64) error {
	if x.left -= n; x.left < 0 {
		return fmt.Errorf("%w: it grows more than %d times when it is unpacked", ErrUnsafe, maxRatio)
	}
	return nil
}

// folder makes a folder and those above it. A link in its place is an error:
// what is unpacked below it would land where the link leads.
func (x *extraction) folder(name string) error {
	if name == "." {
		return nil
	}
	info, err := x.root.Lstat(name)
	switch {
	case err == nil && info.IsDir():
		return nil
	case err == nil:
		return fmt.Errorf("%w: %q is both a folder and something else", ErrUnsafe, name)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if err := x.folder(path.Dir(name)); err != nil {
		return err
	}
	return x.root.Mkdir(name, 0o755)
}

// clear makes room for a file or link: a later entry replaces an earlier one.
func (x *extraction) clear(name string) error {
	info, err := x.root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && info.IsDir() {
		return fmt.Errorf("%w: it is both a folder and something else", ErrUnsafe)
	}
	if err != nil {
		return err
	}
	return x.root.Remove(name)
}

func (x *extraction) file(name string, mode fs.FileMode, content io.Reader) error {
	if err := x.clear(name); err != nil {
		return err
	}
	perm := fs.FileMode(0o644)
	if mode&0o111 != 0 {
		perm = 0o755
	}
	f, err := x.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return err
	}
	n, err := io.Copy(f, io.LimitReader(content, x.left+1))
	return errors.Join(err, f.Close(), x.spend(n))
}

// link makes a symbolic link that stays inside the tree. Going up is allowed
// only at the beginning of its target, where it starts from a real folder:
// behind a name it could start from wherever another link leads.
func (x *extraction) link(name, target string) error {
	if target == "" || path.IsAbs(target) || strings.ContainsRune(target, 0) {
		return fmt.Errorf("%w: it links to %q, which is not relative", ErrUnsafe, target)
	}
	parts := split(target)
	up := 0
	for up < len(parts) && parts[up] == ".." {
		up++
	}
	if up > strings.Count(name, "/") || slices.Contains(parts[up:], "..") {
		return fmt.Errorf("%w: it links to %q, out of the archive", ErrUnsafe, target)
	}
	if err := x.clear(name); err != nil {
		return err
	}
	return x.root.Symlink(target, name)
}

// copyOf makes a copy of an earlier file: items have no hard links.
func (x *extraction) copyOf(name, target string) error {
	from, err := x.name(target)
	if err != nil {
		return err
	}
	if from == "" || from == "." {
		return fmt.Errorf("%w: it is a hard link to %q, which is not unpacked", ErrUnsafe, target)
	}
	if from == name {
		return nil
	}
	info, err := x.root.Lstat(from)
	if err != nil {
		return fmt.Errorf("cannot follow the hard link: %w", err)
	}
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		text, err := x.root.Readlink(from)
		if err != nil {
			return err
		}
		return x.link(name, text)
	case !info.Mode().IsRegular():
		return fmt.Errorf("%w: it is a hard link to a folder", ErrUnsafe)
	}
	f, err := x.root.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	return x.file(name, info.Mode(), f)
}

func typeName(flag byte) string {
	switch flag {
	case tar.TypeChar, tar.TypeBlock:
		return "device"
	case tar.TypeFifo:
		return "pipe"
	}
	return fmt.Sprintf("special file of type %q", flag)
}
