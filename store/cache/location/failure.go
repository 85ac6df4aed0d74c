// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package location

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
)

// Unreachable says that an error is one of the way to a location, so that
// other files are as little to be had: there is no connection, or silence.
func Unreachable(err error) bool {
	var op *net.OpError
	var name *net.DNSError
	var certificate *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var timeout net.Error
	switch {
	case errors.Is(err, errRefused):
		return false
	case errors.As(err, &op), errors.As(err, &name), errors.As(err, &certificate), errors.As(err, &record),
		errors.Is(err, errStalled), errors.Is(err, errSlow), errors.Is(err, io.EOF): // instead of an answer
		return true
	}
	return errors.As(err, &timeout) && timeout.Timeout()
}

// Overloaded says that a server answered, at each attempt, that it cannot
// answer. That may be because of this one file.
func Overloaded(err error) bool {
	var status *StatusError
	return errors.As(err, &status) && (status.Code >= 500 || status.Code == http.StatusTooManyRequests)
}
