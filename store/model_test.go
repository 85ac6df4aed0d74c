// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"os"
	"time"
)

// envLong is a duration, such as 10m: how long the tests of chance work.
const envLong = "OSBUILD_TEST_LONG"

// longTest is that duration, or 0.
func longTest() time.Duration {
	d, err := time.ParseDuration(os.Getenv(envLong))
	if err != nil {
		return 0
	}
	return d
}
