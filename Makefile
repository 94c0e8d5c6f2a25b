# Everything a contributor runs, by its short name. `make help` lists it; .ci/run does all of it.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

GO ?= go
# The linter's cache remembers other checkouts' paths, and its exclusions go by path: one cache a checkout.
export GOLANGCI_LINT_CACHE := $(CURDIR)/bin/lint-cache
GOLANGCI_LINT := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.12.2
GOVULNCHECK := golang.org/x/vuln/cmd/govulncheck@v1.9.0
COVER_MIN ?= 80
FUZZ_TIME ?= 15s
ROUNDS ?= 5
SECONDS_A_ROUND ?= 4
SHAPES ?= 64,500,64x16,500x16
# A k6 on the PATH, or this version, built once.
K6_VERSION := v1.8.1
K6 ?= $(shell command -v k6 || echo bin/k6-$(K6_VERSION))
DURATION ?= 2h
LOADTEST ?=
LOADTEST_OUT ?= loadtest/results

.DEFAULT_GOAL := help
.PHONY: help build run packages test race lint fmt cover bench-smoke fuzz-smoke e2e bench bench-short compare loadtest loadtest-minute chaos chaos-short faults soak clean deploy-check vulnerabilities pgo

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## bin/carom
	$(GO) build -o bin/carom ./cmd/carom

run: ## serve on :8080 with its data in ./carom-data
	$(GO) run ./cmd/carom serve

packages: ## find or install what the tests use: Postgres, PgBouncer, Redis, nginx, HAProxy, Prometheus, jq, strace, shellcheck
	@.ci/packages

test: packages ## every test; a skipped one fails
	@.ci/gotest ./...

race: packages ## every test under the race detector
	@.ci/gotest -race ./...

lint: ## golangci-lint, pinned, with .golangci.yaml
	$(GO) run $(GOLANGCI_LINT) run --allow-parallel-runners ./...
	cd deploy/check && $(GO) run $(GOLANGCI_LINT) run --allow-parallel-runners -c ../../.golangci.yaml ./...

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

bench: build ## a redirect's cost beside a bare server's and nginx', alternating; RUN=regexp SHAPES=64,500x16 ROUNDS= SECONDS_A_ROUND= LINKS= JSON=
	$(GO) run ./loadtest/bench -carom bin/carom -rounds $(ROUNDS) -seconds $(SECONDS_A_ROUND) -run '$(RUN)' -shapes $(SHAPES) \
	  $(if $(LINKS),-links $(LINKS)) $(if $(LINKS_DB),-links-db $(LINKS_DB)) $(if $(JSON),-json $(JSON))

bench-short: build ## the same for a minute: wrong answers, errors and lost clicks fail, slowness does not
	$(GO) run ./loadtest/bench -carom bin/carom -short

compare: ## the Go benchmarks of REF against the working tree's, by benchstat; BENCH=regexp PKGS= COUNT= BENCHTIME=
	@BENCH='$(BENCH)' PKGS='$(PKGS)' COUNT=$(COUNT) BENCHTIME=$(BENCHTIME) .ci/compare $(or $(REF),HEAD)

loadtest: packages build $(K6) ## k6 against one instance and against three behind nginx, about 35 minutes; results in LOADTEST_OUT
	$(GO) run ./loadtest/k6 -carom bin/carom -k6 $(K6) -out $(LOADTEST_OUT) $(LOADTEST)

loadtest-minute: packages build $(K6) ## the same in about a minute: fails on a wrong answer, an error or a lost click, never on a slow machine
	$(GO) run ./loadtest/k6 -carom bin/carom -k6 $(K6) -minute

bin/k6-$(K6_VERSION):
	GOBIN=$(CURDIR)/bin/k6-build $(GO) install go.k6.io/k6@$(K6_VERSION)
	mv bin/k6-build/k6 $@

chaos: packages ## every fault of the table in full, hours; RUN=regexp SEED= REPORT=file.md
	$(GO) run ./loadtest/chaos $(if $(RUN),-run '$(RUN)') $(if $(SEED),-seed $(SEED)) $(if $(REPORT),-report $(REPORT))

chaos-short: packages ## the short form: lost clicks, wrong answers and errors fail, a slow machine does not; RUN=regexp SEED=
	$(GO) run ./loadtest/chaos -short $(if $(RUN),-run '$(RUN)') $(if $(SEED),-seed $(SEED)) $(if $(REPORT),-report $(REPORT))

faults: packages ## the fault tests on Postgres and Redis in the form that holds times to what is promised, one at a time, 15 minutes
	@CAROM_FAULT_SECONDS=60 .ci/gotest -count=1 -parallel 1 -timeout 60m ./cmd/carom/faults

soak: packages ## half of what is answered for DURATION, up to 100 million requests, with kills, restarts and services that go, in turn
	$(GO) run ./loadtest/chaos -run S1 -soak $(DURATION) $(if $(SEED),-seed $(SEED)) $(if $(REPORT),-report $(REPORT))

deploy-check: packages ## the files of deploy/ and .github/ held to each other and to the program, both proxies in a real run
	@cd deploy/check && ../../.ci/gotest -count=1 ./...

vulnerabilities: ## what is publicly known of the code that is used; needs the network
	$(GO) run $(GOVULNCHECK) ./...
	cd deploy/check && $(GO) run $(GOVULNCHECK) ./...

pgo: ## the profile that the build optimises by, from two minutes of load; needs wrk
	profiles/make-pgo

clean: ## remove what the targets made
	rm -rf bin coverage.out
