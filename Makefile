# Everything a developer of Transom types. `make` alone lists it.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# The version that `transom version` prints.
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
# How long `make fuzz` gives each target.
FUZZTIME ?= 30s
# More flags for the tests, such as TESTFLAGS='-run Reload -v'.
TESTFLAGS ?=
# What `make bench` hands to the comparison.
BENCHFLAGS ?=

# grpcnotrace keeps templates out of the binary: they would keep the linker
# from leaving out methods that nobody calls.
TAGS := grpcnotrace
LDFLAGS := -s -w -X main.version=$(VERSION)
# Modules beside the root's, those that exist.
MODULES := $(patsubst %/go.mod,%,$(wildcard bench/go.mod interop/go.mod interop/deploy/go.mod console/bundle/go.mod))
LINT := $(CURDIR)/bin/golangci-lint

.PHONY: help
help: ## List what make can do
	@awk -F':.*## ' '/^[a-z-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

# load.pgo is a CPU profile of the benchmark's load, by which the compiler
# decides what to inline (CONTRIBUTING.md says how to take another). It is no
# default.pgo, as then `go vet ./...` and `go test ./...` would compile all
# dependencies twice.
.PHONY: build
build: ## Build bin/transom, static and stripped
	CGO_ENABLED=0 go build -tags $(TAGS) -trimpath -pgo cmd/transom/load.pgo -ldflags '$(LDFLAGS)' -o bin/transom ./cmd/transom

.PHONY: run
run: build ## Start the example service and the gateway on :8080
	bin/transom demo

.PHONY: run-secured
run-secured: build ## Start the example with login, roles and limits on :8080
	go build -o bin/ ./examples/secured/cmd/lending-desk
	bin/lending-desk -gateway bin/transom

.PHONY: run-resilient
run-resilient: build ## Start the example with three servers, some of them ill, on :8080
	go build -o bin/ ./examples/resilient/cmd/tide-stations
	bin/tide-stations -gateway bin/transom

.PHONY: run-storefront
run-storefront: build ## Start the example with a plain HTTP site, a gRPC API and a chat on :8080
	go build -o bin/ ./examples/storefront/cmd/storefront-servers
	bin/storefront-servers -gateway bin/transom

.PHONY: run-behaviour
run-behaviour: build ## Start the example whose page tells of clicks and shows their counts on :8080
	go build -o bin/ ./examples/behaviour/cmd/behaviour-servers
	bin/behaviour-servers -gateway bin/transom

.PHONY: test
test: test-packages ## Run all tests of every module, and name all that fail
	@scripts/test.sh $(TESTFLAGS)

.PHONY: test-packages
test-packages: ## Install the programs that tests start, or name them
	@scripts/install-test-packages.sh
	@bench/install.sh
	@for module in $(MODULES); do test ! -x $$module/install.sh || $$module/install.sh; done

# Apart from `make test`, as it takes root: it makes containers.
.PHONY: image-test
image-test: ## Build the image with buildah and run it with runc, as root: on a read-only root, and in 256 MiB under a flood
	@scripts/install-test-packages.sh image
	go vet -tags image ./cmd/transom
	go test -tags image -count 1 -v -run '^(TestImage|TestFloodInContainer)$$' ./cmd/transom $(TESTFLAGS)

# Apart from `make test`, as it fetches some 200 MB of others' packages.
.PHONY: openapi-validators
openapi-validators: test-packages ## Have openapi-spec-validator, Redocly and Spectral read the OpenAPI documents of bookstore, secured, etcd, OpenFGA and Google's APIs
	cd interop && go vet -tags validators ./openapi
	cd interop && go test -tags validators -count 1 -v -run '^TestValidators$$' ./openapi $(TESTFLAGS)

# Apart from `make test`, as it fetches some 100 MB of others' packages.
.PHONY: openapi-clients
openapi-clients: test-packages ## Have openapi-typescript, hey-api and openapi-generator make clients of the bookstore's OpenAPI document, and have these call it
	@command -v javac >/dev/null || { echo "openapi-clients needs the program javac: install the package default-jdk-headless" >&2; exit 1; }
	cd interop && go vet -tags clients ./openapi
	cd interop && go test -tags clients -count 1 -v -run '^TestClients$$' ./openapi $(TESTFLAGS)

# Apart from `make test`, as it fetches others' packages and takes minutes.
.PHONY: openapi-schemathesis
openapi-schemathesis: test-packages ## Have Schemathesis make 5,000 cases each of the OpenAPI documents of bookstore and secured, and judge the answers of their gateways
	cd interop && go vet -tags schemathesis ./openapi
	cd interop && go test -tags schemathesis -count 1 -v -timeout 30m -run '^TestSchemathesis$$' ./openapi $(TESTFLAGS)

# Ten years on, certificates, tokens and fixed dates of tests have ended.
# TestDemoOverTLS asks by curl, which has the machine's own date.
.PHONY: test-future
test-future: test-packages ## Run the tests that have to do with dates as in ten years
	scripts/test-future.sh 10 -skip '^TestDemoOverTLS$$' ./policy/... ./internal/gateway ./cmd/transom $(TESTFLAGS)

.PHONY: lint
lint: $(LINT) ## Check format, vet and the linters, in every module
	@stale=$$(gofmt -l $$(git ls-files --cached --others --exclude-standard '*.go' | xargs -r ls -d 2>/dev/null)); \
	if [ -n "$$stale" ]; then echo "gofmt would change:"; echo "$$stale"; exit 1; fi
	@failed=; for module in . $(MODULES); do \
		echo "module $$module"; \
		(cd $$module && go vet ./...) || failed="$$failed $$module:vet"; \
		(cd $$module && $(LINT) run --config $(CURDIR)/.golangci.yml ./...) || failed="$$failed $$module:golangci-lint"; \
	done; \
	if [ -n "$$failed" ]; then echo "failed:$$failed"; exit 1; fi
	@for os in darwin windows; do GOOS=$$os go vet ./internal/server/sockets || exit 1; done

# The linter's version is pinned in a module of its own, so that what it needs
# never meets what Transom needs.
$(LINT): tools/golangci/go.mod tools/golangci/go.sum
	cd tools/golangci && CGO_ENABLED=0 go build -trimpath -o $@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint

# What the binary may weigh, in bytes, and that the linker still leaves out the
# methods that nobody calls: one use of reflection by name keeps them all.
SIZE_LIMIT := 47800000
.PHONY: check-size
check-size: build ## Fail where the binary has grown past its budget
	@size=$$(wc -c < bin/transom); echo "bin/transom has $$size bytes of $(SIZE_LIMIT)"; test $$size -le $(SIZE_LIMIT)
	@found=$$(CGO_ENABLED=0 go build -tags $(TAGS) -trimpath -pgo cmd/transom/load.pgo -ldflags '$(LDFLAGS) -dumpdep' -o /dev/null ./cmd/transom 2>&1 | grep ReflectMethod || true); \
	if [ -n "$$found" ]; then echo "methods are reached by reflection:"; echo "$$found"; exit 1; fi

.PHONY: fuzz
fuzz: ## Fuzz each target for FUZZTIME
	@grep -rl --include='*_test.go' '^func Fuzz' . | xargs -r -n1 dirname | sort -u | while read -r dir; do \
		for target in $$(grep -ho '^func Fuzz[A-Za-z0-9_]*' $$dir/*_test.go | cut -d' ' -f2 | sort -u); do \
			echo "$$dir $$target"; \
			(cd $$dir && go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) .); \
		done; \
	done

.PHONY: bypass
bypass: ## Try a million hostile paths of plain HTTP routes on servers that read them otherwise
	cd internal/httproute && go test -count 1 -run '^TestNoBypass$$' -v -timeout 20m . -args -bypass-paths 1000000
	cd internal/gateway && go test -count 1 -run '^TestNoBypassOfRoutes$$' -v -timeout 60m . -args -bypass-tables 50 -bypass-paths 20000

.PHONY: log-faults
log-faults: ## Kill the log of events at 3,000 points, flip every bit of it, kill 100 processes
	cd events/log && go test -count 1 -run '^(TestKillPoints|TestEveryBit|TestKilledProcess)$$' -v -timeout 30m . -args -kill-points 1000 -all-bits -kills 100

.PHONY: events-soak
events-soak: ## Kill gateways and a Kafka broker while 100,000 events are stored, and the log at 3,000 points: none is lost
	go test -count 1 -run '^TestEventsLedgerKafka$$' -v -timeout 120m ./cmd/transom -args -ledger-seeds 20 -ledger-events 5000
	$(MAKE) log-faults

.PHONY: subscriptions-soak
subscriptions-soak: ## Kill gateways that are members of a group, and their Kafka broker, under 100,000 records: each has its effect, in order for its key
	go test -count 1 -run '^TestSubscriptionsKilled$$' -v -timeout 120m ./cmd/transom -args -soak-records 100000 -soak-every 4000

.PHONY: events-bench
events-bench: ## Measure events: what one costs a call, appends beside the disk's syncs, recovery, the drain to a real Kafka broker
	go test -run '^$$' -bench Publish ./events/bus
	go test -run '^$$' -bench BestEffort ./events/rule
	go test -run '^$$' -bench 'Append|Sync|Recovery' ./events/log
	go test -run '^$$' -bench Drain -benchtime 500000x ./events/kafka
	go test -run '^$$' -bench StoredCall -benchtime 20000x ./internal/gateway

.PHONY: streams-load
streams-load: build ## Tell 10,000 clients of server-sent events, in ten classes, 1,000 events a second: prints times, memory and encodings
	go test -count 1 -run '^TestStreamsLoad$$' -v -timeout 10m ./cmd/transom -args -streams-clients 10000 -streams-few 2000 -streams-rate 1000 -streams-time 15s -streams-program $(CURDIR)/bin/transom

.PHONY: tabs-soak
tabs-soak: ## Close 1,000 tabs of Chromium: at least 99.5 % of their events arrive
	cd interop && go test -count 1 -run '^TestClosedTabs$$' -v -timeout 60m ./pages -args -tabs 1000

.PHONY: upgrade-soak
upgrade-soak: ## Replace the process 36 times under 50,000 requests by HTTP/1.1, HTTP/2 and WebSockets: none fails
	go test -count 1 -run '^TestHandOvers$$' -v -timeout 60m ./cmd/transom -args -hand-overs 36 -hand-over-requests 50000

.PHONY: keys-soak
keys-soak: ## Pay under 100,000 idempotency keys while clients go and 200 gateways are killed: no call twice
	go test -count 1 -run '^TestNoCallTwiceKilled$$' -v -timeout 60m ./cmd/transom -args -soak-keys 100000 -soak-kills 200

.PHONY: bench
bench: ## Compare Transom with its peers on the same work
	bench/install.sh
	cd bench && go run . $(BENCHFLAGS)
	go test -run '^$$' -bench . ./transcoder/jsonwire ./internal/httprule

.PHONY: generate
generate: ## Write the Go code of the .proto files
	go run ./internal/generate
	cd bench && go run ./gengateway

.PHONY: check-generated
check-generated: ## Fail where generated code is stale
	go run ./internal/generate -check
	cd bench && go run ./gengateway -check

# The console is built by esbuild, a Go module; Node's npm only fetches the locked packages.
console/node_modules/.package-lock.json: console/package-lock.json
	cd console && npm ci --ignore-scripts --no-audit --no-fund

.PHONY: console
console: console/node_modules/.package-lock.json ## Write the files of the console of its sources in TypeScript
	cd console/bundle && go run .

.PHONY: check-console
check-console: console/node_modules/.package-lock.json ## Fail where the files of the console are stale, or its types are wrong
	cd console/bundle && go run . -check
	cd console && npm run --silent check

# Apart from `make test`, as times take a quiet machine, and as Lighthouse brings 200 packages of others.
.PHONY: console-times
console-times: ## Have Chromium show 20,000 routes: the first rows within 300 ms, those of a filter within 50 ms
	cd interop && go test -count 1 -run '^TestConsoleOfManyRoutes$$' -v ./pages -args -console-times

.PHONY: console-tail
console-tail: ## Watch 1,000 calls a second in the console for ten minutes: neither its heap nor the gateway's grows
	cd interop && go test -count 1 -run '^TestConsoleTail$$' -v -timeout 30m ./pages -args -console-tail-time 10m

.PHONY: console-lighthouse
console-lighthouse: test-packages ## Have Lighthouse look at each page of the console
	cd interop && go vet -tags lighthouse ./pages
	cd interop && go test -tags lighthouse -count 1 -run '^TestLighthouse$$' -v ./pages

.PHONY: clean
clean: ## Remove what make built
	rm -rf bin dist bench/bin
