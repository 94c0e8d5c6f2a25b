# Everything a contributor runs, by its short name. `make help` lists it; .ci/run does all of it.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

GO ?= go
# The linter's cache remembers other checkouts' paths, and its exclusions go by path: one cache a checkout.
export GOLANGCI_LINT_CACHE := $(CURDIR)/bin/lint-cache
GOLANGCI_LINT := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.12.2
COVER_MIN ?= 80
FUZZ_TIME ?= 5s
ROUNDS ?= 4
SECONDS_A_ROUND ?= 8

.DEFAULT_GOAL := help
.PHONY: help build run packages test race lint fmt cover bench-smoke fuzz-smoke e2e bench clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## bin/carom
	$(GO) build -o bin/carom ./cmd/carom

run: ## serve on :8080 with its data in ./carom-data
	$(GO) run ./cmd/carom serve

packages: ## find or install what the tests talk to: postgres, redis, nginx, jq
	@.ci/packages

test: packages ## every test; a skipped one fails
	@.ci/gotest ./...

race: packages ## every test under the race detector
	@.ci/gotest -race ./...

lint: ## golangci-lint, pinned, with .golangci.yaml
	$(GO) run $(GOLANGCI_LINT) run --allow-parallel-runners ./...

fmt: ## format as the linter wants it
	$(GO) run $(GOLANGCI_LINT) fmt ./...

cover: packages ## tests under the race detector, coverage across packages, at least COVER_MIN percent
	@COVER_MIN=$(COVER_MIN) .ci/cover

bench-smoke: ## each benchmark once, so that none rots
	@.ci/gotest -run='^$$' -bench=. -benchtime=1x ./...

fuzz-smoke: ## each fuzz target for FUZZ_TIME
	@FUZZ_TIME=$(FUZZ_TIME) .ci/fuzz

e2e: packages ## the real program under the race detector, from outside
	@E2E_RACE=1 .ci/gotest -count=1 ./loadtest/e2e/

bench: build ## CPU of a redirect beside a bare server, alternating
	$(GO) run ./loadtest/hitcost -carom bin/carom -rounds $(ROUNDS) -seconds $(SECONDS_A_ROUND)

clean: ## remove what the targets made
	rm -rf bin coverage.out
