// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package supervise

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

const statTail = " S 7 8 9 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 12 13"

// FuzzParseStat has processes choose names that look like the rest.
func FuzzParseStat(f *testing.F) {
	for _, name := range []string{"sh", "a b", ") R 1 1 1 (", "\n)", "", "(((", "\xff"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		st, err := parseStat([]byte("42 (" + name + ")" + statTail))
		if want := (procStat{parent: 7, group: 8, session: 9, began: 4711}); err != nil || st != want {
			t.Errorf("%+v, %v, want %+v", st, err, want)
		}
		_, _ = parseStat([]byte(name))
	})
}

func TestReadStat(t *testing.T) {
	st, err := readStat(os.Getpid())
	if err != nil || st.parent != os.Getppid() || st.began == 0 {
		t.Errorf("%+v, %v", st, err)
	}
	if _, err := readStat(1 << 30); err == nil {
		t.Error("a process that is not there has a status")
	}
	for _, text := range []string{"", "42 (sh) S 1", "42 (sh)" + strings.Replace(statTail, "7", "x", 1), fmt.Sprint("42 (sh)", statTail[:40])} {
		if st, err := parseStat([]byte(text)); err == nil {
			t.Errorf("%q is %+v", text, st)
		}
	}
}
