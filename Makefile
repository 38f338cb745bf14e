# Short command lines only; logic lives in Rust. `make` alone lists the targets.
CARGO ?= cargo
# One profile and one feature set for demo and tests, so that they share every built crate.
BIN := target/debug
# Has glibc ask for large pages: thousands of simulated nodes are far larger than what a processor remembers of small ones.
LARGE_PAGES ?= GLIBC_TUNABLES=glibc.malloc.hugetlb=1

# The time of `make soak`, the folder of the failures that it finds, and its first seed: each night has others.
FOR ?= 30min
OUT ?= soak
SEED ?= $(shell date +%Y%m%d)
# The time of `make hostile` in seconds.
HOSTILE_FOR ?= 600

.DEFAULT_GOAL := help
.PHONY: help demo test check bench bench-mesh bench-heartbeats bench-sim bench-peers bench-daemons golden soak hostile build release wire sim-madsim tools

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: cc ## watch a mesh of five real daemons form, break and heal (about a minute after the build)
	$(CARGO) build --locked --workspace --bins
	@$(BIN)/phalanx demo --scenarios scenarios

# Cargo builds the binaries for the tests that run them, with the features that the tests' libraries select.
test: tools ## build everything, run every test, then `check`
	@.ci/totals $(CARGO) test --locked --workspace --no-fail-fast
	@$(MAKE) --no-print-directory sim-madsim
	@$(MAKE) --no-print-directory check

check: cc ## formatting, lints and documentation, warnings as errors
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps --document-private-items --quiet

soak: cc ## all scenarios and search on all cores (FOR=8h, OUT=soak), then a thousand nodes' hashes, every switch and the registry on 200 seeds
	$(CARGO) build --locked -p phalanx
	$(BIN)/phalanx sim soak scenarios --for $(FOR) --out $(OUT) --seed $(SEED)
	@.ci/totals $(CARGO) test --locked -p phalanx-sim --test soak
	@.ci/totals $(CARGO) test --locked -p phalanx-tests --test switches
	@cp Cargo.lock sim/examples/registry/
	@cd sim/examples/registry && REGISTRY_SEEDS=200 ../../../.ci/totals $(CARGO) test --offline --target-dir ../../../target/examples

hostile: cc ## attack ten daemons by one member with a certificate, for ten minutes (HOSTILE_FOR=60, ATTACKS=counters,unread-log)
	$(CARGO) build --locked --release -p phalanxd
	PHALANX_HOSTILE_DAEMON=$(CURDIR)/target/release/phalanxd PHALANX_HOSTILE_FOR=$(HOSTILE_FOR) $(if $(ATTACKS),PHALANX_HOSTILE_ATTACKS=$(ATTACKS)) $(CARGO) test --locked -p phalanx-tests --test hostile

bench: cc ## measure the mesh against its goals (release build, model engine)
	$(LARGE_PAGES) $(CARGO) bench --locked -p phalanx-sim --bench goals

bench-mesh: bench ## the same by another name (SIZES=30,100 chooses sizes, ROWS=update rows)

bench-heartbeats: cc ## bytes, detection and false deaths by the time between heartbeats (SPACINGS=250,500 MINUTES=1000; an hour of CPU time)
	$(CARGO) bench --locked -p phalanx-sim --bench heartbeats

bench-sim: cc ## measure the model engine and bare turmoil: CPU time, memory (release build)
	$(LARGE_PAGES) $(CARGO) bench --locked -p phalanx-sim --bench speed
	$(CARGO) bench --locked -p phalanx-sim-wire --bench turmoil

bench-peers: cc ## compare with foca and chitchat on a simulated network (PEERS="--sizes 30,100,1000 --seeds 1")
	cd sim/peers && $(CARGO) run --locked --release --quiet --bin phalanx-sim-peers -- $(PEERS)

bench-daemons: cc ## measure 50 real daemons at rest, beside weave mesh and memberlist (DAEMONS="--nodes 20 --for 30")
	cd sim/peers && $(CARGO) run --locked --release --quiet --bin daemons -- $(DAEMONS)

golden: cc ## rewrite the golden files; read the difference before you commit it
	PHALANX_GOLDEN=write $(CARGO) test --locked --workspace --test tool --test scenarios golden
	PHALANX_GOLDEN=write $(CARGO) test --locked -p phalanx-sim --test trace_hashes --test soak
	PHALANX_GOLDEN=write $(CARGO) test --locked -p phalanx-sim-wire --test runs scenarios

build: cc ## debug builds of every binary, in target/debug
	$(CARGO) build --locked --workspace --bins

release: cc ## the binaries to ship, each built alone: no feature of the simulator reaches the daemon
	$(CARGO) build --locked --release -p phalanxd
	$(CARGO) build --locked --release -p phalanx
	$(CARGO) build --locked --release -p phalanx-sim-wire

wire: cc ## the wire engine's binary, in target/debug
	$(CARGO) build --locked -p phalanx-sim-wire

sim-madsim: cc ## build the madsim engine beside the others, and run its scenarios
	cd sim/madsim && $(CARGO) build --locked
	cp target/madsim/debug/phalanx-sim-madsim $(BIN)/
	@cd sim/madsim && ../../.ci/totals $(CARGO) test --locked

tools: ## install what the tests need and this machine lacks (a C compiler, nix, a browser, nginx, unbound, PostgreSQL, curl, protoc, three Python libraries), with apt
	@.ci/tools cc:gcc:libc6-dev nix:nix-bin chromium:chromium nginx:nginx unbound:unbound curl:curl openssl:openssl \
		/usr/lib/postgresql:postgresql \
		/usr/lib/python3/dist-packages/grpc:python3:python3-grpcio protoc:protobuf-compiler \
		/usr/lib/python3/dist-packages/google/protobuf:python3:python3-protobuf \
		/usr/lib/python3/dist-packages/prometheus_client:python3-prometheus-client

.PHONY: cc
cc:
	@.ci/tools cc:gcc:libc6-dev
