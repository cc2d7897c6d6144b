# Every target is one thing a person does; `make` lists them.
GO   ?= go
TOOL := $(GO) tool -modfile=tools/go.mod
# The release binary: static, without the paths of this machine, with the time
# zones inside, so that it runs in an empty container.
BUILD := CGO_ENABLED=0 $(GO) build -trimpath -tags timetzdata -ldflags='-s -w'

RELEASE := $(GO) tool -modfile=tools/release/go.mod

comma := ,
.DEFAULT_GOAL := help
.PHONY: help build packages sbom deploy-check reproducible test race traps e2e e2e-real conformance storm cuts chaos soak long fuzz bench lint fmt vuln generate golden demo tidy-check check

help: ## list these targets
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## /{printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## the static binary, bin/mmsync
	$(BUILD) -o bin/mmsync ./cmd/mmsync

packages: ## a .deb and an .rpm of it, in dist/
	GO='$(GO)' scripts/packages

sbom: build ## what is linked into the binary, as CycloneDX: dist/mmsync.cdx.json
	@mkdir -p dist
	$(RELEASE) cyclonedx-gomod bin -json -licenses -std -noserial -notimestamp \
		-version "$$(bin/mmsync version | cut -d' ' -f2)" -output dist/mmsync.cdx.json bin/mmsync

deploy-check: ## the files in deploy/: read strictly, packages made and unpacked
	scripts/test-deps deploy
	cd deploy && MMSYNC_TEST_REQUIRE="systemd-analyze,dpkg-deb,rpm,$$MMSYNC_TEST_REQUIRE" $(GO) test -count=1 -timeout 20m ./...

reproducible: ## build it twice, in two folders and without a cache between them, and compare
	GO='$(GO)' scripts/reproducible

# SQLite is C made Go: a whole database of pointer arithmetic, which the detector makes
# ten times slower to find nothing of ours in. Only that one package is left out, and the
# check of pointers for what it rests on; its own locks are watched still.
RACE := -race '-gcflags=modernc.org/...=-d=checkptr=0' '-gcflags=modernc.org/sqlite/lib=-race=false'

# A domain controller takes root; elsewhere its tests are skipped, with the reason.
SAMBA := $(if $(filter 0,$(shell id -u)),$(comma)samba)
test: ## all tests under the race detector, against real slapd, Samba (as root) and PostgreSQL (installed if that is allowed)
	scripts/test-deps
	MMSYNC_TEST_REQUIRE=slapd,postgres,pgbouncer,bash,chromium$(SAMBA) $(GO) test $(RACE) -timeout 45m ./...

PKG   ?= ./internal/reconcile/...
COUNT ?= 20
race: ## hunt a race: one package's tests, many times (PKG=./internal/reconcile/... COUNT=20)
	$(GO) test $(RACE) -count=$(COUNT) -timeout 60m $(PKG)

e2e: ## only the end-to-end tests, with their output
	scripts/test-deps
	MMSYNC_TEST_REQUIRE=slapd,postgres $(GO) test $(RACE) -count=1 -timeout 20m -v ./internal/e2e/...

e2e-real: ## the suite for any Mattermost server: MMSYNC_TEST_MATTERMOST_URL and _TOKEN name one, else simulated ones
	$(GO) test -count=1 -timeout 30m -v ./internal/e2ereal/

conformance: ## foreign clients against the simulated server, and judges of SCIM against mmsync; installs them below bin/
	conformance/run

TRAP ?= .
traps: ## switch off the rules against Mattermost's traps one by one; the tests of each have to fail (TRAP=regexp)
	MMSYNC_TEST_TRAPS=1 MMSYNC_TEST_TRAP='$(TRAP)' $(GO) test -count=1 -v -timeout 60m -run '^TestTraps$$' ./internal/traps

storm: ## 1,500 random worlds with every fault at once, and 4,000 plans that are cut off and gone on with
	MMSYNC_TEST_SEEDS=1500 CGO_ENABLED=0 $(GO) test -trimpath -tags timetzdata -timeout 20m -run 'Storm$$|^TestConverge$$' ./internal/reconcile ./internal/reconcile/plan

cuts: ## runs that die at each of many places, without the detector, which they take minutes under
	CGO_ENABLED=0 $(GO) test -trimpath -tags timetzdata -timeout 20m -run 'rash|_cut' ./internal/reconcile

chaos: ## ten minutes of three services that are killed and stopped, and a database that is restarted
	MMSYNC_TEST_CHAOS=10m $(GO) test -timeout 40m -count=1 -v -run TestChaos ./internal/e2e

soak: ## half an hour of one service with faults: what it holds does not grow
	MMSYNC_TEST_SOAK=30m $(GO) test -timeout 60m -count=1 -v -run TestSoak ./internal/e2e

long: ## the large forms of tests that are small otherwise: 1,000 logins moved, 5,000 people in 320 teams and channels, 20 places for each fault, five minutes at a server's limit; an hour
	scripts/test-deps
	MMSYNC_TEST_REQUIRE=slapd,postgres MMSYNC_TEST_EVERY=1 MMSYNC_TEST_429=5m $(GO) test -timeout 90m -count=1 -v \
		-run 'Faults|Migration|Memberships_company|Limit|BadDay_database|Push_LeaverFirst|Push_Existing|rash|_cut' ./internal/e2e ./internal/reconcile ./internal/mattermost

FUZZTIME ?= 10s
fuzz: ## every fuzz target for a while (FUZZTIME=10s each)
	scripts/fuzz $(FUZZTIME)

BENCH ?= .
bench: ## benchmarks into bin/bench.txt, compared with bin/bench.old if you kept one (BENCH=regexp; MMSYNC_BENCH_LARGE=1: a million people as well)
	@mkdir -p bin
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem -count=6 -timeout 60m ./... >bin/bench.txt || { cat bin/bench.txt; exit 1; }
	$(TOOL) benchstat $(wildcard bin/bench.old) bin/bench.txt

lint: ## golangci-lint in the version of tools/go.mod
	$(TOOL) golangci-lint run ./...

fmt: ## write the formatting that lint asks for
	$(TOOL) golangci-lint fmt ./...

vuln: ## known vulnerabilities in what we link (asks the Go vulnerability database)
	$(TOOL) govulncheck ./...

generate: ## generated files anew
	$(GO) generate ./...

# Golden files hold what a person has read: look at `git diff` before committing.
golden: ## write golden files anew, then show what changed
	@set -e; for dir in $$(grep -rlE --include='*_test.go' 'flag\.Bool\("update"' . | xargs -r -n1 dirname | sort -u); do \
		echo "$(GO) test $$dir -update"; $(GO) test -count=1 $$dir -update; done
	@git --no-pager diff --stat -- '*testdata*'

demo: ## five minutes with mmsync: a simulated server, a small directory, a first plan
	$(GO) run ./cmd/mmsync demo

tidy-check: ## go.mod and go.sum say exactly what is needed, and what is cached is what they say
	$(GO) mod tidy -diff
	cd tools && $(GO) mod tidy -diff
	cd tools/release && $(GO) mod tidy -diff
	cd deploy && $(GO) mod tidy -diff
	$(GO) mod verify

check: ## everything that has to pass before a change goes in
	.ci/run
