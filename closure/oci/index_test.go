// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"bytes"
	"encoding/json"
	"testing"
)

// FuzzIndex adds a manifest to any index: what comes out holds it once, and
// adding it again changes nothing.
func FuzzIndex(f *testing.F) {
	f.Add([]byte(`{"schemaVersion":2,"manifests":[{"digest":"a","annotations":{"org.opencontainers.image.ref.name":"t"}},{"digest":"b"}]}`))
	f.Add([]byte(`{"manifests":[1,null,"x",{"annotations":3}],"mediaType":""}`))
	f.Add([]byte(`null`))
	f.Add([]byte(`{"manifests":null}`))
	f.Fuzz(func(t *testing.T, old []byte) {
		d := descriptor{MediaType: mediaManifest, Digest: "sha256:ours", Size: 3}
		out, err := addToIndex(old, "t", d)
		if err != nil {
			return
		}
		var index struct{ Manifests []json.RawMessage }
		if err := json.Unmarshal(out, &index); err != nil {
			t.Fatalf("%q became %q: %v", old, out, err)
		}
		ours := 0
		for _, m := range index.Manifests {
			var d descriptor
			if json.Unmarshal(m, &d) == nil && d.Annotations[annotationTag] == "t" {
				ours++
			}
		}
		again, err := addToIndex(out, "t", d)
		if ours != 1 || err != nil || !bytes.Equal(again, out) {
			t.Errorf("%q became %q, then %q: %v", old, out, again, err)
		}
	})
}
