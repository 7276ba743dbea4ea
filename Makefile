.DEFAULT_GOAL := help
.PHONY: help install demo dev test check format bench bench-starter bench-faults bench-senders histories lock clean

PYTHON ?= python3
BIN := .venv/bin
LOCK := uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-annotate --no-header

help: ## lists the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 16

install: .venv/installed ## makes .venv/ from the lock file, and gets a Temporal server
	@$(BIN)/python -m campaigns.cli.embedded.temporal

.venv/installed: requirements-dev.lock pyproject.toml
	@echo "Making the virtual environment in .venv/ from requirements-dev.lock (about a minute) …"
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: install ## runs real campaigns for real customers, and shows what happened
	@$(BIN)/campaigns demo

dev: install ## runs everything embedded, under .campaigns/
	@$(BIN)/campaigns dev

test: install check ## runs all checks and the whole test suite
	@echo "Running the tests (about 10 minutes on 2 cores that do nothing else) …"
	@$(BIN)/pytest -n 2 --dist worksteal

check: .venv/installed ## lints, checks types and the direction of imports
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

format: .venv/installed ## formats the code
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: install ## measures entries a second against the barest workflow, and a worker's memory
	@$(BIN)/python benchmarks/entries.py --waiting 10000

bench-starter: install ## measures admission, intake and rules on PostgreSQL against the barest of their kind
	@$(BIN)/python benchmarks/starter.py --customers 10000 100000 1000000

bench-faults: install ## drives 2,000 entries through while parts are killed and providers fail
	@$(BIN)/python -m benchmarks.faults

bench-senders: install ## measures mails and texts a second against the bare clients
	@$(BIN)/python -m benchmarks.senders

histories: install ## records those histories that the tests replay and that are not there yet
	@$(BIN)/python -m tests.histories.record

lock: .venv/installed ## resolves the dependencies anew (needs uv)
	$(LOCK) --output-file requirements.lock
	$(LOCK) --group dev --output-file requirements-dev.lock

clean: ## removes what dev, demo and bench keep
	rm -rf .campaigns
