// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

// Command web serves the files of a folder.
package main

import (
	"flag"
	"log"
	"net/http"
	"os"
)

func main() {
	listen := flag.String("listen", ":8080", "the address to listen on")
	root := flag.String("root", ".", "the folder to serve")
	logFile := flag.String("log", "", "a file to note requests in")
	flag.Parse()
	handler := http.FileServer(http.Dir(*root))
	if *logFile != "" {
		f, err := os.OpenFile(*logFile, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
		if err != nil {
			log.Fatal(err)
		}
		log.SetOutput(f)
	}
	log.Fatal(http.ListenAndServe(*listen, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if *logFile != "" {
			log.Print(r.Method, " ", r.URL.Path)
		}
		handler.ServeHTTP(w, r)
	})))
}
