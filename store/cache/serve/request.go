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
	list := strings.Split(parts, ",")
	for k, part := range list {
		// The last no bytes are a range that cannot be had, as one behind the
		// end is, and not one of no length (section 14.1.2).
		if zeros, ok := strings.CutPrefix(strings.TrimSpace(part), "-"); ok && zeros != "" && strings.Trim(zeros, "0") == "" {
			list[k] = behindAll
		}
	}
	r.Header.Set("Range", "bytes="+strings.Join(list, ","))
}

// behindAll is a range that no file has.
const behindAll = "9223372036854775807-"

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
