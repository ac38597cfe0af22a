# Boxy's errands. `make run` is all that a new user needs; `make help` lists the rest.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

VENV    ?= .venv
PREFIX  ?= /usr/local
UNITDIR ?= /etc/systemd/system
PYTHON  ?=

BIN      := $(abspath $(VENV))/bin
PACKAGES := boxy_core boxyd boxy_cli boxy_tui boxy_registry
SOURCES  := $(shell find -L $(PACKAGES) -name '*.py' 2>/dev/null)
TESTS    := $(shell find tests -name '*.py' 2>/dev/null)
CHECKED  := $(PACKAGES) tests benchmarks
FIND_PYTHON := PYTHON='$(PYTHON)' scripts/find-python
PIP      := $(BIN)/python -m pip --disable-pip-version-check --quiet

# Stamps: an errand is done again only when what it came from has changed.
MADE     := $(VENV)/.made
RUNNABLE := $(VENV)/.installed
TESTABLE := $(VENV)/.installed-for-tests
COMPILED := $(VENV)/.compiled
COLLECTED := $(VENV)/.tests-collected

.PHONY: docs help run check lint test compiled-tests unit test-cgroup2 registry-clients soak power-cut bench install uninstall clean

help: ## this list
	@sed -n 's/^\([a-z0-9-]*\):[^#]*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 22

run: ## install what is needed, start the daemon if none runs, open the console
	@python=$$($(FIND_PYTHON)); PYTHONDONTWRITEBYTECODE=1 "$$python" -m boxy_cli.up --check
	@$(MAKE) --silent --no-print-directory $(COMPILED)
	@exec $(BIN)/python -m boxy_cli.up

# ------------------------------------------------------------------ environment

# A moved checkout or a removed interpreter leaves an environment that cannot start: made anew.
ifneq ($(shell $(BIN)/python -c 'import sys; print(sys.prefix)' 2>/dev/null),$(abspath $(VENV)))
.PHONY: $(MADE)
endif

$(MADE):
	@python=$$($(FIND_PYTHON)); echo "Making $(VENV) with $$("$$python" --version) ..."; \
	"$$python" -m venv --clear $(VENV)
	@touch $@

OURS = test -w $(VENV) || { echo "boxy: $(VENV) belongs to another user (after sudo make run?); say: sudo chown -R $$USER $(VENV), or use sudo here too." >&2; exit 1; }

$(RUNNABLE): $(MADE) pyproject.toml
	@$(OURS)
	@echo "Installing Boxy into $(VENV) ..."
	@$(PIP) install --editable . || { echo "boxy: pip could not install Boxy's libraries; its lines above say why (most often no network: set PIP_INDEX_URL or HTTPS_PROXY)." >&2; exit 1; }
	@$(BIN)/python packaging/quicken
	@touch $@

$(TESTABLE): $(RUNNABLE)
	@$(OURS)
	@echo "Installing the test tools into $(VENV) ..."
	@$(PIP) install --editable '.[test]' || { echo "boxy: pip could not install the test tools; its lines above say why." >&2; exit 1; }
	@$(BIN)/python packaging/quicken
	@touch $@

# compileall writes even where PYTHONDONTWRITEBYTECODE keeps the interpreter from it: a start
# from source alone takes the console about four times as long.
$(COMPILED): $(RUNNABLE) $(SOURCES)
	@$(BIN)/python -m compileall -q $(PACKAGES)
	@$(BIN)/python packaging/quicken
	@touch $@

# pytest writes its own compiled files, with more in each assertion, when it collects.
compiled-tests: $(COLLECTED)

$(COLLECTED): $(TESTABLE) $(TESTS)
	@exec env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest tests --collect-only -qq >/dev/null
	@touch $@

# ------------------------------------------------------------------ checks

check: lint ## the same as lint

lint: $(TESTABLE) ## style, types and architecture
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PYTHONPATH=. $(BIN)/lint-imports

test: $(TESTABLE) $(COMPILED) ## everything that this machine can run
	@scripts/test-tools
	@VENV='$(VENV)' MAKE='$(MAKE)' scripts/test-all

unit: $(TESTABLE) ## the pure tests, in seconds
	$(BIN)/python -m pytest tests/unit -q

test-cgroup2: $(TESTABLE) ## the cgroup tests in a virtual machine with cgroup v2 alone
	VENV='$(VENV)' scripts/test-cgroup2

registry-clients: $(TESTABLE) ## the registry by podman, docker, oras ... and the official suites; installs what it can
	PYTHON='$(BIN)/python' scripts/registry-clients --install

MINUTES ?= 5
CUTS    ?= 10

soak: $(TESTABLE) ## the registry under pushes, deletes, collections and kills: MINUTES=5
	$(BIN)/python -m tests.support.registry_soak churn --minutes $(MINUTES)

power-cut: $(TESTABLE) ## the registry on a disk whose power fails, as root: CUTS=10
	$(BIN)/python -m tests.support.registry_soak power-cut --cuts $(CUTS)

bench: $(COMPILED) ## measure Boxy beside its peers
	$(BIN)/python -m benchmarks.startup
	$(BIN)/python -m benchmarks.lifecycle
	$(BIN)/python -m benchmarks.stats
	$(BIN)/python -m benchmarks.network
	$(BIN)/python -m benchmarks.copies
	$(BIN)/python -m benchmarks.parts
	$(BIN)/python -m benchmarks.console
	$(BIN)/python -m benchmarks.terminal
	$(BIN)/python -m benchmarks.panes
	$(BIN)/python -m benchmarks.registry

# ------------------------------------------------------------------ documentation

DOCUMENTABLE := $(VENV)/.installed-for-docs

$(DOCUMENTABLE): $(RUNNABLE)
	@$(OURS)
	@echo "Installing what makes the documentation into $(VENV) ..."
	@$(PIP) install --editable '.[docs]' || { echo "boxy: pip could not install MkDocs; its lines above say why." >&2; exit 1; }
	@touch $@

docs: $(DOCUMENTABLE) ## the documentation as a site in build/site, links checked, and man pages
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict
	@$(BIN)/python docs/generate_man.py build/man
	@echo "The site is build/site/index.html; a page of the manual: man -l build/man/man1/boxy.1"

# ------------------------------------------------------------------ the system

install: ## install for all users: PREFIX=/usr/local, with a systemd unit
	@PREFIX='$(PREFIX)' UNITDIR='$(UNITDIR)' DESTDIR='$(DESTDIR)' PYTHON='$(PYTHON)' packaging/install.sh

uninstall: ## undo make install; boxes and images stay in /var/lib/boxy
	@PREFIX='$(PREFIX)' UNITDIR='$(UNITDIR)' DESTDIR='$(DESTDIR)' packaging/uninstall.sh

clean: ## remove the environment and every cache; running boxes are not touched
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache snapshot_report.html
	find -L $(PACKAGES) tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
