// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package location

import (
	"net/http"
	"net/http/httptest"
)

// ParseContentRange is for fuzzing.
var ParseContentRange = parseContentRange

// Connections is how many connections one server gets.
const Connections = connections

// TrustServer makes w take the certificate of a test's server.
func TrustServer(w *Web, s *httptest.Server) {
	t := w.get.Transport.(*http.Transport)
	config := s.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	config.NextProtos = t.TLSClientConfig.NextProtos // also HTTP/2
	t.TLSClientConfig = config
}
