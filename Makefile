# The targets that README.md names. Needed: Rust, Python 3 with pip, make.

PYTHON ?= python3
CARGO ?= cargo

# The tests of EMBEDDER=minilm, with the model's real weights.
test-minilm: postgres
	MINILM_PATH=$$($(PYTHON) scripts/minilm.py) $(CARGO) test --locked --features minilm --release --test api -- embedders

# PgBouncer in session mode, Debian's.
test-pgbouncer: postgres
	PGBOUNCER=$$($(PYTHON) scripts/pgbouncer.py) $(CARGO) test --locked --test outage pgbouncer -- --include-ignored

# Service and PostgreSQL killed at random moments: make torture ROUNDS=100
ROUNDS ?= 100
torture: postgres
	ROUNDS=$(ROUNDS) $(CARGO) test --locked --test outage torture -- --nocapture

# Every parser of what a client or an operator wrote, under the fuzzer, so many seconds each; needs cargo-fuzz.
FUZZ_SECONDS ?= 60
fuzz:
	for target in fuzz/seeds/*; do \
		name=$$(basename $$target); mkdir -p fuzz/corpus/$$name; \
		RUSTC_BOOTSTRAP=1 $(CARGO) fuzz run --sanitizer none $$name fuzz/corpus/$$name $$target -- \
			-max_total_time=$(FUZZ_SECONDS) -max_len=4096 || exit 1; \
	done

# Recall of each embedder beside BM25; http is EMBEDDER_URL's and EMBEDDER_MODEL's, or minilm's model behind an endpoint.
bench-recall:
	$(PYTHON) benches/endpoint.py $(CARGO) run --release --locked --features minilm --example bench_recall

# What the built-in embedder knows of words, learned anew: actors/src/embedder/words.txt and words.bin. Debian 12 only, most of an hour.
words: export CARGO := $(CARGO)
words:
	$(PYTHON) benches/words.py

.PHONY: build run demo bench bench-large bench-recall words fuzz test-minilm test-pgbouncer torture test check-format lint walls postgres clean

build: postgres
	$(CARGO) build --release --locked

# The service with a PostgreSQL of its own; LISTEN_ADDR, METRICS_ADDR and EMBEDDED_DIR are honoured.
run: build
	exec target/release/data-storage serve --embedded

# A plausible week of incidents, posted to the running service.
demo:
	$(PYTHON) scripts/demo.py

# Ratios to pgbench on the same PostgreSQL; needs wrk and a quiet machine.
bench: build
	$(PYTHON) benches/bench.py --rows 1000000 --report docs/benchmarks.md

bench-large: build
	$(PYTHON) benches/bench.py --rows 10000000 --parts list,total,sizes --report docs/benchmarks.md

postgres:
	$(PYTHON) scripts/postgres.py

test: check-format lint walls postgres
	$(CARGO) test --locked --workspace --quiet --no-fail-fast

check-format:
	$(CARGO) fmt --all --check

lint:
	$(CARGO) clippy --locked --workspace --all-targets --quiet -- -D warnings

# The edge depends directly on no database crate, the actors on no actix-web.
walls:
	$(PYTHON) scripts/walls.py

clean:
	$(CARGO) clean
