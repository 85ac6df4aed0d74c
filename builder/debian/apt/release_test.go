// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package apt

import (
	"context"
	"strings"
	"testing"
	"time"
)

func TestParseRelease(t *testing.T) {
	const head = "Origin: Debian\nSuite: oldstable\nCodename: bookworm\nDate: Sat, 11 Jan 2025 10:11:12 UTC\n"
	sha := strings.Repeat("aB", 32)
	r, err := parseRelease([]byte(head + "Valid-Until: Sat, 18 Jan 2025 10:11:12 UTC\nAcquire-By-Hash: yes\nArchitectures: all amd64\nNo-Support-for-Architecture-all: Packages\nComponents: main contrib\nMD5Sum:\n 0123 5 a\nSHA256:\n " + sha + "  12 main/binary-amd64/Packages\n " + sha + " 12 main/binary-amd64/Packages\n"))
	if err != nil {
		t.Fatal(err)
	}
	if f := r.files["main/binary-amd64/Packages"]; f.size != 12 || f.sha256 != strings.ToLower(sha) || len(r.files) != 1 {
		t.Errorf("the files are %v", r.files)
	}
	if !r.byHash || r.allApart || r.origin != "Debian" || len(r.components) != 2 || r.validUntil.Sub(r.date) != 7*24*time.Hour {
		t.Errorf("got %+v", r)
	}
	for summary, test := range map[string]struct{ text, err string }{
		"nothing":         {"", "it has 0 stanzas"},
		"two stanzas":     {head + "\nOrigin: Evil\n", "it has 2 stanzas"},
		"no date":         {"Suite: x\n", "Date: there is none"},
		"no date at all":  {"Date: yesterday\n", `"yesterday" is not a date in UTC`},
		"another zone":    {"Date: Sat, 11 Jan 2025 10:11:12 CET\n", "is not a date in UTC"},
		"a bad end":       {head + "Valid-Until: never\n", "Valid-Until: "},
		"a short line":    {head + "SHA256:\n " + sha + " 5\n", "is not a line of SHA256"},
		"a short sum":     {head + "SHA256:\n abcd 5 x\n", "is not a line of SHA256"},
		"no number":       {head + "SHA256:\n " + sha + " five x\n", "is not a line of SHA256"},
		"a negative size": {head + "SHA256:\n " + sha + " -5 x\n", "is not a line of SHA256"},
		"two sizes":       {head + "SHA256:\n " + sha + " 5 x\n " + sha + " 6 x\n", `"x" has two sums`},
		"a field twice":   {head + "Suite: y\n", "Suite stands twice"},
	} {
		t.Run(summary, func(t *testing.T) {
			if _, err := parseRelease([]byte(test.text)); !matches(err, test.err) {
				t.Errorf("the error is %v, not %q", err, test.err)
			}
		})
	}
}

func TestParseDate(t *testing.T) {
	for _, s := range []string{"Sat, 01 Feb 2025 03:04:05 UTC", "Sat, 1 Feb 2025 03:04:05 UTC", "Sat,  1 Feb 2025 03:04:05 UTC", "Sat, 01 Feb 2025 03:04:05 GMT", "Sat, 01 Feb 2025 03:04:05 +0000", "Sat, 01 Feb 2025 05:04:05 +0200"} {
		got, err := parseDate(s)
		if err != nil || !got.Equal(time.Date(2025, 2, 1, 3, 4, 5, 0, time.UTC)) {
			t.Errorf("%q is %v, %v", s, got, err)
		}
	}
}

func TestSuiteOfRelease(t *testing.T) {
	tests := []struct {
		want, suite, codename string
		good                  bool
	}{
		{"bookworm", "oldstable", "bookworm", true},
		{"oldstable", "oldstable", "bookworm", true},
		{"bookworm", "", "", true},
		{"./", "other", "other", true},
		{"experimental", "experimental", "rc-buggy", true},
		{"bullseye/updates", "oldstable", "bullseye", true},
		{"bullseye/updates", "oldstable-security", "bullseye-security", true},
		{"bookworm", "oldstable-security", "bookworm-security", false},
		{"bookworm-security", "oldstable", "bookworm", false},
		{"bookworm", "stable", "trixie", false},
		{"trixie", "", "bookworm", false},
	}
	for _, test := range tests {
		err := (&release{suite: test.suite, codename: test.codename}).checkName(&archive{suite: test.want})
		if (err == nil) != test.good {
			t.Errorf("%+v: %v", test, err)
		}
	}
}

// TestTimes is about how old a release file may be.
func TestTimes(t *testing.T) {
	now := time.Date(2025, 6, 10, 12, 0, 0, 0, time.UTC)
	day := 24 * time.Hour
	tests := []struct {
		summary, conf, options string
		age, until             time.Duration // since Date; 0: not said
		note                   bool
		err                    string
	}{
		{summary: "old, and nobody minds", age: 1000 * day},
		{summary: "still good", age: 6 * day, until: 7 * day},
		{summary: "expired", age: 8 * day, until: 7 * day, err: "it is of 2025-06-02 12:00:00 UTC and was good until 2025-06-09 12:00:00 UTC"},
		{summary: "expired, and the host does not check", conf: `Acquire::Check-Valid-Until "false";`, age: 8 * day, until: 7 * day, note: true},
		{summary: "expired, and the source does not check", options: "check-valid-until=no", age: 8 * day, until: 7 * day, note: true},
		{summary: "the source checks, the host does not", conf: `Acquire::Check-Valid-Until "false";`, options: "check-valid-until=yes", age: 8 * day, until: 7 * day, err: "was good until"},
		{summary: "the source gives it more time", options: "valid-until-min=864000", age: 8 * day, until: 7 * day},
		{summary: "the host gives it less time", conf: `Acquire::Max-ValidTime "86400";`, age: 2 * day, until: 7 * day, err: "was good until"},
		{summary: "the source gives it an end", options: "valid-until-max=86400", age: 2 * day, err: "was good until"},
		{summary: "a clock that is a little behind", age: -5 * time.Second},
		{summary: "of the future", age: -time.Minute, err: "which is in the future"},
		{summary: "of the future, within what the source allows", options: "date-max-future=100", age: -time.Minute},
		{summary: "of the future, within what the host allows", conf: `Acquire::Max-FutureTime "100";`, age: -time.Minute},
		{summary: "of the future, and the host does not check", conf: `Acquire::Check-Date "no";`, age: -day},
		{summary: "of the future, and the source does not check", options: "check-date=no", age: -day},
	}
	for _, test := range tests {
		t.Run(test.summary, func(t *testing.T) {
			root := host(t, map[string]string{"sources.list": "deb [" + test.options + "] file:/a x y", "apt.conf": test.conf})
			h, err := Open(context.Background(), Config{Root: root})
			if err != nil {
				t.Fatal(err)
			}
			r := &release{date: now.Add(-test.age)}
			if test.until != 0 {
				r.validUntil = r.date.Add(test.until)
			}
			note, err := h.checkTimes(r, h.archives[0], now)
			if (note != "") != test.note || (err != nil) != (test.err != "") || err != nil && !matches(err, test.err) {
				t.Errorf("got %q and %v", note, err)
			}
		})
	}
}
