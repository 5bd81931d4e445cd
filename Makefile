# Everything a developer runs. Each target first makes sure that .venv is complete; `make help` lists them.

PYTHON ?= python3
WORKERS ?= 2
ARGS ?=

PY := .venv/bin/python
PIP := $(PY) -m pip --disable-pip-version-check -qq
STAMP := .venv/.complete

# What gets torch: a requirement with pip options, or nothing to keep the torch that .venv already sees.
# The choice is remembered in .venv, so that later targets do not replace it.
CHOICE := .venv/.torch
TORCH ?= $(shell cat $(CHOICE) 2>/dev/null || echo torch==2.13.0)

# A choice made on the command line is acted upon even if .venv is complete.
ifeq ($(origin TORCH),command line)
CHOSEN := again
endif

MAKEFLAGS += --no-print-directory
.DELETE_ON_ERROR:
.PHONY: help setup demo test check claims bench lock clean again

help:  ## print this list (default)
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile
	@echo 'ARGS="..." is handed on to the command of demo, test, claims and bench.'
	@echo 'Another build of torch (cu130, cpu, ...):  make setup TORCH="torch==2.13.0 --index-url https://download.pytorch.org/whl/cu130"'
	@echo 'The torch that .venv sees already (a venv made with --system-site-packages):  make setup TORCH='

setup: $(STAMP)  ## make .venv with the package and the tools (again only when pyproject.toml or constraints.txt change)

demo: $(STAMP)  ## train a small model on handwritten digits and draw samples
	@$(PY) -m nextset demo $(ARGS)

test: $(STAMP)  ## run the tests on WORKERS processes (2)
	@OMP_NUM_THREADS=1 $(PY) -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

check: $(STAMP)  ## formatting, lint, types
	@$(PY) -m ruff format --check .
	@$(PY) -m ruff check .
	@$(PY) -m mypy

claims: $(STAMP)  ## run the small experiments that show each paper's point
	@$(PY) -m claims $(ARGS)

bench: $(STAMP)  ## measure speed
	@$(PY) -m benchmarks $(ARGS)

lock: $(STAMP)  ## write constraints.txt from what .venv holds
	@{ echo '# Exact versions of the development environment; torch is chosen apart (see Makefile).'; \
	   echo '# Regenerate with `make lock`; to move to a newer package first: .venv/bin/python -m pip install -U <package>'; \
	   $(PY) -m pip freeze --exclude-editable | grep -E '^[A-Za-z0-9._-]+==' \
	   | grep -viE '^(nextset|torch|triton|pytorch[-_]triton|nvidia|cuda)([-_][a-z0-9_-]*)?=='; } > constraints.txt.new
	@mv constraints.txt.new constraints.txt
	@touch $(STAMP)
	@echo "constraints.txt: $$(grep -c == constraints.txt) packages"

clean:  ## remove caches and build outputs (.venv, runs/ and demo/ stay)
	@rm -rf build dist .pytest_cache .mypy_cache .ruff_cache constraints.txt.new
	@find . -path ./.venv -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): pyproject.toml constraints.txt $(CHOSEN)
	@$(PY) -m pip --version >/dev/null 2>&1 || { \
	  $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	    { echo 'nextset needs Python 3.11 or newer, and "$(PYTHON)" is not: make setup PYTHON=/path/to/python3.11' >&2; exit 1; }; \
	  echo 'making .venv'; $(PYTHON) -m venv .venv; }
ifneq ($(strip $(TORCH)),)
	@echo 'installing $(firstword $(TORCH)) (can take minutes)'
	@echo '$(TORCH)' | xargs $(PIP) install
else
	@$(PY) -c 'import torch' 2>/dev/null || \
	  { echo '.venv sees no torch to keep: install one there, or say which with TORCH=' >&2; exit 1; }
endif
	@echo '$(TORCH)' > $(CHOICE)
	@echo 'installing nextset and its tools'
	@$(PIP) install -c constraints.txt -e '.[dev]'
	@touch $@
