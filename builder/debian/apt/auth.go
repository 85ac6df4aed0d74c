// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package apt

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"strings"
)

// credential is one entry of auth.conf: who to be on a server.
type credential struct {
	scheme, host, path string // scheme "": only where the connection is encrypted
	login, password    string
}

// readAuth reads auth.conf and the parts in auth.conf.d. A file that this user
// may not read is passed over, as the archives may do without.
func (h *Host) readAuth() ([]credential, error) {
	files, err := parts(h.path("auth.conf.d"), ".conf")
	if err != nil {
		return nil, err
	}
	var all []credential
	for _, file := range append([]string{h.path("auth.conf")}, files...) {
		data, err := os.ReadFile(file)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case errors.Is(err, fs.ErrPermission):
			h.warn("cannot read %s, so archives that want a password may refuse: %v", file, bare(err))
			continue
		case err != nil:
			return nil, fmt.Errorf("cannot read the credentials of apt: %w", err)
		}
		found, err := parseAuth(string(data))
		if err != nil {
			return nil, fmt.Errorf("cannot read the credentials of apt: %s: %w", file, err)
		}
		all = append(all, found...)
	}
	return all, nil
}

// parseAuth reads entries in the manner of netrc:
//
//	machine host/path login NAME password WORD
//
// Errors show no word of the file behind machine and its value, since it may
// be a password.
func parseAuth(text string) ([]credential, error) {
	var words []string
	for _, line := range strings.Split(text, "\n") {
		fields := strings.Fields(line)
		if len(fields) > 0 && strings.HasPrefix(fields[0], "#") {
			continue
		}
		words = append(words, fields...)
	}
	var all []credential
	for i := 0; i < len(words); i += 2 {
		if i+1 == len(words) {
			return nil, errors.New("the last word has no value")
		}
		value := words[i+1]
		if words[i] == "machine" {
			c := credential{}
			scheme, rest, ok := strings.Cut(value, "://")
			if ok {
				c.scheme = scheme
			} else {
				rest = value
			}
			c.host, c.path, _ = strings.Cut(rest, "/")
			c.path = "/" + c.path
			all = append(all, c)
			continue
		}
		if len(all) == 0 {
			return nil, errors.New("it does not begin with the word machine")
		}
		last := &all[len(all)-1]
		switch words[i] {
		case "login":
			last.login = value
		case "password":
			last.password = value
		case "account":
		default:
			return nil, fmt.Errorf("the entry for the machine %s has a word that is none of login and password", last.host)
		}
	}
	return all, nil
}

// matches says whether the entry is meant for a URL: for the same server, and
// a path that begins with the entry's. Passwords of entries without a scheme
// are not sent in the clear.
func (c credential) matches(u *url.URL) bool {
	if c.scheme != u.Scheme && (c.scheme != "" || u.Scheme != "https") {
		return false
	}
	// An entry with a port is for this port, one without for every port.
	if !strings.EqualFold(c.host, u.Host) && !strings.EqualFold(c.host, u.Hostname()) {
		return false
	}
	return strings.HasPrefix(u.Path, c.path)
}

// credentials returns who to be for a URL; the first entry that fits counts.
func (h *Host) credentials(u *url.URL) *url.Userinfo {
	for _, c := range h.auth {
		if c.matches(u) {
			return url.UserPassword(c.login, c.password)
		}
	}
	return nil
}
