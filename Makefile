# Tetrad: every target installs what it needs. See README.md.
SHELL := /bin/bash
.DEFAULT_GOAL := build

GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X github.com/tetrad-vault/tetrad/internal/version.Version=$(VERSION)
PKGS    := ./...

# The race detector. Arithmetic of libraries shares nothing, so it goes without: half the time.
# Packages that take longest go first, three at once: some wait for processes most of the time.
BARE    := crypto/internal/fips140 filippo.io/edwards25519 github.com/decred/dcrd github.com/btcsuite/btcd/btcec/v2 github.com/cloudflare/circl
RACE    := -race $(BARE:%=-gcflags=%/...=-race=false)
LONGEST := ./vault ./deploy/lab ./cmd/vaultctl ./cluster ./fsm

.PHONY: deps build test test-long frost-long liar lint generate demo demo-stop bench chaos fuzz clean

## deps: system packages (idempotent); the other targets call it when something is missing
deps:
	@deploy/deps.sh

.PHONY: need need-tests
need:
	@deploy/deps.sh --check --build || deploy/deps.sh --build
need-tests:
	@deploy/deps.sh --check || deploy/deps.sh

## build: bin/vaultd and bin/vaultctl; secrets are erased by the runtime where the toolchain can (deploy/experiment.sh)
build: need
	@mkdir -p bin
	@GOEXPERIMENT=$$(GO=$(GO) deploy/experiment.sh) $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/vaultd ./cmd/vaultctl

## test: everything, with the race detector; about 8 minutes on two cores, more when it must build first, quiet when green
test: need-tests build
	@set -o pipefail; $(GO) test $(RACE) -p 3 -timeout 15m $(LONGEST) $(PKGS) 2>&1 | grep -v -e '^ok ' -e 'no test files' || [ $${PIPESTATUS[0]} -eq 0 ]
	@set -o pipefail; $(GO) test -timeout 10m ./chaos/sim ./cluster | grep -v '^ok ' || [ $${PIPESTATUS[0]} -eq 0 ]
	@set -o pipefail; $(GO) test -tags liar -short -timeout 10m ./chaos/liar ./deploy/liar | grep -v '^ok ' || [ $${PIPESTATUS[0]} -eq 0 ]
	@set -o pipefail; x=$$(GO=$(GO) deploy/experiment.sh); case $$x in *noruntimesecret) ;; *runtimesecret) GOEXPERIMENT=$$x $(GO) test -trimpath -short -timeout 10m ./vault/frost ./internal/box ./internal/erase \
		&& GOEXPERIMENT=$$x $(GO) test -trimpath -run Nowhere -timeout 10m ./vault;; esac | grep -v -e '^ok ' -e 'no test files' || [ $${PIPESTATUS[0]} -eq 0 ]
	@echo "all tests passed"

## test-long: every place a key ceremony can be struck at; nonce pools over the wide area; four real processes with the race detector in them, and longer pauses
test-long: need
	@TETRAD_LONG=1 $(GO) test -timeout 30m -count 1 ./vault ./deploy/lab ./internal/node

## frost-long: FROST_ROUNDS (default a million) threshold signatures, judged by crypto/ed25519 and btcec; about 25 minutes on two quiet cores
frost-long: need
	@FROST_ROUNDS=$${FROST_ROUNDS:-1000000} $(GO) test -run RandomRounds -timeout 0 -count 1 -v ./vault/frost

## liar: every lie of docs/design/liar.md, simulated and by real processes, with and without its defence; ends with a table
liar: need
	@RACE="$(RACE)" deploy/liar.sh

## lint: formatting, vet, staticcheck, generated code current
lint: need
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); echo "run gofmt -w on these"; exit 1; }
	@$(GO) vet $(PKGS)
	@$(GO) vet -tags liar $(PKGS)
	@$(GO) tool staticcheck $(PKGS)
	@$(GO) mod verify >/dev/null
	@deploy/generate.sh --check
	@echo "lint clean"

## generate: protobuf code and the API reference
generate: need
	@deploy/generate.sh

## demo: four regions, payments signed by two of them: Bitcoin from HSM keys and from a threshold key, Solana from another (KEEP=1 leaves it running)
demo: build
	@deploy/demo.sh

## demo-stop: ends demos left running with KEEP=1
demo-stop:
	@deploy/demo.sh stop

## bench: figures for docs/performance.md
bench: build
	@deploy/bench.sh

## fuzz: every fuzzer for FUZZTIME (default 20s)
fuzz: need
	@deploy/fuzz.sh

## chaos: simulated clusters under faults, CHAOS_SEEDS seeds (default 50) or CHAOS_HOURS hours, and copied regions and old disks; docs/design/chaos.md
chaos: need
	@CHAOS_SEEDS=$${CHAOS_SEEDS:-50} $(GO) test ./chaos/sim -run 'TestRandomFaults|TestCopiedRegion|TestOldDisk|TestPlantedRevival' -timeout 0 -v

clean:
	@rm -rf bin
