# Stonks Overwatch. `make help` lists the targets; Python 3.11+ and make are all they need.
#
# Set-up leaves a stamp in .venv/done per step, written after the step has worked. A step runs again
# when a file it depends on is newer than its stamp, so an interrupted set-up is taken up where it stopped.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run test lint soak bench wheel lock setup browser

PY := .venv/bin/python
DONE := .venv/done
PIP := $(PY) -m pip install --quiet --quiet --disable-pip-version-check --no-input
NPM := PATH="$(CURDIR)/.venv/bin:$$PATH" npm --no-update-notifier
ASSETS := src/stonks_overwatch/web/static/dist
on = $(filter true yes on 1,$(1))

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile
	@echo '  run takes port=8001, demo=true (a made-up portfolio) and debug=true (detailed log)'
	@echo '  soak takes runs=10000, or seed=17 for the one run that a failure names'

run: setup ## Start the app at http://127.0.0.1:8000
	@exec $(PY) -m stonks_overwatch run \
		$(if $(port),--port '$(port)') $(if $(call on,$(demo)),--demo) $(if $(call on,$(debug)),--debug)

# More processes than cores: many tests wait for a program that starts, ends or hangs.
test: lint browser ## Check the code and run all tests
	@exec $(PY) -m pytest --numprocesses 6 --dist loadscope

# The streams wait in real time, so there are fewer of them.
soak: $(DONE)/test ## Sync and stream under faults drawn at random, for a quarter of an hour
	@exec env SOAK_RUNS='$(or $(runs),2000)' SOAK_SEED='$(seed)' SOAK_ROUNDS=60 $(PY) -m pytest \
		--numprocesses 4 --dist loadscope -k faults tests/soak $(if $(seed),,tests/services/brokers/ibkr/test_live.py)

lint: $(DONE)/test ## Check the code alone: ruff, mypy and the pages' scripts
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy
	@$(NPM) run --silent check

bench: setup ## Measure start, memory and pages on the demo, a large login and statement, and everything by size on a made-up ledger
	@$(PY) -m bench.pages
	@$(PY) -m bench.sync
	@$(PY) -m bench.statement
	@exec $(PY) -m bench.refresh

wheel: setup ## Build the wheel, with the page's assets in it, into dist/
	@$(PY) -m hatchling build -t wheel

lock: ## Make the lock files anew (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --quiet --upgrade \
		pyproject.toml -o locks/run.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --quiet --upgrade \
		--group build -c locks/run.txt -o locks/build.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --quiet --upgrade \
		--group test -c locks/run.txt -c locks/build.txt -o locks/test.txt

setup: $(DONE)/package $(DONE)/assets

# A checkout that was moved or copied makes its own environment: scripts and links in it hold the old path.
ifneq ($(shell test -x $(PY) && cat $(DONE)/python 2>/dev/null),$(CURDIR))
.PHONY: $(DONE)/python
endif
# Somebody may have cleaned away what was built.
ifeq ($(wildcard $(ASSETS)/*),)
.PHONY: $(DONE)/assets
endif

$(DONE)/python:
	@found=''; \
	for python in python3 python3.14 python3.13 python3.12 python3.11 python; do \
		if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then found=$$python; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
		echo 'error: Python 3.11 or newer was not found.' >&2; \
		echo 'next step: Install it (for example: sudo apt install python3 python3-venv), then run make again.' >&2; \
		exit 1; \
	fi; \
	if ! $$found -c 'import ensurepip, venv' 2>/dev/null; then \
		echo "error: $$found cannot make virtual environments." >&2; \
		echo 'next step: Install its venv module (for example: sudo apt install python3-venv), then run make again.' >&2; \
		exit 1; \
	fi; \
	echo 'Setting up, once; this takes a minute or two.'; \
	$$found -m venv --clear .venv
	@mkdir -p $(DONE)
	@printf '%s\n' '$(CURDIR)' > $@

$(DONE)/run: $(DONE)/python locks/run.txt locks/build.txt
	@echo 'Installing the Python packages ...'
	@$(PIP) --require-hashes -r locks/run.txt -r locks/build.txt
	@touch $@

$(DONE)/package: $(DONE)/run pyproject.toml
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(DONE)/npm: $(DONE)/run package.json package-lock.json
	@echo 'Installing the packages of the pages ...'
	@$(NPM) ci --silent --no-audit --no-fund
	@touch $@

$(DONE)/assets: $(DONE)/npm $(shell find src/stonks_overwatch/web/assets -type f 2>/dev/null)
	@echo 'Building the pages ...'
	@$(NPM) run --silent build
	@touch $@

$(DONE)/test: $(DONE)/package $(DONE)/assets locks/test.txt
	@echo 'Installing what the tests need ...'
	@$(PIP) --require-hashes -r locks/test.txt
	@touch $@

browser:
	@sh tests/browser.sh
