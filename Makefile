# Two targets do everything: `make demo` shows the main job, `make test` proves the parts. Both set up what they need.
SHELL := /bin/bash
PYTHON ?= python3
VENV ?= .venv
WORKERS ?= 3
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

SUITE ?= kill
SECONDS ?= 600
SEED ?= 1
CASE ?=

.PHONY: demo demo-full test test-long test-quick chaos lint format types imports schemas lock wheel bench-cutover bench-flip bench-startup bench-health bench-status bench-validate bench-steps bench-data setup clean help

help: ## what there is to make
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

# Every package by its version and its hashes; the project itself is built by what is locked, too.
$(STAMP): pyproject.toml requirements/dev.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is needed (PYTHON=...)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

setup: $(STAMP) ## a virtual environment with everything, and haproxy where it may be installed
	@bash scripts/haproxy.sh

demo: setup ## a whole small TracSeq: weeks 1 and 2 there and back, and the log (about 2 minutes)
	@PATH="$(CURDIR)/$(BIN):$$PATH" bash scripts/demo.sh

demo-full: setup ## weeks 1 to 4 while people work, and weeks 4 and 3 back again with all that was written (about 3 minutes)
	@PATH="$(CURDIR)/$(BIN):$$PATH" bash scripts/demo-full.sh

# Most tests wait for real processes, so three workers keep two cores busy; a file's tests stay together. Files go in
# their own order: those with few tests are the long ones, and must not come last.
test: setup ## the tests (but for the long ones), on real PostgreSQL, a real proxy and real processes
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder -m 'not long'

test-long: setup ## those left out of `make test`: half a minute each, and a long suite or another test shows the same
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -m long

test-quick: $(STAMP) ## the tests that need no sandbox
	$(BIN)/python -m pytest -m 'not sandbox and not long'

chaos: setup ## a long suite: SUITE=kill|cutover|data|contention|weather|input|… SECONDS=600 SEED=1 WORKERS=3; goes on where it stopped
	$(BIN)/python -m tests.chaos $(SUITE) --seconds $(SECONDS) --seed $(SEED) --workers $(WORKERS) $(if $(CASE),--case '$(CASE)')

lint: $(STAMP) ## ruff: rules and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(STAMP) ## let ruff put it right
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(STAMP) ## mypy, strict
	$(BIN)/mypy

imports: $(STAMP) ## the rooms know only what is below them
	$(BIN)/lint-imports

schemas: $(STAMP) ## write schemas/*.json from the models
	$(BIN)/python -m tracseq_migrate.plan.schema schemas
	$(BIN)/python -m tracseq_migrate.config.schema schemas

lock: ## pin every package anew, with hashes, into requirements/*.lock (UPGRADE=1: to the newest versions)
	@PYTHON="$(PYTHON)" UPGRADE="$(UPGRADE)" bash scripts/lock.sh

wheel: $(STAMP) ## build the wheel, install it into an empty environment, run it from another folder
	@BIN="$(CURDIR)/$(BIN)" bash scripts/wheel.sh

bench-flip: setup ## what clients notice of a flip, behind each proxy and without one
	$(BIN)/python benchmarks/flip.py

bench-startup: $(STAMP) ## start-up of the commands against a bare typer command
	$(BIN)/python benchmarks/startup.py

bench-status: $(STAMP) ## status on a journal of 100,000 events, against one of 100
	$(BIN)/python benchmarks/status.py

bench-validate: $(STAMP) ## validate of 1,000 services and 10,000 steps, against PyYAML's C loader
	$(BIN)/python benchmarks/validate.py

bench-steps: $(STAMP) ## 200 trivial steps against bash, terraform, pyinfra and ansible; then 10,000 of ours
	$(BIN)/python benchmarks/steps.py --many 10000

bench-health: setup ## the health of 1,000 endpoints, against curl --parallel
	$(BIN)/python benchmarks/health.py

ROUNDS ?= 100
bench-cutover: setup ## what people notice of 100 cutovers and 100 rollbacks, against runbook and replication by hand (about 40 minutes)
	$(BIN)/python benchmarks/cutover --rounds $(ROUNDS)

ROWS ?= 1000000
bench-data: setup ## copy, pre-scan, comparison and apply, against the tools of the field (ROWS=1000000; about half an hour)
	$(BIN)/python benchmarks/data/copying.py --rows $(ROWS)
	$(BIN)/python benchmarks/data/compare.py --rows $(ROWS)
	$(BIN)/python benchmarks/data/prescan.py
	$(BIN)/python benchmarks/data/apply.py

clean: ## take away what was set up here
	rm -rf $(VENV) dist build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .demo
