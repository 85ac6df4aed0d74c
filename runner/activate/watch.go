// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package activate

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"osbuild/runner/activate/tree"
)

// settle is how long to wait for the other files of one change: useradd writes
// four.
const settle = 100 * time.Millisecond

// Watch calls Save whenever an account file changes, for a container may end
// without a power-off and a changed password must not be lost then. It returns
// when watching is not possible, with the reason; failures of Save go to
// report.
func Watch(root *tree.Root, report func(error)) error {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return fmt.Errorf("cannot watch the account files: %w", err)
	}
	f := os.NewFile(uintptr(fd), "inotify")
	defer f.Close()
	dir := filepath.Join(root.Dir(), "etc")
	if _, err := unix.InotifyAddWatch(fd, dir, unix.IN_MOVED_TO|unix.IN_CLOSE_WRITE|unix.IN_ONLYDIR); err != nil {
		return fmt.Errorf("cannot watch %s: %w", dir, err)
	}
	buf := make([]byte, 16*1024)
	for {
		n, err := f.Read(buf)
		if err != nil {
			return fmt.Errorf("cannot watch %s: %w", dir, err)
		}
		if !concernsAccounts(buf[:n]) {
			continue
		}
		time.Sleep(settle)
		for _, err := range Save(root) {
			report(err)
		}
	}
}

// concernsAccounts says whether one of several inotify events names an account
// file, or whether events were lost.
func concernsAccounts(events []byte) bool {
	for len(events) >= unix.SizeofInotifyEvent {
		e := (*unix.InotifyEvent)(unsafe.Pointer(&events[0]))
		end := min(unix.SizeofInotifyEvent+int(e.Len), len(events))
		name := string(bytes.TrimRight(events[unix.SizeofInotifyEvent:end], "\x00"))
		if e.Mask&unix.IN_Q_OVERFLOW != 0 {
			return true
		}
		for _, f := range accountFiles {
			if name == f.name {
				return true
			}
		}
		events = events[end:]
	}
	return false
}
