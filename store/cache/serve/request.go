// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"net/http"
	"strings"
)

// maxRanges is how many parts of a file one request may ask for.
const maxRanges = 16

// tidyRange leaves of a request's ranges what RFC 9110 wants to be heeded:
// those of bytes, in a GET. Who asks for many small ones gets the file, which
// costs less (section 14.2).
func tidyRange(r *http.Request) {
	text := r.Header.Get("Range")
	if text == "" {
		return
	}
	unit, parts, ok := strings.Cut(text, "=")
	if !ok || r.Method != http.MethodGet || !strings.EqualFold(strings.TrimSpace(unit), "bytes") || strings.Count(parts, ",") >= maxRanges {
		r.Header.Del("Range")
		return
	}
	r.Header.Set("Range", "bytes="+parts)
}

// accepts says whether a client understands an encoding.
func accepts(h http.Header, encoding string) bool {
	for _, field := range strings.Split(strings.Join(h.Values("Accept-Encoding"), ","), ",") {
		name, quality, _ := strings.Cut(field, ";")
		if strings.EqualFold(strings.TrimSpace(name), encoding) {
			return strings.Trim(strings.TrimPrefix(strings.TrimSpace(quality), "q="), "0.") != "" || quality == ""
		}
	}
	return false
}
