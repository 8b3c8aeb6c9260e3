# Two commands do everything on a machine with git, make and Python 3.11 or newer: make demo, make test.
.DEFAULT_GOAL := help
SHELL := /bin/bash

PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3.14 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo $$p; break; }; done)
BIN := .venv/bin
PACKAGES := protocol shell client server simulations
# pip reads these: every version is the pinned one, the build's own too (by the second, since pip 25.3).
export PIP_CONSTRAINT := $(CURDIR)/constraints.txt
export PIP_BUILD_CONSTRAINT := $(CURDIR)/constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1

SEED ?= 1
FUZZ_SECONDS ?= 600
FUZZ_LANES ?= 1
# Following each branch nearly doubles the time on Python 3.11, so only the long run does it.
ifdef SLOW
MARKS := --cov --cov-report=term
else
MARKS := -m "not slow"
endif

.PHONY: help demo test check fuzz audit wheel sbom format clean

help:  ## Show this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 16

demo: .venv/demo-is-ready  ## Run the whole loop with virtual phones and a real server (SEED=1), then open demo/report.html
	@$(BIN)/forewarn-sim demo --seed $(SEED) --out demo

test: .venv/dev-is-ready  ## Run the tests; SLOW=1 runs the slow ones too, with branch coverage
	$(BIN)/pytest -n auto --dist worksteal $(MARKS) $(ARGS)

check: .venv/dev-is-ready  ## Lint, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fuzz: .venv/fuzz-is-ready  ## Attack each parser for FUZZ_SECONDS=600; what is found is kept in tests/fuzz/corpus
	@$(BIN)/python -m tests.fuzz --seconds $(FUZZ_SECONDS) --lanes $(FUZZ_LANES)

audit: .venv/supply-is-ready  ## Ask about known vulnerabilities and withdrawn releases; says so where nobody answers
	@$(BIN)/python -m tests.supply.auditing

wheel: .venv/dev-is-ready  ## Build the wheel into dist/: the same bytes for the same commit
	@$(BIN)/python -m tests.supply.wheel

sbom: .venv/supply-is-ready wheel  ## Write the bill of materials of the wheel and what it needs into dist/ (CycloneDX)
	@$(BIN)/python -m tests.supply.materials dist/*.whl dist/forewarn.cdx.json

format: .venv/dev-is-ready  ## Format the code and mend what the linter can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## Remove what was made here
	rm -rf .venv demo dist .coverage .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "Forewarn needs Python 3.11 or newer: install it, or run make PYTHON=/path/to/python"; exit 3; }
	$(PYTHON) -m venv .venv

.venv/demo-is-ready: pyproject.toml constraints.txt | .venv/bin/python
	@echo "Setting up .venv (once; a minute or two) ..."
	@$(BIN)/python -m pip install --quiet --editable '.[simulations]'
	@touch $@

.venv/dev-is-ready: pyproject.toml constraints.txt | .venv/bin/python
	@echo "Setting up .venv for development (once; a minute or two) ..."
	@$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@ .venv/demo-is-ready

.venv/fuzz-is-ready: .venv/dev-is-ready
	@$(BIN)/python -m pip install --quiet --editable '.[dev,fuzz]'
	@touch $@

.venv/supply-is-ready: .venv/dev-is-ready
	@$(BIN)/python -m pip install --quiet --editable '.[dev,supply]'
	@touch $@
