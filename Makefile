# The few verbs of this project. Each works in a fresh clone with Rust, Python >= 3.11 and make.
# `make help` lists them.

PYTHON ?= python3
# Handed to every cargo command, for instance --locked.
CARGO_FLAGS ?=
# Handed to pytest, for instance -k name.
PYTEST_ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
CLUSTERS := .venvs/clusters
EXTENSION := python/retain/_retain*.so
RUST_SOURCES := Cargo.toml $(wildcard Cargo.lock) $(shell find crates -name '*.rs' -o -name Cargo.toml)

export CARGO_FLAGS
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: help demo test test-rust test-loom test-python test-pythons test-other-pythons test-clusters lint lint-deny bench build clean FORCE

help:
	@echo "make demo    three real programs, beside functools and joblib; run it twice"
	@echo "make test    all tests: Rust, loom, and pytest on every Python >= 3.11 found"
	@echo "make lint    formatting, clippy, ruff, mypy, stubs, licences, import rule"
	@echo "make bench   speed against the peers, as ratios"
	@echo "make build   the extension module, in release, into $(VENV)"
	@echo "make clean   remove all that the above made"
	@echo
	@echo "Parts of test: test-rust, test-loom, test-pythons; of that, test-python, test-other-pythons."
	@echo "Besides: test-clusters, on local clusters of dask and ray, which it downloads."
	@echo "PYTHON=python3.13 chooses the Python of $(VENV) (run 'make clean' before a change of it);"
	@echo "PYTEST_ARGS='-k name' goes to pytest; CARGO_FLAGS=--locked to cargo."

# --- what the verbs need --------------------------------------------------------------------------------------

$(BIN)/python:
	@command -v cargo >/dev/null || { echo "cargo is not on PATH: retain needs Rust 1.88 or later"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "$(PYTHON) is not Python 3.11 or later: name one, as in 'make PYTHON=python3.13'"; exit 1; }
	@echo "==> making $(VENV) with $$($(PYTHON) --version)"
	@rm -rf $(VENV)
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.build-tools: requirements-build.txt | $(BIN)/python
	@echo "==> installing the build tools ($<)"
	@$(BIN)/python -m pip install --quiet -r $<
	@touch $@

$(VENV)/.dev-tools: requirements-dev.txt requirements-test.txt | $(BIN)/python
	@echo "==> installing the test and lint tools ($<)"
	@$(BIN)/python -m pip install --quiet --no-compile -r $<
	@touch $@

$(VENV)/.bench-tools: requirements-bench.txt | $(BIN)/python
	@echo "==> installing the peers ($<)"
	@$(BIN)/python -m pip install --quiet -r $<
	@touch $@

$(VENV)/.demo-tools: requirements-demo.txt | $(BIN)/python
	@echo "==> installing what the demo needs ($<)"
	@$(BIN)/python -m pip install --quiet -r $<
	@touch $@

# Through maturin, never a plain `cargo build`, which would link libpython into the extension. Python files are
# used in place and need no build. A missing extension is built again, whatever the stamp says.
$(VENV)/.extension: $(VENV)/.build-tools pyproject.toml $(RUST_SOURCES) $(if $(wildcard $(EXTENSION)),,FORCE)
	@echo "==> building the extension module (release)"
	@VIRTUAL_ENV="$(CURDIR)/$(VENV)" $(BIN)/maturin develop --release $(CARGO_FLAGS)
	@touch $@

FORCE:

# --- the verbs ------------------------------------------------------------------------------------------------

build: $(VENV)/.extension
	@echo "==> built: try $(BIN)/python -c 'import retain'"

demo: $(VENV)/.extension $(VENV)/.demo-tools
	@echo "==> running examples/demo.py"
	@# It starts its programs many times: what they import is compiled once, whatever is set where this runs.
	@PYTHONDONTWRITEBYTECODE= $(BIN)/python examples/demo.py

test: test-rust test-loom test-pythons
	@echo "==> all tests passed"

test-rust:
	@echo "==> Rust tests, and the examples in the Rust docs"
	@cargo test $(CARGO_FLAGS) --workspace --all-features --exclude retain-python

# In a target folder of its own, as the flag would otherwise rebuild everything twice. Not optimised: to compile it
# so takes longer than the interleavings do.
test-loom:
ifneq ($(wildcard crates/retain-memory/tests/loom.rs),)
	@echo "==> loom: every interleaving of the single flight"
	@CARGO_TARGET_DIR=target/loom RUSTFLAGS="--cfg loom" LOOM_MAX_PREEMPTIONS=$${LOOM_MAX_PREEMPTIONS:-3} \
		cargo test $(CARGO_FLAGS) -p retain-memory --test loom
else
	@echo "==> loom: no crates/retain-memory/tests/loom.rs, skipped"
endif

test-python: $(VENV)/.extension $(VENV)/.dev-tools
	@echo "==> Python tests on $$($(BIN)/python --version)"
	@$(BIN)/python -m pytest $(PYTEST_ARGS)

# All at once, as much of it waits. They are compared with one another, and with the Python of $(VENV), which alone
# runs the long campaigns in full.
test-pythons: $(VENV)/.extension $(VENV)/.dev-tools
	@echo "==> Python tests on all Pythons of this machine"
	@$(BIN)/python tools/other_pythons.py --own $(PYTEST_ARGS)

test-other-pythons: $(VENV)/.extension
	@echo "==> Python tests on the other Pythons of this machine"
	@$(BIN)/python tools/other_pythons.py $(PYTEST_ARGS)

# In an environment of their own, as they bring much along. Ray is not to be had for every Python.
$(CLUSTERS)/.tools: requirements-clusters.txt | $(BIN)/python
	@echo "==> installing the clusters ($<)"
	@rm -rf $(CLUSTERS) && $(BIN)/python -m venv $(CLUSTERS)
	@grep -v '^ray==' $< > $(CLUSTERS)/all-but-ray.txt
	@$(CLUSTERS)/bin/python -m pip install --quiet --no-compile --only-binary :all: -r $< \
		|| { echo "==> ray cannot be installed for $$($(BIN)/python --version): its tests are passed over"; \
			$(CLUSTERS)/bin/python -m pip install --quiet --no-compile -r $(CLUSTERS)/all-but-ray.txt; }
	@touch $@

test-clusters: $(VENV)/.extension $(CLUSTERS)/.tools
	@echo "==> Python tests on local clusters of dask and ray"
	@PYTHONPATH="$(CURDIR)/python" timeout 300 $(CLUSTERS)/bin/python -m pytest tests/clusters $(PYTEST_ARGS)

lint: $(VENV)/.dev-tools $(VENV)/.extension
	@echo "==> import rule"
	@$(BIN)/python tools/import_rule.py
	@echo "==> rustfmt"
	@cargo fmt --all --check
	@echo "==> ruff"
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@echo "==> mypy --strict"
	@$(BIN)/mypy --strict
	@echo "==> stubtest: the stubs against the built module"
	@$(BIN)/python -m mypy.stubtest retain._retain --mypy-config-file pyproject.toml \
		$(addprefix --allowlist ,$(wildcard tools/stubtest_allowlist.txt))
	@$(MAKE) --no-print-directory lint-deny
	@echo "==> clippy"
	@PYO3_PYTHON="$(CURDIR)/$(BIN)/python" cargo clippy $(CARGO_FLAGS) --workspace --all-features --all-targets -- -D warnings
	@echo "==> rustdoc"
	@RUSTDOCFLAGS="-D warnings" cargo doc $(CARGO_FLAGS) --quiet --workspace --all-features --exclude retain-python --no-deps
	@echo "==> lint passed"

lint-deny:
	@echo "==> cargo-deny: licences, bans, sources"
	@if [ -x $(BIN)/cargo-deny ]; then \
		$(BIN)/cargo-deny --workspace $(CARGO_FLAGS) check bans licenses sources; \
	elif cargo deny --version >/dev/null 2>&1; then \
		cargo deny --workspace $(CARGO_FLAGS) check bans licenses sources; \
	else \
		echo "WARNING: cargo-deny not installed, skipped (cargo install cargo-deny --locked)"; \
	fi

bench: $(VENV)/.extension $(VENV)/.bench-tools
	@echo "==> bench/run.py: retain against its peers on $$($(BIN)/python --version)"
	@$(BIN)/python bench/run.py
ifneq ($(wildcard crates/retain-memory/benches/*.rs),)
	@echo "==> cargo bench: retain-memory against its peers"
	@cargo bench $(CARGO_FLAGS) -p retain-memory
endif

clean:
	@echo "==> removing builds, environments and caches"
	@rm -rf target $(VENV) .venvs dist .retain-demo $(EXTENSION) .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
