# osbuild: `make run` builds and boots a real system, `make test` proves it.
# SPDX-License-Identifier: Apache-2.0

GO ?= go
# Static and reproducible: the same bytes from any folder, user or checkout.
export CGO_ENABLED = 0
BUILDFLAGS = -trimpath -buildvcs=false -ldflags='-s -w -buildid='

.PHONY: help build run test test-root test-long fuzz golden lint bench bench-store clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 12

build: ## bin/osbuild and bin/osbuild-init
	@mkdir -p bin
	$(GO) build $(BUILDFLAGS) -o bin/ ./cmd/osbuild ./cmd/osbuild-init

run: build ## build and boot fixtures/hello, and show its page
	@.ci/packages run
	bin/osbuild run-container fixtures/hello/system.star -- \
		/run/current-system/profile/bin/hello get http://127.0.0.1:8080/

test: build ## all tests that this machine and user can run
	@.ci/packages test
	$(GO) test -timeout 20m ./...

test-root: build ## the tests, as root and as an ordinary user too
	@.ci/packages test
	@test "$$(id -u)" = 0 || { echo "test-root: run it as root" >&2; exit 1; }
	@.ci/test-user
	OSBUILD_TEST_USER=osbtest $(GO) test -count=1 -timeout 20m ./...

test-long: build ## ten minutes of random work of many processes on one store, every loss of power, large graphs
	OSBUILD_TEST_LONG=10m $(GO) test -count=1 -v -timeout 60m -run 'TestModel|TestFaults|TestNix' ./store

fuzz: ## each fuzz target for 30 seconds; FUZZTIME=5m for longer
	GO='$(GO)' .ci/fuzz $(FUZZTIME)

golden: build ## rewrite the golden files
	$(GO) test ./builder/lang ./builder/services ./builder/system ./builder/debian/handlers ./runner/activate ./runner/mount ./runner/supervise ./cmd/osbuild ./fixtures -update
	$(GO) test ./store ./store/nar ./store/cache -update

lint: ## format, vet, static checks, layers
	@out=$$($(GO) tool gofumpt -l .); test -z "$$out" || { echo "not formatted:"; echo "$$out"; exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	$(GO) test -run TestLayers .

bench: build ## speed, as ratios against peers in one run
	@.ci/packages bench
	$(GO) test -tags bench -count=1 -v -timeout 30m -run TestBench ./fixtures/bench

bench-store: build ## the store: ratios against Nix, and how costs grow
	@.ci/packages bench
	$(GO) test -tags bench -count=1 -v -timeout 60m -run TestStore ./fixtures/bench

clean: ## remove what was built
	rm -rf bin
