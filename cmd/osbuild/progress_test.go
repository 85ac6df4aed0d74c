// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"io"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"osbuild/builder/derivation"
	"osbuild/builder/realise"
)

func TestProgress(t *testing.T) {
	const deb = "builtin:deb"
	const mib = 1 << 20
	event := func(kind, key string, done, total int64) realise.Event {
		return realise.Event{Kind: kind, Name: key, Key: derivation.Key(key), Builder: deb, Done: done, Total: total}
	}
	// Each event comes 60 ms behind the last.
	all := []realise.Event{
		event(realise.EventQueued, "nginx-1", 0, 2*mib),
		event(realise.EventQueued, "libc6-2", 0, 8*mib),
		event(realise.EventStart, "nginx-1", 0, 0),
		event(realise.EventProgress, "nginx-1", mib, 2*mib),
		event(realise.EventProgress, "nginx-1", 2*mib, 2*mib),
		event(realise.EventProgress, "libc6-2", mib, 8*mib),
		{Kind: realise.EventWarning, Name: "root", Builder: "builtin:package-root", Detail: "the script of x is left out"},
		event(realise.EventDone, "nginx-1", 0, 0),
		event(realise.EventSettled, "nginx-1", 2*mib, 2*mib),
		event(realise.EventFailed, "libc6-2", 0, 0),
		event(realise.EventSettled, "libc6-2", 0, 8*mib),
		event(realise.EventQueued, "zlib1g-3", 0, mib/2),
		{Kind: realise.EventStart, Name: "site", Builder: "/bin/site"},
		{Kind: realise.EventDownloaded},
		{Kind: realise.EventStart, Name: "etc", Builder: "builtin:file-union"},
		{Kind: realise.EventDownloaded},
	}
	const warning = "warning: root: the script of x is left out\n"
	for _, test := range []struct {
		summary        string
		width          int
		quiet, verbose bool
		want           string
	}{
		{"no terminal", 0, false, false, warning + "building site\nfetched 1 package, 2.0 MiB in 0.8 s\n2 packages still to be fetched (8.5 MiB): libc6-2, zlib1g-3\n"},
		{"a terminal", 80, false, false, "\rfetching 0/2 packages, 1.0/10.0 MiB\x1b[K" +
			"\rfetching 0/2 packages, 3.0/10.0 MiB\x1b[K" +
			"\r\x1b[K" + warning +
			"\rfetching 1/2 packages, 3.0/10.0 MiB\x1b[K" + "\rfetching 1/2 packages, 2.0/10.0 MiB\x1b[K" +
			"\r\x1b[Kbuilding site\nfetched 1 package, 2.0 MiB in 0.8 s\n2 packages still to be fetched (8.5 MiB): libc6-2, zlib1g-3\n"},
		{"a narrow terminal", 20, false, false, "\rfetching 0/2 packag\x1b[K\rfetching 0/2 packag\x1b[K\r\x1b[K" + warning +
			"\rfetching 1/2 packag\x1b[K\rfetching 1/2 packag\x1b[K\r\x1b[Kbuilding site\nfetched 1 package, 2.0 MiB in 0.8 s\n2 packages still to be fetched (8.5 MiB): libc6-2, zlib1g-3\n"},
		{"told to be quiet", 80, true, false, ""},
		{"told to say more", 0, false, true, warning + "fetched nginx-1, 2.0 MiB in 0.00 s\nbuilding site\nfetched 1 package, 2.0 MiB in 0.8 s\n2 packages still to be fetched (8.5 MiB): libc6-2, zlib1g-3\nbuilding etc\n"},
	} {
		t.Run(test.summary, func(t *testing.T) {
			var out bytes.Buffer
			a := newApp(io.Discard, &out)
			a.quiet, a.verbose = test.quiet, test.verbose
			p := newProgress(a)
			clock := time.Unix(0, 0)
			p.meter.now = func() time.Time { return clock }
			p.meter.every = nil
			if !test.quiet {
				p.meter.width = func() int { return test.width }
			}
			for _, e := range all {
				p.Event(e)
				clock = clock.Add(60 * time.Millisecond)
			}
			if d := cmp.Diff(test.want, out.String()); d != "" {
				t.Errorf("%s\n%q", d, out.String())
			}
		})
	}
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if terminalWidth(f) != 0 || terminalWidth(&bytes.Buffer{}) != 0 {
		t.Error("what is no terminal has a width")
	}
}
