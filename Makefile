# Cantus. `make help` lists what there is; nothing here needs more than Go, but for
# `make e2e…`, which also use Node, nginx, jq and openssl, and e2e-net iproute2, and for
# contracts/, whose compiler comes from npm: without Node `make gen` leaves it as it is.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# The same flags everywhere: another set would compile everything, some 840 modules, anew.
export GOFLAGS := -trimpath -tags=netgo -buildvcs=false

# Only the linker sees the version, so that another one relinks and compiles nothing.
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X main.version=$(VERSION)

BIN := bin
# Test binaries that link the ledger are large: how many may be built side by side.
JOBS ?= 2
FUZZTIME ?= 10s
# The site that `make demo` crawls; empty for these very docs, served by the gateway.
SEED ?=
TOOL := go tool -modfile=.ci/tools.mod

##@ Build and use

.PHONY: build
build: ## Build bin/cantus and bin/cantus-worker
	mkdir -p $(BIN)
	go build -p $(JOBS) -ldflags '$(LDFLAGS)' -o $(BIN)/ ./cmd/...
	ls -lh $(BIN)

.PHONY: install
install: ## Install the commands into Go's bin directory
	go install -ldflags '$(LDFLAGS)' ./cmd/...

.PHONY: demo
demo: build ## Crawl, ask, settle and verify on a network of one machine; SEED=https://… for a site of your choice
	$(BIN)/cantus demo $(SEED)

##@ Check

.PHONY: test
test: ## The fast suite: every package
	go test -p $(JOBS) -timeout 30m ./...

.PHONY: test-light
test-light: ## The packages that do not link the ledger; the first ones to run while working
	go test -p $(JOBS) $$(go list -deps=false ./... | grep -vE '/(ledger|cmd|internal/testnet)(/|$$)')

.PHONY: race
race: ## The same packages under the race detector (needs a C compiler)
	CGO_ENABLED=1 go test -race -p $(JOBS) $$(go list ./... | grep -vE '/(ledger|cmd|internal/testnet)(/|$$)')

.PHONY: e2e
e2e: build ## A whole network on real input: clients from npm, 2,000 pages and more, answers, money, resume
	test/e2e.sh
	test/infer.sh
	test/backend.sh
	test/contracts.sh

.PHONY: e2e-net
e2e-net: build ## 4 validators, 2 gateways, 8 workers in network namespaces; parts die during a crawl (root)
	test/net.sh

.PHONY: e2e-contracts-net
e2e-contracts-net: build ## 4 validators, thousands of contracts' requests of all kinds, one state; a fifth joins by state sync
	test/contracts-net.sh

.PHONY: test-contracts
test-contracts: ## The Solidity package: base contract, mock and examples (needs Node)
	test/contracts-unit.sh

.PHONY: arch
arch: ## The arithmetic of exact/ on arm64 and riscv64, under qemu-user
	test/exact-arch.sh

.PHONY: e2e-upgrade
e2e-upgrade: build ## The program of before an upgrade, the vote, today's program: on a running network
	test/upgrade.sh

.PHONY: e2e-kill
e2e-kill: build ## kill -9 of ledger, gateway and workers at random moments; KILLS=50 for more than 10
	test/kill.sh

.PHONY: fuzz
fuzz: ## Each fuzz target for FUZZTIME (10s)
	.ci/fuzz $(FUZZTIME)

.PHONY: lint
lint: fmt-check vet staticcheck vulncheck gen-check ## Everything that finds mistakes without running the code

.PHONY: fmt
fmt: ## Format the Go code
	gofmt -w $$(.ci/gofiles)

.PHONY: fmt-check
fmt-check:
	out=$$(gofmt -l $$(.ci/gofiles)); [ -z "$$out" ] || { echo "not gofmt-ed, run make fmt:"; echo "$$out"; exit 1; }

.PHONY: vet
vet:
	go vet ./...

.PHONY: staticcheck
staticcheck:
	$(TOOL) staticcheck ./...

# The vulnerability database is on the network; a machine that cannot reach it says so
# and goes on, a finding fails.
.PHONY: vulncheck
vulncheck:
	.ci/vulncheck $(TOOL) govulncheck

##@ Generate

.PHONY: gen
gen: ## Write what is generated: Go from proto/, pages of the documentation, ABIs (with Node)
	go run ./internal/protogen
	go run ./docs/docgen
	exact/kernel/avogen/gen
	contracts/gen

.PHONY: demo-model
demo-model: ## Train the demo model anew, into models/demo (an hour; needs PyTorch and WordNet)
	models/demo/train/run.sh

.PHONY: gen-check
gen-check: ## Fail if make gen would change anything
	go run ./internal/protogen -check
	go run ./docs/docgen -check
	exact/kernel/avogen/gen -check
	contracts/gen -check

##@ Measure

.PHONY: bench
bench: ## List the benchmarks
	@sed -n 's/^# \(bench\/[^:]*\): /  \1  /p' bench/*.sh

.PHONY: bench-crawl
bench-crawl: build ## Pages a second through the whole network, and 50 pages from command to settled
	bench/crawl.sh

.PHONY: bench-worker
bench-worker: build ## Size of cantus-worker, and its memory when idle
	bench/worker.sh

.PHONY: bench-load
bench-load: ## 10,000 workers on one gateway for ten minutes; ARGS='-for 60s' for a short run
	bench/load.sh $(ARGS)

.PHONY: bench-scale
bench-scale: ## 2,000,000 workers in cells, and what a crawl of 100 billion pages takes
	bench/scale.sh $(ARGS)

.PHONY: bench-ledger
bench-ledger: build ## The ledger's transactions a second and submit-to-final times
	bench/ledger.sh

.PHONY: bench-infer
bench-infer: ## package exact/model beside llama.cpp on the same models; ARGS='-model 110M' for the small one
	bench/infer.sh $(ARGS)

.PHONY: bench-measured
bench-measured: ## Error rates of the audits of foreign backends
	bench/measured.sh $(ARGS)

.PHONY: bench-go
bench-go: ## The Go benchmarks of the packages that do not link the ledger
	go test -run '^$$' -bench . -benchtime 1s $$(go list ./... | grep -vE '/(ledger|cmd|internal/testnet)(/|$$)')

##@ Rest

.PHONY: clean
clean: ## Remove what was built; caches stay
	rm -rf $(BIN)

.PHONY: help
help: ## This list
	@awk 'BEGIN { FS = ":.*## " } \
		/^##@/ { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z0-9-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
