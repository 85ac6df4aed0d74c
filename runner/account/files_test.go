// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package account

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReadersSurviveDamage(t *testing.T) {
	tests := []struct {
		summary  string
		format   func([]byte) ([]byte, int) // reads and writes again
		in, want string
		problems int
	}{
		{"passwd as it is", passwdAgain, "root:x:0:0:root:/root:/bin/sh\na:x:1:2:,,:/h:\n", "root:x:0:0:root:/root:/bin/sh\na:x:1:2:,,:/h:\n", 0},
		{"passwd: blank lines, comments, no last newline", passwdAgain, "\n# x\na:x:1:2:::\n\n  \nb:x:3:4:::", "a:x:1:2:::\nb:x:3:4:::\n", 0},
		{"passwd: bad lines are dropped and counted", passwdAgain, "a:x:1:2:::\nb:x:many:2:::\n:x:1:2:::\nshort:x\n+::::::\nc:x:-1:2:::\nd:x:4294967295:1:::\n", "a:x:1:2:::\n", 6},
		{"passwd: a line twice is written once", passwdAgain, "a:x:1:2:::\na:x:1:2:::\n", "a:x:1:2:::\n", 0},
		{"passwd: CRLF", passwdAgain, "a:x:1:2:::/bin/sh\r\n", "a:x:1:2:::/bin/sh\n", 0},
		{"passwd: NUL", passwdAgain, "a:x:1:2::\x00:\n", "", 1},
		{"group as it is", groupAgain, "wheel:x:999:a,b\nempty:*:5:\n", "wheel:x:999:a,b\nempty:*:5:\n", 0},
		{"group: stray commas", groupAgain, "wheel:x:999:,a,,b,\n", "wheel:x:999:a,b\n", 0},
		{"shadow as it is", shadowAgain, "a:$6$x:15000:0:99999:7:1:2:\n", "a:$6$x:15000:0:99999:7:1:2:\n", 0},
		{"shadow: missing fields are filled up", shadowAgain, "a:!:1\nb:*\n", "a:!:1::::::\nb:*:::::::\n", 0},
		{"shadow: too many fields", shadowAgain, "a:!:1:2:3:4:5:6:7:8\n", "", 1},
		{"subids as they are", subidAgain, "a:100000:65536\n1000:165536:65536\n", "a:100000:65536\n1000:165536:65536\n", 0},
		{"subids: no start, no count, too long", subidAgain, "a::5\nb:5:0\nc:4294967290:100\nd:5\n", "", 4},
	}
	for _, tt := range tests {
		t.Run(tt.summary, func(t *testing.T) {
			got, problems := tt.format([]byte(tt.in))
			if diff := cmp.Diff(tt.want, string(got)); diff != "" || problems != tt.problems {
				t.Errorf("%d problems, want %d; (-want +got):\n%s", problems, tt.problems, diff)
			}
		})
	}
}

func passwdAgain(data []byte) ([]byte, int) {
	entries, problems := ParsePasswd(data)
	return FormatPasswd(entries), len(problems)
}

func groupAgain(data []byte) ([]byte, int) {
	entries, problems := ParseGroup(data)
	return FormatGroup(entries), len(problems)
}

func shadowAgain(data []byte) ([]byte, int) {
	entries, problems := ParseShadow(data)
	return FormatShadow(entries), len(problems)
}

func subidAgain(data []byte) ([]byte, int) {
	entries, problems := ParseSubids(data)
	return FormatSubids(entries), len(problems)
}

// fuzzFormat checks that no input makes a reader panic, and that what is
// written reads back the same.
func fuzzFormat(f *testing.F, again func([]byte) ([]byte, int), seeds ...string) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		once, _ := again(data)
		twice, problems := again(once)
		if problems != 0 || string(once) != string(twice) {
			t.Errorf("written %q, read back and written %q with %d problems", once, twice, problems)
		}
	})
}

func FuzzPasswd(f *testing.F) { fuzzFormat(f, passwdAgain, "root:x:0:0:root:/root:/bin/sh\n", "a:b\n") }
func FuzzGroup(f *testing.F)  { fuzzFormat(f, groupAgain, "wheel:x:999:a,b\n", "g:::\n") }
func FuzzShadow(f *testing.F) { fuzzFormat(f, shadowAgain, "a:!:1::::::\n", "a:!\n") }
func FuzzSubids(f *testing.F) { fuzzFormat(f, subidAgain, "a:100000:65536\n", "a::1\n") }
