# Needed: Rust, Python 3 with pip, make.

PYTHON ?= python3
CARGO ?= cargo
# Tests at once: they wait for databases and clocks more than they work, so at least four.
export RUST_TEST_THREADS ?= $(shell cores=$$(getconf _NPROCESSORS_ONLN); echo $$((cores > 4 ? cores : 4)))

.PHONY: help check test build run try demo postgres check-format lint doc unit walls check-advisories check-api check-console test-clients test-agents test-minilm test-pgbouncer test-citus torture \
	fuzz bench bench-large bench-recall words clean

help: ## this list
	@awk -F ':.*## ' '/^## / { print "\n" substr($$0, 4) } /^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' Makefile

## Every day

check: check-format lint unit walls ## before each commit: format, lints, unit tests, walls; under a minute when warm

test: check-format lint doc walls postgres ## everything that is promised, on the built program and a real PostgreSQL
	$(CARGO) test --locked --workspace --quiet --no-fail-fast

build: postgres ## target/release/data-storage
	$(CARGO) build --release --locked

run: build ## the service with a PostgreSQL of its own; honours LISTEN_ADDR, METRICS_ADDR and EMBEDDED_DIR
	exec target/release/data-storage serve --embedded

try: postgres ## the same, built in a third of the time and not optimized: target/quick/data-storage
	$(CARGO) build --profile quick --locked
	exec target/quick/data-storage serve --embedded

demo: ## a plausible week of incidents, posted to the running service
	$(PYTHON) tools/demo.py

postgres: ## PostgreSQL 16 with pgvector, into .cache
	$(PYTHON) tools/postgres.py

clean: ## forget what was built; .cache and data stay
	$(CARGO) clean

## The parts of `check` and `test`

check-format: ## the formatting, unchanged
	$(CARGO) fmt --all --check

lint: ## clippy; clippy.toml says what may be called where
	$(CARGO) clippy --locked --workspace --all-targets --quiet -- -D warnings

doc: ## the documentation of the code, without a warning, into target/doc
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps --document-private-items --quiet

unit: ## the unit tests of both libraries
	$(CARGO) test --locked --workspace --lib --quiet

# cargo-deny: `cargo install cargo-deny --locked`.
walls: ## who may depend on what, under which licence and from where (deny.toml); needs cargo-deny
	@if command -v cargo-deny >/dev/null; then \
		$(CARGO) deny --locked check bans licenses sources; \
	elif [ -n "$$REQUIRE_TOOLS" ]; then \
		echo "cargo-deny is needed here" >&2; exit 1; \
	else \
		echo "skipped: walls, as there is no cargo-deny"; \
	fi

check-advisories: ## known faults of what we depend on; needs cargo-deny and the network
	$(CARGO) deny --locked check advisories

check-console: ## the console's scripts: their format, and their types against the OpenAPI document; needs npm
	$(PYTHON) tools/check_console.py

check-api: ## changes of the OpenAPI document that break clients, since the last tag or BASE=COMMIT; needs npm
	$(PYTHON) tools/check_api.py

## More tests

EXAMPLES ?= 3000
test-clients: postgres ## clients that generators make of the OpenAPI document, schemathesis, linters; needs npm, a JDK, Debian's golang-gopkg-validator.v2-dev and libjakarta-annotation-api-java
	$(CARGO) build --locked
	EXAMPLES=$(EXAMPLES) $(PYTHON) tools/test_clients.py

test-agents: postgres ## /mcp with the official clients for Python and TypeScript, and the conformance suite; needs npm
	$(CARGO) build --locked
	$(PYTHON) tools/test_agents.py

test-minilm: postgres ## EMBEDDER=minilm with the model's real weights
	MINILM_PATH=$$($(PYTHON) tools/minilm.py) $(CARGO) test --locked --features minilm --release --test api -- embedders

test-pgbouncer: postgres ## PgBouncer in session mode, Debian's
	PGBOUNCER=$$($(PYTHON) tools/pgbouncer.py) $(CARGO) test --locked --test outage pgbouncer -- --include-ignored

test-citus: postgres ## on a Citus that is there: CITUS_URL=postgresql://… of its coordinator (CONTRIBUTING.md)
	CITUS_URL=$(CITUS_URL) $(CARGO) test --locked --no-fail-fast --test api --test outage -- --skip nodes:: --test-threads 2
	CITUS_URL=$(CITUS_URL) $(CARGO) test --locked --test outage nodes:: -- --test-threads 1

ROUNDS ?= 100
torture: postgres ## service and PostgreSQL killed at random moments; ROUNDS=100
	ROUNDS=$(ROUNDS) $(CARGO) test --locked --test outage torture -- --nocapture

FUZZ_SECONDS ?= 60
fuzz: ## every parser of what others wrote, FUZZ_SECONDS=60 each; needs cargo-fuzz
	for target in fuzz/seeds/*; do \
		name=$$(basename $$target); mkdir -p fuzz/corpus/$$name; \
		RUSTC_BOOTSTRAP=1 $(CARGO) fuzz run --sanitizer none $$name fuzz/corpus/$$name $$target -- \
			-max_total_time=$(FUZZ_SECONDS) -max_len=4096 || exit 1; \
	done

## Figures

bench: build ## ratios to pgbench on the same PostgreSQL; needs wrk and a quiet machine
	$(PYTHON) benches/bench.py --rows 1000000 --report docs/benchmarks.md

bench-large: build ## the same for lists and totals at ten million rows
	$(PYTHON) benches/bench.py --rows 10000000 --parts list,total,sizes --report docs/benchmarks.md

# http is EMBEDDER_URL's and EMBEDDER_MODEL's, or minilm's model behind an endpoint.
bench-recall: ## recall of each embedder beside BM25
	$(PYTHON) benches/endpoint.py $(CARGO) run --release --locked --features minilm --example bench_recall

words: export CARGO := $(CARGO)
words: ## what the built-in embedder knows of words, learned anew; Debian 12 only, most of an hour
	$(PYTHON) benches/words.py
