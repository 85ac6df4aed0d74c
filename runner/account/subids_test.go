// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package account

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"osbuild/runner/spec"
)

// ranges reads "name:start:count name::count name" and so on.
func ranges(t *testing.T, text string) (out []spec.SubidRange) {
	t.Helper()
	for _, word := range strings.Fields(text) {
		parts := append(strings.Split(word, ":"), "", "")
		r := spec.SubidRange{Name: parts[0]}
		if parts[1] != "" {
			var start int
			fmt.Sscan(parts[1], &start)
			r.Start = &start
		}
		fmt.Sscan(parts[2], &r.Count)
		out = append(out, r)
	}
	return out
}

func TestPlaceSubids(t *testing.T) {
	host := SubidOptions{Min: 100000, Max: 600100000}
	root := SubidOptions{AddRoot: true, Min: 100000, Max: 600100000}
	inside := SubidOptions{AddRoot: true, Min: ContainerSubidMin, Max: ContainerSubidMax, Shrink: true}
	beside := inside
	beside.Accounts = map[int]string{20000: "carol", 65533: "dan", 1000: "eve", 65534: "nobody"}
	tests := []struct {
		summary  string
		onDisk   string
		declared string
		o        SubidOptions
		want     string
		wantErr  error
		warning  string
	}{
		{summary: "nothing", o: host, want: ""},
		{summary: "root alone", o: root, want: "root:100000:65536"},
		{summary: "generic ranges follow root by name", declared: "bob alice::1000", o: root, want: "root:100000:65536 alice:165536:1000 bob:166536:65536"},
		{summary: "the example of the manual", declared: "alice bob:100700", o: root, want: "root:100000:700 bob:100700:65536 alice:166236:65536"},
		{summary: "a range at the very start pushes root on", declared: "bob:100000:10", o: root, want: "bob:100000:10 root:100010:65536"},
		{summary: "root may be declared", declared: "root:200000:5", o: root, want: "root:200000:5"},
		{summary: "ranges on disk stay, whatever is declared for the name", onDisk: "alice:300000:7", declared: "alice:100000:9", o: host, want: "alice:300000:7"},
		{summary: "ranges of removed users stay", onDisk: "gone:300000:7", declared: "alice::10", o: host, want: "gone:300000:7 alice:300007:10"},
		{summary: "low ranges of other tools stay", onDisk: "daemon:904:1", declared: "alice::10", o: host, want: "daemon:904:1 alice:100000:10"},
		{summary: "several ranges of one name on disk stay", onDisk: "a:100000:5 a:200000:5", declared: "a", o: host, want: "a:100000:5 a:200000:5"},
		{
			summary:  "generic ranges go to the highest interval that fits, gaps or not",
			onDisk:   "a:100000:200 b:100201:27 d:100229:102",
			declared: "m:100200:1 i::2 l::3", o: host,
			want: "a:100000:200 m:100200:1 b:100201:27 d:100229:102 i:100331:2 l:100333:3",
		},
		{
			summary:  "interleaving: small gaps below stay free as long as there is room above",
			declared: "y:100100:100 m:100201:27 k:100229:102 i::2 l::3", onDisk: "t:100000:100", o: host,
			want: "t:100000:100 y:100100:100 m:100201:27 k:100229:102 i:100331:2 l:100333:3",
		},
		{
			summary:  "interleaving: the highest gap that is long enough, when there is none above",
			declared: "y:100100:100 m:100201:27 k:100229:102 i::1 l::1", onDisk: "t:100000:100", o: SubidOptions{Min: 100000, Max: 100331},
			want: "t:100000:100 y:100100:100 l:100200:1 m:100201:27 i:100228:1 k:100229:102",
		},
		{
			summary: "a lower interval serves when the highest is too short",
			onDisk:  "top:100100:599999900", declared: "a::50 b::40", o: host,
			want: "a:100000:50 b:100050:40 top:100100:599999900",
		},
		{summary: "placing again changes nothing", onDisk: "root:100000:65536 alice:165536:65536", declared: "alice", o: root, want: "root:100000:65536 alice:165536:65536"},
		// What a search in a tree without a way back gets wrong.
		{
			summary: "far apart declared ranges leave room for generic ones", declared: "x:200000:10 y:600000000:10 a b", o: host,
			want: "x:200000:10 b:200010:65536 y:600000000:10 a:600000010:65536",
		},
		{summary: "a file in descending order", onDisk: "hi:599000000:10 lo:200000:10", declared: "a", o: host, want: "lo:200000:10 hi:599000000:10 a:599000010:65536"},
		{summary: "a declared range below one on disk", onDisk: "hi:599000000:10", declared: "a:150000:10", o: host, want: "a:150000:10 hi:599000000:10"},
		{summary: "a name twice: the first counts", declared: "a::5 a::9 b::2", o: host, want: "a:100000:5 b:100005:2", warning: "more than once"},
		{summary: "root gives way to ranges that stand where it would", onDisk: "old:100000:65536", declared: "", o: root, want: "old:100000:65536 root:165536:65536"},
		{summary: "the last ids of the bounds", declared: "a:600099990:10", o: host, want: "a:600099990:10"},
		// Refusals.
		{summary: "no start on disk", onDisk: "a", o: host, wantErr: ErrNoStart},
		{summary: "below the bounds", declared: "a:99999:10", o: host, wantErr: ErrOutside},
		{summary: "beyond the bounds", declared: "a:600099991:10", o: host, wantErr: ErrOutside},
		{summary: "overlap from below", onDisk: "o:200000:100", declared: "a:199990:11", o: host, wantErr: ErrOverflow},
		{summary: "overlap from above", onDisk: "o:200000:100", declared: "a:200099:10", o: host, wantErr: ErrOverflow},
		{summary: "overlap around", onDisk: "o:200000:100", declared: "a:199990:1000", o: host, wantErr: ErrOverflow},
		{summary: "too long for the gap between two", onDisk: "o:200000:100 p:200150:10", declared: "a:200100:51", o: host, wantErr: ErrOverflow},
		{summary: "as long as the gap between two", onDisk: "o:200000:100 p:200150:10", declared: "a:200100:50", o: host, want: "o:200000:100 a:200100:50 p:200150:10"},
		{summary: "two declared ranges overlap", declared: "a:200000:10 b:200009:1", o: host, wantErr: ErrOverflow},
		{summary: "more than there is", declared: "a::600000001", o: host, wantErr: ErrOverflow},
		// In a container of 65536 ids.
		{summary: "root and a user share a container", declared: "alice", o: inside, want: "alice:10000:27767 root:37767:27767"},
		{summary: "only what does not fit shrinks", declared: "alice::1000", o: inside, want: "alice:10000:1000 root:11000:54534"},
		{summary: "a declared range inside a container", declared: "alice:10000:50000", o: inside, want: "alice:10000:50000 root:60000:5534"},
		{summary: "a declared range that does not fit a container", declared: "alice:100000:65536", o: inside, wantErr: ErrOutside},
		{summary: "ids of accounts are not subordinate to anybody", declared: "alice", o: beside, want: "alice:20001:22766 root:42767:22766"},
		{summary: "a declared range beside an account", declared: "alice:10000:10000", o: beside, want: "alice:10000:10000 root:20001:45532"},
		{summary: "a declared range over an account", declared: "alice:10000:10001", o: beside, wantErr: ErrOverflow},
		{summary: "root gives way to an account", o: SubidOptions{AddRoot: true, Min: 100000, Max: 600100000, Accounts: map[int]string{100001: "x"}}, want: "root:100002:65536"},
		{summary: "no room in a container", onDisk: "x:10000:55534", declared: "alice", o: inside, wantErr: ErrOverflow},
	}
	for _, tt := range tests {
		t.Run(tt.summary, func(t *testing.T) {
			got, warnings, err := PlaceSubids(ranges(t, tt.onDisk), ranges(t, tt.declared), tt.o)
			if !errors.Is(err, tt.wantErr) {
				t.Fatalf("error %v, want %v", err, tt.wantErr)
			}
			if err != nil {
				return
			}
			text := strings.Join(strings.Fields(string(FormatSubids(got))), " ")
			if diff := cmp.Diff(tt.want, text); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if all := strings.Join(warnings, "\n"); (all == "") != (tt.warning == "") || !strings.Contains(all, tt.warning) {
				t.Errorf("warnings %q, want %q", all, tt.warning)
			}
		})
	}
}

// FuzzPlaceSubids checks what holds for every outcome: nothing overlaps what
// it did not overlap before, bounds hold, and a second run changes nothing.
func FuzzPlaceSubids(f *testing.F) {
	f.Add("a:100000:5\nb:200000:70000\n", "c::100 d:150000:10 e", true, false)
	f.Add("", "a b c d e", true, true)
	f.Fuzz(func(t *testing.T, disk, declared string, addRoot, small bool) {
		onDisk, _ := ParseSubids([]byte(disk))
		o := SubidOptions{AddRoot: addRoot, Min: 100000, Max: 600100000}
		if small {
			o.Min, o.Max, o.Shrink = ContainerSubidMin, ContainerSubidMax, true
		}
		want, _ := ParseSubids([]byte(strings.ReplaceAll(declared, " ", "\n")))
		for i := range want {
			if i%2 == 0 {
				want[i].Start = nil
			}
		}
		placed, _, err := PlaceSubids(onDisk, want, o)
		if err != nil {
			return
		}
		before := len(onDisk)
		for i, r := range placed {
			for _, other := range placed[i+1:] {
				if *r.Start < *other.Start+other.Count && *other.Start < *r.Start+r.Count && before == 0 {
					t.Fatalf("%s overlaps %s", FormatSubids(placed[i:i+1]), FormatSubids([]spec.SubidRange{other}))
				}
			}
			if before == 0 && (*r.Start < o.Min || *r.Start+r.Count > o.Max) {
				t.Fatalf("%s is out of bounds", FormatSubids(placed[i:i+1]))
			}
		}
		again, _, err := PlaceSubids(placed, want, o)
		if err != nil {
			t.Fatalf("a second run fails: %v", err)
		}
		if diff := cmp.Diff(FormatSubids(placed), FormatSubids(again)); diff != "" {
			t.Fatalf("a second run changes (-first +second):\n%s", diff)
		}
	})
}
