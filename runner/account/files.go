// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package account

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"osbuild/runner/spec"
)

// maxID is the greatest id that the kernel gives to a file; the one above it
// means "no id".
const maxID = 1<<32 - 2

// eachLine calls parse with the fields of each line. Blank lines and comments
// are passed over; a line that parse refuses becomes a problem with its
// number, and reading goes on: one bad line must not take all accounts away.
func eachLine(data []byte, parse func(fields []string) error) (problems []error) {
	number := 0
	for line := range bytes.Lines(data) {
		number++
		text := strings.TrimSuffix(string(line), "\n")
		text = strings.TrimSuffix(text, "\r")
		if strings.TrimSpace(text) == "" || strings.HasPrefix(text, "#") {
			continue
		}
		if strings.ContainsRune(text, 0) {
			problems = append(problems, fmt.Errorf("line %d holds a NUL byte", number))
			continue
		}
		if err := parse(strings.Split(text, ":")); err != nil {
			problems = append(problems, fmt.Errorf("line %d: %w", number, err))
		}
	}
	return problems
}

func wantFields(fields []string, n int) error {
	if len(fields) != n {
		return fmt.Errorf("%d fields where %d are expected", len(fields), n)
	}
	if fields[0] == "" {
		return fmt.Errorf("the name is empty")
	}
	return nil
}

func parseID(what, s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n > maxID {
		return 0, fmt.Errorf("%s %q is not an id", what, s)
	}
	return int(n), nil
}

// ParsePasswd reads /etc/passwd.
func ParsePasswd(data []byte) (users []User, problems []error) {
	problems = eachLine(data, func(f []string) error {
		if err := wantFields(f, 7); err != nil {
			return err
		}
		uid, err := parseID("uid", f[2])
		if err != nil {
			return err
		}
		gid, err := parseID("gid", f[3])
		if err != nil {
			return err
		}
		users = append(users, User{Name: f[0], UID: uid, GID: gid, Comment: f[4], Home: f[5], Shell: f[6]})
		return nil
	})
	return users, problems
}

// FormatPasswd writes /etc/passwd; passwords stand in /etc/shadow.
func FormatPasswd(users []User) []byte {
	return formatLines(users, func(u User) string {
		return strings.Join([]string{
			u.Name, "x", strconv.Itoa(u.UID), strconv.Itoa(u.GID), u.Comment, u.Home, u.Shell,
		}, ":")
	})
}

// ParseShadow reads /etc/shadow. Lines with fewer than the nine fields, as
// some programs write them, are filled up.
func ParseShadow(data []byte) (entries []Shadow, problems []error) {
	problems = eachLine(data, func(f []string) error {
		if len(f) < 2 || len(f) > 9 || f[0] == "" {
			return fmt.Errorf("not an entry of shadow(5)")
		}
		s := Shadow{Name: f[0], Password: f[1]}
		copy(s.Rest[:], f[2:])
		entries = append(entries, s)
		return nil
	})
	return entries, problems
}

// FormatShadow writes /etc/shadow.
func FormatShadow(entries []Shadow) []byte {
	return formatLines(entries, func(s Shadow) string {
		return s.Name + ":" + s.Password + ":" + strings.Join(s.Rest[:], ":")
	})
}

// ParseGroup reads /etc/group.
func ParseGroup(data []byte) (groups []Group, problems []error) {
	problems = eachLine(data, func(f []string) error {
		if err := wantFields(f, 4); err != nil {
			return err
		}
		gid, err := parseID("gid", f[2])
		if err != nil {
			return err
		}
		g := Group{Name: f[0], Password: f[1], GID: gid}
		for member := range strings.SplitSeq(f[3], ",") {
			if member != "" {
				g.Members = append(g.Members, member)
			}
		}
		groups = append(groups, g)
		return nil
	})
	return groups, problems
}

// FormatGroup writes /etc/group.
func FormatGroup(groups []Group) []byte {
	return formatLines(groups, func(g Group) string {
		return strings.Join([]string{
			g.Name, g.Password, strconv.Itoa(g.GID), strings.Join(g.Members, ","),
		}, ":")
	})
}

// ParseSubids reads /etc/subuid or /etc/subgid.
func ParseSubids(data []byte) (ranges []spec.SubidRange, problems []error) {
	problems = eachLine(data, func(f []string) error {
		if err := wantFields(f, 3); err != nil {
			return err
		}
		start, err := parseID("start", f[1])
		if err != nil {
			return err
		}
		count, err := parseID("count", f[2])
		if err != nil {
			return err
		}
		if count == 0 || start+count-1 > maxID {
			return fmt.Errorf("the range %d:%d is empty or too long", start, count)
		}
		ranges = append(ranges, spec.SubidRange{Name: f[0], Start: &start, Count: count})
		return nil
	})
	return ranges, problems
}

// FormatSubids writes /etc/subuid or /etc/subgid. Every range has a start.
func FormatSubids(ranges []spec.SubidRange) []byte {
	return formatLines(ranges, func(r spec.SubidRange) string {
		start := 0
		if r.Start != nil {
			start = *r.Start
		}
		return fmt.Sprintf("%s:%d:%d", r.Name, start, r.Count)
	})
}

// formatLines writes one line an entry; an identical line is written once.
func formatLines[T any](entries []T, format func(T) string) []byte {
	var lines []string
	for _, e := range entries {
		if line := format(e); !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	if len(lines) == 0 {
		return nil
	}
	return []byte(strings.Join(lines, "\n") + "\n")
}
