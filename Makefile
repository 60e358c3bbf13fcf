# `make` alone prints the targets.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUST_SOURCES := $(shell find crates -name '*.rs' -o -name Cargo.toml) Cargo.toml Cargo.lock

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-unit test-python test-rust check check-python check-rust bench generated lock clean

help: ## print the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: $(VENV)/.installed ## install everything into .venv and build the zone node (release)

$(VENV)/.tools: requirements/dev.lock
	@echo "[1/3] Python environment: locked packages into $(VENV)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Elba needs Python 3.11 or newer; set PYTHON=..."; exit 1; }
	@command -v cargo >/dev/null || { echo "Elba needs cargo (Rust 1.85 or newer) to build its zone node."; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.lock
	@touch $@

$(VENV)/.installed: $(VENV)/.tools pyproject.toml $(RUST_SOURCES)
	@echo "[2/3] Zone node: release build (a few minutes the first time)"
	@VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/maturin develop --release --locked | grep -v -e '^Requirement already' -e '^Ignoring ' -e '^Looking in'
	@echo "[3/3] Ready: $$($(BIN)/elba --version), $$($(BIN)/elba-node --version)"
	@touch $@

demo: setup ## the closed loop, live: traffic, load, scale-out, a killed instance, scale-in
	@$(BIN)/elba demo

test: check test-rust test-python ## everything that CI runs

check: check-python check-rust ## linters, types, import contracts, formats

check-python: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check-rust:
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings

test-rust: ## cargo test
	cargo test --locked --workspace

test-unit: setup ## the quick tests: no sockets, no processes
	$(BIN)/pytest tests/unit tests/property tests/simulation tests/docs -q

test-python: setup ## pytest, all levels
	$(BIN)/pytest

generated: setup ## write the generated pages anew
	$(BIN)/python -m elba.server.coverage

bench: setup ## the benchmarks, beside their peers (docs/performance.md)
	$(BIN)/python benchmarks/proxy/run.py

lock: ## resolve the Python dependencies anew
	$(BIN)/pip-compile --quiet --extra dev --strip-extras --generate-hashes --allow-unsafe --no-emit-index-url \
		--no-emit-find-links --no-emit-trusted-host --no-header -o requirements/dev.lock pyproject.toml

clean: ## remove what was built
	rm -rf $(VENV) target
