// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

// Package store is the on-disk store of immutable, content-addressed items.
//
// It owns everything below a root: the items and their info files (the only
// truth about which items exist), leases, locks, roots, collection and
// verification, small records that other packages keep here, and the folder
// of logs. Any number of processes may use one root at once; they agree
// through file locks alone. Paths and hashes are those of Nix at the logical
// folder [Dir], wherever the root lies. It never builds anything, never
// changes a registered item and never trusts a file that it can derive again.
//
// An item comes to be in one order: its path is added to a lease, the
// finished tree is renamed into the store, the info file is renamed into
// place. A process that dies in between leaves something that does not count
// and that the next collection takes away. Start with [Open] and then
// [Store.AddTree]; docs/design.md describes the formats.
package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"osbuild/store/fsys"
)

// The folders of a root.
const (
	storeFolder   = "store"        // items
	infoFolder    = "db/info"      // one info file an item
	indexFile     = "db/index.log" // cache of the info files
	cacheFolder   = "db/statcache" // tree stats → archive hash
	rootsFolder   = "roots"        // direct roots
	autoFolder    = "roots/auto"   // indirect roots
	leasesFolder  = "leases"       // what living processes need
	locksFolder   = "locks"        // files that are locked, empty
	collectorLock = "gc.lock"
	tempFolder    = "tmp"     // one folder a lease
	trashFolder   = "trash"   // what is being deleted
	pendingFolder = "pending" // what is not durable yet, by boot
	logFolder     = "log"     // build logs
	rootFile      = "root.json"
)

// rootVersion names the format of a root.
const rootVersion = `{"store":"` + Dir + `","version":1}` + "\n"

// ErrNotFound is wrapped by errors about an item or record that does not
// exist; ErrReadOnly by those about a change of a store opened read-only;
// ErrAlive by the refusal to delete what is still needed.
var (
	ErrNotFound = errors.New("it does not exist")
	ErrReadOnly = errors.New("the store is opened read-only")
	ErrAlive    = errors.New("still needed")
)

// HashMismatchError says that a thing has another hash than was announced.
type HashMismatchError struct{ Name, Want, Got string }

func (e *HashMismatchError) Error() string {
	return fmt.Sprintf("hash mismatch: %s has the hash %s, but %s is expected", e.Name, e.Got, e.Want)
}

// Options say how a store is opened.
type Options struct {
	// ReadOnly makes no folder and refuses every change: for another user's
	// root.
	ReadOnly bool
	// Lazy makes Sync leave it to the kernel when things reach the disk. They
	// stay listed in pending/: the next Sync of a store that is not lazy makes
	// them durable, and after a crash of the machine they are checked first.
	Lazy bool
	// FS makes all modifications; nil means the real file system.
	FS fsys.FS
}

// Store is an open store. Its methods may be called from several goroutines.
type Store struct {
	root     string
	fs       fsys.FS
	readOnly bool
	lazy     bool

	collector lockFile // held shared while a lease grows, exclusive by a collection

	// registering is held for reading from noting a registration until it is
	// done, and for writing by Sync, which must not come in between.
	registering sync.RWMutex

	indexMu sync.Mutex
	index   *indexLog // open between a registration and the next Sync

	// mu may be held while waiting for the collector's lock, so it must not be
	// taken by whoever holds that.
	mu      sync.Mutex
	session *session      // what this process has not made durable yet
	suspect map[Path]bool // of an unclean boot, where we may not mend (read-only)

	leased atomic.Bool // somebody may rely on what others have registered
	early  earlySync

	// catch, if not nil, takes the trees of suspect items that shall be
	// registered, see repairer.rebuild.
	catchMu sync.Mutex
	catch   func(i Info, temp string) (Info, error)
}

// Open opens the store at root, a physical folder, and makes what is missing
// there. After an unclean boot it first checks the items that were not yet
// durable.
func Open(root string, o Options) (*Store, error) {
	abs, err := filepath.Abs(root)
	if err != nil {
		return nil, fmt.Errorf("cannot open the store at %s: %w", root, err)
	}
	s := &Store{root: abs, fs: o.FS, readOnly: o.ReadOnly, lazy: o.Lazy}
	if s.fs == nil {
		s.fs = fsys.OS{Lazy: o.Lazy}
	}
	s.collector.path = s.at(collectorLock)
	if err := s.layout(); err != nil {
		return nil, fmt.Errorf("cannot open the store at %s: %w", abs, s.explain(err))
	}
	if err := s.recover(); err != nil {
		return nil, fmt.Errorf("cannot check the store at %s after an unclean shutdown: %w", abs, s.explain(err))
	}
	return s, nil
}

// layout makes the folders of the root, or checks that it is one.
func (s *Store) layout() error {
	have, err := os.ReadFile(s.at(rootFile))
	// A loss of power soon after the root was made may have cut the file off.
	torn := strings.HasPrefix(rootVersion, strings.TrimRight(string(have), "\x00")) && string(have) != rootVersion
	switch {
	case err == nil && (!torn || s.readOnly):
		if string(have) != rootVersion {
			return fmt.Errorf("%s is %q, which this version does not know (use the osbuild that made it, or another --root)", s.at(rootFile), strings.TrimSpace(string(have)))
		}
		return nil
	case err == nil: // made again
	case !errors.Is(err, fs.ErrNotExist):
		return err
	case s.readOnly:
		return fmt.Errorf("%s is missing, so this is no store: %w", s.at(rootFile), ErrNotFound)
	}
	for _, dir := range []string{
		storeFolder, infoFolder, cacheFolder, autoFolder, leasesFolder,
		locksFolder, tempFolder, trashFolder, pendingFolder, logFolder,
	} {
		if err := fsys.MkdirAll(s.fs, s.at(dir), 0o755); err != nil {
			return err
		}
	}
	// Last, because it says that the rest is there.
	return s.writeFile(s.at(tempFolder), s.at(rootFile), []byte(rootVersion))
}

// at returns a place below the root.
func (s *Store) at(rel ...string) string {
	return s.root + "/" + strings.Join(rel, "/")
}

// Root returns the physical folder of the store.
func (s *Store) Root() string { return s.root }

// Physical returns where the item lies, or would lie.
func (s *Store) Physical(p Path) string { return s.at(storeFolder, p.Base()) }

// LogFile returns the file for the log with this key and makes its folder. A
// folder that cannot be made shows when the file is opened.
func (s *Store) LogFile(key string) string {
	dir := s.at(logFolder, key[:min(len(key), 2)])
	if !s.readOnly {
		_ = fsys.MkdirAll(s.fs, dir, 0o755) // see above
	}
	return dir + "/" + key + ".log"
}

// writable refuses changes of a read-only store.
func (s *Store) writable() error {
	if s.readOnly {
		return fmt.Errorf("cannot change the store at %s: %w", s.root, ErrReadOnly)
	}
	return nil
}

// writeFile writes a small file that appears whole or not at all: made in
// the folder temp, renamed to path.
func (s *Store) writeFile(temp, path string, data []byte) error {
	name := temp + "/" + randomName()
	f, err := s.fs.Create(name, 0o644)
	if err != nil {
		return err
	}
	if _, err = f.Write(data); err == nil {
		err = f.Finish(0o644, time.Now())
	}
	if err == nil {
		err = s.fs.Rename(name, path)
	}
	if err != nil {
		_ = f.Close()
		_ = s.fs.Remove(name) // the first error counts
	}
	return err
}
