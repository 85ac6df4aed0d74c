// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package serve_test

import (
	"bytes"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"testing"

	"osbuild/store/cache/narinfo"
	"osbuild/store/cache/origin"
	"osbuild/store/cache/serve"
)

// FuzzRange holds that whatever ranges a client asks for, it gets bytes of the
// archive that the answer names, or none.
func FuzzRange(f *testing.F) {
	from := newRoot(f)
	from.closure()
	s := &serve.Server{Origin: &origin.Origin{Store: from.store, Priority: origin.DefaultPriority}, Lease: from.lease}
	i := from.find("top")
	var want bytes.Buffer
	if err := from.store.DumpNAR(f.Context(), i.Path, &want); err != nil {
		f.Fatal(err)
	}
	info := httptest.NewRecorder()
	s.ServeHTTP(info, httptest.NewRequest(http.MethodGet, "/"+narinfo.Name(i.Path), nil))
	n, err := narinfo.Parse(info.Body.Bytes())
	if err != nil {
		f.Fatal(err)
	}
	for _, spec := range []string{"bytes=0-0", "bytes=-9", "bytes=7-", "bytes=5-3", "bytes=1-2,4-5", "Bytes = 1-2", "bytes=99999999999999999999-", "bytes=-0", "lines=1-2", "bytes=,,1-1,", "bytes=1-1,x"} {
		f.Add(spec)
	}
	f.Fuzz(func(t *testing.T, spec string) {
		req := httptest.NewRequest(http.MethodGet, "/"+n.URL, nil)
		req.Header.Set("Range", spec)
		rec := httptest.NewRecorder()
		s.ServeHTTP(rec, req)
		res := rec.Result()
		defer res.Body.Close()
		switch res.StatusCode {
		case http.StatusOK:
			if !bytes.Equal(rec.Body.Bytes(), want.Bytes()) {
				t.Errorf("%q: the whole is %d bytes of %d", spec, rec.Body.Len(), want.Len())
			}
		case http.StatusRequestedRangeNotSatisfiable:
			if got, sure := res.Header.Get("Content-Range"), fmt.Sprintf("bytes */%d", want.Len()); got != sure && got != "" {
				t.Errorf("%q: Content-Range %q, want %q", spec, got, sure)
			}
		case http.StatusPartialContent:
			kind, parameters, err := mime.ParseMediaType(res.Header.Get("Content-Type"))
			if err != nil {
				t.Fatal(err)
			}
			if kind != "multipart/byteranges" {
				checkPart(t, spec, res.Header.Get("Content-Range"), rec.Body.Bytes(), want.Bytes())
				return
			}
			parts := multipart.NewReader(res.Body, parameters["boundary"])
			for {
				p, err := parts.NextPart()
				if err == io.EOF {
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(p)
				if err != nil {
					t.Fatal(err)
				}
				checkPart(t, spec, p.Header.Get("Content-Range"), body, want.Bytes())
			}
		default:
			t.Errorf("%q: the status is %d", spec, res.StatusCode)
		}
	})
}

func checkPart(t *testing.T, spec, place string, got, want []byte) {
	t.Helper()
	var first, last, total int
	if _, err := fmt.Sscanf(place, "bytes %d-%d/%d", &first, &last, &total); err != nil {
		t.Fatalf("%q: Content-Range %q: %v", spec, place, err)
	}
	if total != len(want) || first < 0 || last < first || last >= total || !bytes.Equal(got, want[first:last+1]) {
		t.Errorf("%q: Content-Range %q with %d bytes, which are others", spec, place, len(got))
	}
}
