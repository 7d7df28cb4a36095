# What one does with coherd. Tools that are missing are installed by scripts/.

SHELL := bash
.DEFAULT_GOAL := help
.PHONY: help demo serve test chaos lint bench

help: ## this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 12

demo: ## three instances in one process and a short tour; needs nothing installed
	cargo run --release -- demo

serve: ## one instance, with config/coherd.toml
	cargo run --release -- serve -c config/coherd.toml

test: ## every test, against a real Valkey or Redis ($VALKEY_SERVER, else the one on the PATH)
	scripts/need-server
	cargo test --doc --quiet
	scripts/run-tests

chaos: ## the tests that kill, pause, cut, flush and flood
	scripts/need-server
	scripts/run-tests promises:: away:: junk:: storm::

lint: ## format, clippy, docs, unused dependencies, licences: what a change must pass
	cargo fmt --all --check
	cargo clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps
	scripts/need-tool cargo-machete 0.9.2
	cargo machete
	scripts/need-tool cargo-deny 0.20.2
	cargo deny --locked check licenses bans sources

bench: ## coherd beside its bare counterparts, in about 3 minutes; BENCH_SECONDS=30 for a shorter look
	scripts/need-server
	cargo bench --locked --bench coherd
