# What one does with coherd. Tools that are missing are installed by scripts/.

SHELL := bash
.DEFAULT_GOAL := help
.PHONY: help demo serve stack test chaos simulate explore mutants fuzz lint bench bench-growth

help: ## this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 12

demo: ## three instances in one process and a short tour; needs nothing installed
	cargo run --release -- demo

serve: ## one instance, with config/coherd.toml
	cargo run --release -- serve -c config/coherd.toml

stack: ## three instances behind HAProxy, Valkey, PostgreSQL, Prometheus, until Ctrl-C; docker compose up is the same
	scripts/need-server
	scripts/need-postgres
	scripts/need-daemon haproxy haproxy
	scripts/need-daemon prometheus prometheus
	scripts/need-program curl curl
	cargo build --release --locked
	@scripts/stack

test: ## every test, against a real Valkey or Redis ($VALKEY_SERVER, else the one on the PATH)
	scripts/need-server
	cargo test --doc --quiet
	scripts/run-tests

LONG_CHAOS := chaos::long::for_as_long_as_asked_no_promise_is_broken

SIMULATION := simulation::tests::no_seed_breaks_a_promise

chaos: ## worlds under load that break, held against the promises: SECONDS=60 SEED= FAULTS=kill,cut
	scripts/need-server
	CHAOS_SECONDS=$(or $(SECONDS),60) CHAOS_SEED='$(SEED)' CHAOS_FAULTS='$(FAULTS)' \
		cargo test --locked --quiet --test it -- --exact $(LONG_CHAOS) --nocapture

simulate: ## clusters on a clock that stands still, each from a seed, held against the promises: SEEDS=20000 SEED=first
	SIM_SEED=$(or $(SEED),0) SIM_SEEDS=$(or $(SEEDS),$(if $(SEED),1,20000)) \
		cargo test --locked --quiet --test it -- --exact $(SIMULATION) --nocapture

explore: ## the core in every order of events, in larger worlds than `make test` has: EXPLORE_STATES=3000000 of each
	cargo test --release --locked --lib cache::explore::large -- --ignored --nocapture --test-threads=1

mutants: ## shows that chaos finds twelve weakenings of the protocol, each within five minutes; MUTANT_SECONDS=300 FAULTS=
	scripts/need-server
	scripts/mutants

fuzz: ## every decoder against what nobody thought of, SECONDS=60 each; TARGETS="route tags" for some; needs nightly Rust
	scripts/need-tool cargo-fuzz 0.13.2
	scripts/fuzz $(or $(SECONDS),60) $(TARGETS)

lint: ## format, clippy, docs, unused dependencies, licences: what a change must pass
	cargo fmt --all --check
	cargo clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps
	scripts/need-tool cargo-machete 0.9.2
	cargo machete
	scripts/need-tool cargo-deny 0.20.2
	cargo deny --locked check licenses bans sources

bench: ## coherd beside its bare counterparts, in about 8 minutes; BENCH_ONLY=l1,l2 for some, BENCH_SECONDS=60 for a shorter look
	scripts/need-server
	cargo bench --locked --bench coherd

bench-growth: ## how cost grows with keys, bytes, instances and tags: plots in benches/plots; BENCH_ONLY=values,tags,instances,applied,keys
	scripts/need-server
	cargo bench --locked --bench coherd -- growth
