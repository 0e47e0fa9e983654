# What people run here. Set-up is done once: each step leaves a stamp and is repeated when what it came from changes.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory --no-builtin-rules
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/.stamps
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
PAGE_SOURCES := $(shell find web -type f -not -path 'web/node_modules/*' -not -path 'web/static/*' \
                  -not -path 'web/tests/*' -not -name '*.py' -not -name '*.pyc' 2>/dev/null)

## demo: start everything with the exercise "Lakefront Surge" and print one address
.PHONY: demo
demo: $(STAMPS)/package
	@.ci/packages postgis
	@exec $(BIN)/cop demo

## test: run the whole suite
.PHONY: test
test: $(STAMPS)/dev $(STAMPS)/package
	@.ci/packages postgis chromium
	@$(BIN)/python -m pytest

## check: what continuous integration runs: lint, then test
.PHONY: check
check:
	@$(MAKE) lint
	@$(MAKE) test

## lint: formatter, linter, types, import floors, and the page's own checks and tests
.PHONY: lint
lint: $(STAMPS)/dev $(STAMPS)/package
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	@$(BIN)/lint-imports > $(STAMPS)/floors.txt || { cat $(STAMPS)/floors.txt; exit 1; }; echo "import floors kept"
	$(BIN)/python hatch_build.py check
	$(BIN)/python hatch_build.py test

## format: let the formatter and the linter mend what they can
.PHONY: format
format: $(STAMPS)/dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/python hatch_build.py format

## bench: measure, one JSON line a figure on standard output; ONLY=name runs one
.PHONY: bench
bench: $(STAMPS)/dev $(STAMPS)/package
	@.ci/packages postgis chromium
	@$(BIN)/python -m tests.bench $(ONLY)

## lock: choose the newest dependencies that fit and write them down with their hashes
.PHONY: lock
LOCK := $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
          --no-header --no-annotate --no-emit-index-url --no-emit-find-links pyproject.toml
lock: $(STAMPS)/dev
	$(LOCK) --output-file requirements.lock
	$(LOCK) --group build --constraint requirements.lock --output-file requirements-build.lock
	$(LOCK) --group dev --constraint requirements-build.lock --output-file requirements-dev.lock

## clean: remove what was installed and built here; the data in .cop stays
.PHONY: clean
clean:
	rm -rf $(VENV) web/node_modules web/static dist build artefacts .mypy_cache .ruff_cache .pytest_cache \
	  .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

## setup: install what `make demo` needs, without starting anything
.PHONY: setup
setup: $(STAMPS)/package
	@.ci/packages postgis

## setup-dev: install what `make check` needs
.PHONY: setup-dev
setup-dev: $(STAMPS)/dev $(STAMPS)/package
	@.ci/packages postgis chromium

.PHONY: help
help:
	@sed -n 's/^## /make /p' Makefile

# --- set-up; it talks on standard error, which leaves standard output to what is asked for

$(STAMPS)/venv:
	@python=$$(.ci/packages python); echo "Making $(VENV) with $$("$$python" --version) …" >&2; \
	  "$$python" -m venv --clear $(VENV)
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/build: requirements-build.lock | $(STAMPS)/venv
	@echo "Installing the locked dependencies …" >&2
	@$(PIP) install --require-hashes -r $< >&2
	@touch $@

$(STAMPS)/dev: requirements-dev.lock | $(STAMPS)/build
	@echo "Installing the locked tools for tests …" >&2
	@$(PIP) install --require-hashes -r $< >&2
	@touch $@

$(STAMPS)/package: $(STAMPS)/build pyproject.toml hatch_build.py $(PAGE_SOURCES) \
                   $(if $(COP_SKIP_WEB)$(wildcard web/static/.built-from),,page-missing)
	@echo "Installing common-operating-picture and building its page …" >&2
	@$(PIP) install --no-deps --no-build-isolation --editable . >&2
	@touch $@

.PHONY: page-missing
page-missing:
