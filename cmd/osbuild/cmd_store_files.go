// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"

	"osbuild/store/nar"
)

func storeDumpVerb() verb {
	return verb{
		name: "store dump", args: "ITEM or PATH",
		summary: "write a tree as an archive (NAR) to standard output",
		setup: plain(func(ctx context.Context, a *app, args []string) error {
			if args = words(args); len(args) != 1 {
				return usagef("store dump: give one item or path")
			}
			s, err := a.openStore()
			if err != nil {
				return err
			}
			path, err := place(s, args[0], true)
			if err != nil {
				return err
			}
			out := bufio.NewWriterSize(a.stdout, 256<<10)
			_, err = nar.Write(ctx, out, path, nil)
			return errors.Join(err, out.Flush())
		}),
	}
}

func storeRestoreVerb() verb {
	return verb{
		name: "store restore", args: "DIR <ARCHIVE",
		summary: "unpack an archive (NAR) from standard input to DIR, which must not exist",
		setup: plain(func(_ context.Context, _ *app, args []string) error {
			if args = words(args); len(args) != 1 {
				return usagef("store restore: give one folder")
			}
			if _, err := os.Lstat(args[0]); err == nil {
				return fmt.Errorf("cannot restore to %s: something is there already", args[0])
			}
			return nar.Restore(os.Stdin, args[0])
		}),
	}
}

func storeCatVerb() verb {
	return verb{
		name: "store cat", args: "ITEM[/FILE]…",
		summary: "print files of items; links inside the store are followed",
		setup: plain(func(_ context.Context, a *app, args []string) error {
			args, err := oneOrMore("cat", "file", args)
			if err != nil {
				return err
			}
			s, err := a.openStore()
			if err != nil {
				return err
			}
			for _, arg := range args {
				path, err := place(s, arg, false)
				if err != nil {
					return err
				}
				if err := catFile(a.stdout, path); err != nil {
					return fmt.Errorf("cannot print %s: %w", arg, err)
				}
			}
			return nil
		}),
	}
}

func catFile(w io.Writer, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = errors.New("it is no file (osbuild store ls shows what is in a folder)")
	}
	if err == nil {
		_, err = io.Copy(w, f)
	}
	return errors.Join(err, f.Close())
}

func storeLsVerb() verb {
	return verb{
		name: "store ls", args: "[--recursive] [ITEM[/DIR]…]",
		summary: "list the files of items, or all items",
		setup: func(fs *pflag.FlagSet) runFunc {
			recursive := fs.BoolP("recursive", "R", false, "list folders inside too")
			return func(ctx context.Context, a *app, args []string) error {
				return storeLs(ctx, a, *recursive, words(args))
			}
		},
	}
}

// listed is one file in the output of store ls --json.
type listed struct {
	Path       string `json:"path"`
	Type       string `json:"type"`
	Size       int64  `json:"size,omitempty"`
	Executable bool   `json:"executable,omitempty"`
	Target     string `json:"target,omitempty"`
}

func storeLs(ctx context.Context, a *app, recursive bool, args []string) error {
	s, err := a.openStore()
	if err != nil {
		return err
	}
	if len(args) == 0 {
		all, err := s.All()
		if err != nil {
			return err
		}
		return a.printPaths(all)
	}
	list := []listed{}
	for _, arg := range args {
		path, err := place(s, arg, false)
		if err != nil {
			return err
		}
		t, err := nar.List(ctx, path, func(rel, _ string) bool { return recursive || !strings.Contains(rel, "/") })
		if err != nil {
			return fmt.Errorf("cannot list %s: %w", arg, err)
		}
		for k := range t.Nodes {
			n := &t.Nodes[k]
			if n.Path == "" && n.Type == nar.Directory {
				continue
			}
			name := n.Path
			if name == "" {
				name = filepath.Base(arg)
			}
			list = append(list, listed{name, string(n.Type), n.Size, n.Executable, n.Target})
		}
	}
	if a.json {
		return a.printJSON(list)
	}
	for _, l := range list {
		fmt.Fprintln(a.stdout, l)
	}
	return nil
}

// String shows a file as ls -F does.
func (l listed) String() string {
	switch {
	case l.Type == string(nar.Directory):
		return l.Path + "/"
	case l.Type == string(nar.Symlink):
		return l.Path + " -> " + l.Target
	case l.Executable:
		return l.Path + "*"
	}
	return l.Path
}
