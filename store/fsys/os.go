// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package fsys

import (
	"errors"
	"io/fs"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// OS is the real file system. It calls the kernel directly: the os package
// tries to register every file with the poller, which costs an extra call
// for each of the many small files of a tree.
type OS struct {
	// Lazy leaves it to the kernel when files are written to the disk.
	Lazy bool
}

var _ FS = OS{}

type osFile struct {
	fd      int
	path    string
	written int
	lazy    bool
}

// writebackFrom is the size from which a finished file is sent to the disk at
// once: it must be there at the command's end anyway, and the disk is idle
// meanwhile. The many small files are better written in one go by the kernel.
const writebackFrom = 1 << 20

// retry repeats a call that a signal interrupted.
func retry(f func() error) error {
	for {
		if err := f(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

func pathError(op, path string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: path, Err: err}
}

func open(path string, flags int, perm fs.FileMode) (int, error) {
	var fd int
	err := retry(func() (err error) {
		fd, err = unix.Open(path, flags|unix.O_CLOEXEC, uint32(perm.Perm()))
		return err
	})
	return fd, pathError("open", path, err)
}

func (o OS) openFile(path string, flags int, perm fs.FileMode) (File, error) {
	fd, err := open(path, flags|unix.O_WRONLY, perm)
	if err != nil {
		return nil, err
	}
	return &osFile{fd: fd, path: path, lazy: o.Lazy}, nil
}

// Create implements FS.
func (o OS) Create(path string, perm fs.FileMode) (File, error) {
	return o.openFile(path, unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW, perm)
}

// Append implements FS.
func (o OS) Append(path string, perm fs.FileMode) (File, error) {
	return o.openFile(path, unix.O_CREAT|unix.O_APPEND, perm)
}

// Modify implements FS.
func (o OS) Modify(path string) (File, error) { return o.openFile(path, unix.O_NOFOLLOW, 0) }

// OpenLock implements FS.
func (OS) OpenLock(path string) (*os.File, error) {
	fd, err := open(path, unix.O_RDWR|unix.O_CREAT|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), path), nil
}

// Mkdir implements FS.
func (OS) Mkdir(path string, perm fs.FileMode) error {
	return pathError("mkdir", path, retry(func() error { return unix.Mkdir(path, uint32(perm.Perm())) }))
}

// Symlink implements FS.
func (OS) Symlink(target, path string) error {
	return pathError("symlink", path, retry(func() error { return unix.Symlink(target, path) }))
}

// Rename implements FS. Unlike os.Rename it lets a link or file replace
// another, and nothing else.
func (OS) Rename(from, to string) error {
	if err := retry(func() error { return unix.Rename(from, to) }); err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return nil
}

// Exchange implements FS, see renameat2(2).
func (OS) Exchange(a, b string) error {
	err := retry(func() error {
		return unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE)
	})
	if err != nil {
		return &os.LinkError{Op: "exchange", Old: a, New: b, Err: err}
	}
	return nil
}

// Link implements FS.
func (OS) Link(from, to string) error {
	err := retry(func() error { return unix.Linkat(unix.AT_FDCWD, from, unix.AT_FDCWD, to, 0) })
	if err != nil {
		return &os.LinkError{Op: "link", Old: from, New: to, Err: err}
	}
	return nil
}

// Clone implements FS, see ioctl_ficlone(2).
func (o OS) Clone(from, to string, perm fs.FileMode, t time.Time) error {
	src, err := open(from, unix.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer unix.Close(src) // only read
	dst, err := o.openFile(to, unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	f := dst.(*osFile)
	err = retry(func() error { return unix.IoctlFileClone(f.fd, src) })
	if err == nil {
		return f.Finish(perm, t)
	}
	return errors.Join(&os.LinkError{Op: "clone", Old: from, New: to, Err: err}, f.Close(), o.Remove(to))
}

// Remove implements FS.
func (OS) Remove(path string) error {
	err := retry(func() error { return unix.Unlink(path) })
	if errors.Is(err, unix.EISDIR) || errors.Is(err, unix.EPERM) {
		if derr := retry(func() error { return unix.Rmdir(path) }); !errors.Is(derr, unix.ENOTDIR) {
			err = derr
		}
	}
	return pathError("remove", path, err)
}

// Chmod implements FS. The caller knows that path is no link.
func (OS) Chmod(path string, perm fs.FileMode) error {
	return pathError("chmod", path, retry(func() error { return unix.Chmod(path, uint32(perm.Perm())) }))
}

// Chown implements FS.
func (OS) Chown(path string, uid, gid int) error {
	return pathError("chown", path, retry(func() error { return unix.Lchown(path, uid, gid) }))
}

// SetTime implements FS.
func (OS) SetTime(path string, t time.Time) error {
	return pathError("utimensat", path, retry(func() error {
		return unix.UtimesNanoAt(unix.AT_FDCWD, path, timespecs(t), unix.AT_SYMLINK_NOFOLLOW)
	}))
}

// RemoveXattr implements FS.
func (OS) RemoveXattr(path, attr string) error {
	return pathError("lremovexattr", path, retry(func() error { return unix.Lremovexattr(path, attr) }))
}

// Sync implements FS.
func (OS) Sync(path string) error {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return pathError("open", path, err)
	}
	defer unix.Close(fd)
	return pathError("syncfs", path, retry(func() error { return unix.Syncfs(fd) }))
}

func timespecs(t time.Time) []unix.Timespec {
	ts := unix.NsecToTimespec(t.UnixNano())
	return []unix.Timespec{ts, ts}
}

func (f *osFile) Write(p []byte) (int, error) {
	done := 0
	for done < len(p) {
		var n int
		err := retry(func() (err error) {
			n, err = unix.Write(f.fd, p[done:])
			return err
		})
		if err != nil {
			return done, pathError("write", f.path, err)
		}
		done += n
	}
	f.written += done
	return done, nil
}

func (f *osFile) WriteAt(p []byte, off int64) (int, error) {
	done := 0
	for done < len(p) {
		var n int
		err := retry(func() (err error) {
			n, err = unix.Pwrite(f.fd, p[done:], off+int64(done))
			return err
		})
		if err != nil {
			return done, pathError("write", f.path, err)
		}
		done += n
	}
	return done, nil
}

// Finish implements File.
func (f *osFile) Finish(perm fs.FileMode, t time.Time) error {
	if f.written >= writebackFrom && !f.lazy {
		// Only a hint: what goes wrong shows in Sync.
		_ = unix.SyncFileRange(f.fd, 0, 0, unix.SYNC_FILE_RANGE_WRITE)
	}
	err := f.chmod(uint32(perm.Perm()))
	if err == nil {
		ts := timespecs(t)
		err = futimens(f.fd, ts)
	}
	return errors.Join(pathError("finish", f.path, err), f.Close())
}

// chmod gives the file its mode, which it most often has: the process's umask
// and a default ACL of the folder decide what mode a new file gets. Asking
// costs much less than a change of the inode.
func (f *osFile) chmod(perm uint32) error {
	var st unix.Stat_t
	if err := retry(func() error { return unix.Fstat(f.fd, &st) }); err == nil && st.Mode&0o7777 == perm {
		return nil
	}
	return retry(func() error { return unix.Fchmod(f.fd, perm) })
}

// futimens sets the times of an open file. The kernel takes a null path for
// the file itself, which no wrapper offers.
func futimens(fd int, ts []unix.Timespec) error {
	return retry(func() error {
		_, _, errno := unix.Syscall6(unix.SYS_UTIMENSAT, uintptr(fd), 0, uintptr(unsafe.Pointer(&ts[0])), 0, 0, 0)
		if errno != 0 {
			return errno
		}
		return nil
	})
}

// Close implements File. Closing twice does nothing.
func (f *osFile) Close() error {
	if f.fd < 0 {
		return nil
	}
	fd := f.fd
	f.fd = -1
	// A close that was interrupted has closed the file on Linux.
	if err := unix.Close(fd); err != nil && !errors.Is(err, unix.EINTR) {
		return pathError("close", f.path, err)
	}
	return nil
}
