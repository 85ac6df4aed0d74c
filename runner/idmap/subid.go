// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package idmap

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"strconv"
	"strings"

	"osbuild/runner/spec"
)

// Subid is one line of /etc/subuid or /etc/subgid: Count ids from Start belong
// to Owner, a name or a decimal id.
type Subid struct {
	Owner string
	Start int
	Count int
}

// ParseSubids reads a database of subordinate ids. Lines that are not of the
// form owner:start:count are skipped, as newuidmap skips them.
func ParseSubids(r io.Reader) ([]Subid, error) {
	var out []Subid
	sc := bufio.NewScanner(r)
	for sc.Scan() {
		f := strings.Split(strings.TrimSpace(sc.Text()), ":")
		if len(f) != 3 || f[0] == "" {
			continue
		}
		start, err1 := strconv.ParseUint(f[1], 10, 32)
		count, err2 := strconv.ParseUint(f[2], 10, 32)
		if err1 != nil || err2 != nil || count == 0 || start+count > 1<<32 {
			continue
		}
		out = append(out, Subid{Owner: f[0], Start: int(start), Count: int(count)})
	}
	return out, sc.Err()
}

func readSubids(file string) ([]Subid, error) {
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	list, err := ParseSubids(f)
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", file, err)
	}
	return list, nil
}

// subordinate maps 0 to own, and 1 to count-1 to the user's subordinate ids.
func (f Files) subordinate(file string, u *user.User, own string, count int) ([]spec.Extent, error) {
	id, err := strconv.Atoi(own)
	if err != nil {
		return nil, fmt.Errorf("cannot read the id %q of user %s: %w", own, u.Username, err)
	}
	list, err := readSubids(file)
	if err != nil {
		return nil, err
	}
	extents := []spec.Extent{{Inside: 0, Outside: id, Count: 1}}
	next := 1
	for _, s := range list {
		if s.Owner != u.Username && s.Owner != u.Uid {
			continue
		}
		if id >= s.Start && id < s.Start+s.Count {
			continue // would map the user's own id twice
		}
		n := min(s.Count, count-next)
		if n > 0 {
			extents = append(extents, spec.Extent{Inside: next, Outside: s.Start, Count: n})
			next += n
		}
	}
	if next < count {
		return nil, fmt.Errorf("%w: %s gives %s %d of the %d that are needed", ErrNoSubids, file, u.Username, next-1, count-1)
	}
	return extents, nil
}

// Usermod is the command that gives a user enough subordinate ids, in a range
// that nobody has.
func (f Files) Usermod(name string, count int) string {
	start := 100000
	for _, file := range []string{f.Subuid, f.Subgid} {
		list, err := readSubids(file)
		if err != nil {
			continue // the command still shows what to do
		}
		for _, s := range list {
			start = max(start, s.Start+s.Count)
		}
	}
	r := fmt.Sprintf("%d-%d", start, start+count-1)
	return fmt.Sprintf("usermod --add-subuids %s --add-subgids %s %s", r, r, name)
}
