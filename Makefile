# The few commands of this project; `make help` lists them. Everything is installed into $(VENV), from the lock in
# requirements/ (with hashes), and installed again only when the lock has changed.

VENV ?= .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell for name in python3 python3.11 python3.12 python3.13 python3.14; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$name && break; done)
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet --no-input
LOCKED := $(PIP) install --require-hashes
# uv compiles the lock; nothing else needs it.
UV ?= $(or $(wildcard $(BIN)/uv),uv)
COMPILE := $(UV) pip compile --quiet --generate-hashes --no-header --no-emit-index-url --no-emit-find-links --python-version 3.11
# With KEEP=1 the demo stays up until Ctrl-C.
KEEP ?=
# Where make install puts it.
PREFIX ?=
# Tests share two cores with the processes they start; while some wait, others work. Each takes from the others when it
# has nothing left to do, so that all end together.
WORKERS ?= 3
# How many seeds make simulate runs, from SEED (1) on; with NODES=3 so many nodes share one database.
SEEDS ?= 200
# How long make torture takes, and by which schedule; without a SEED by another one each time.
MINUTES ?= 5
SEED ?=
# One of them alone: make bench BENCH=main_job
BENCH ?= main_job transport store retention backup events overload

.DEFAULT_GOAL := help
.PHONY: help venv install test-venv tools demo test test-quick simulate torture torture-nodes power lint bench bench-peers bench-web docs lock clean vendor pictures answers lint-web

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

venv: $(VENV)/package.stamp ## the environment to run Taskyard in

test-venv: $(VENV)/package.stamp $(VENV)/test.stamp

$(VENV)/run.stamp: requirements/run.txt requirements/build.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed (with its venv module); name it by PYTHON=…" >&2; exit 1; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv --clear $(VENV) || \
		{ echo "$(PYTHON) has no venv module; on Debian: apt-get install python3-venv" >&2; exit 1; }
	$(LOCKED) -r requirements/build.txt -r requirements/run.txt
	@touch $@

$(VENV)/test.stamp: requirements/test.txt $(VENV)/run.stamp
	$(LOCKED) -r requirements/test.txt
	@touch $@

$(VENV)/bench.stamp: requirements/bench.txt $(VENV)/test.stamp
	$(LOCKED) -r requirements/bench.txt
	@touch $@

$(VENV)/package.stamp: pyproject.toml $(VENV)/run.stamp
	$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

tools: # programs that tests run, by apt when they are missing
	@sh tests/tools.sh chromium:chromium nginx:nginx-light curl:curl setpriv:util-linux haproxy:haproxy initdb:postgresql pgbouncer:pgbouncer strace:strace eatmydata:eatmydata

install: ## Taskyard for a service, in an environment of its own (PREFIX=/opt/taskyard)
	@test -n "$(PREFIX)" || { echo "Say where to: make install PREFIX=/opt/taskyard" >&2; exit 1; }
	@$(MAKE) --no-print-directory VENV=$(PREFIX) $(PREFIX)/run.stamp
	$(PREFIX)/bin/python -m pip --disable-pip-version-check --quiet --no-input \
		install --no-deps --no-build-isolation --force-reinstall .

demo: venv ## a node, three backend servers and a mixed load, live (KEEP=1: stays up)
	@$(BIN)/taskyard demo $(if $(KEEP),--keep)

test: test-venv tools lint ## everything: lint, types, contracts, all tests
	$(BIN)/pytest -n $(WORKERS) --dist worksteal

test-quick: test-venv ## the tests of pure code: seconds
	$(BIN)/pytest tests/unit

simulate: test-venv ## every fault in virtual time, judged; what breaks is shrunk (SEEDS=200 SEED=1 NODES=3)
	@$(BIN)/python -m taskyard.prove.simulation --seed $(or $(SEED),1) --seeds $(SEEDS) $(if $(NODES),--nodes $(NODES) --tasks 60)

torture: test-venv ## a node killed, frozen, starved and cut off under load, and judged (MINUTES=5 SEED=7)
	@$(BIN)/python -m tests.torture --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

torture-nodes: test-venv tools ## the same with three nodes on one PostgreSQL, and the database as a target (MINUTES=5)
	MINUTES=$(MINUTES) $(BIN)/pytest -s tests/nodes/test_nodes_torture.py

power: test-venv ## the power goes after every single write of a thousand turns (make test: between any two syncs)
	POWER=every $(BIN)/pytest -n $(WORKERS) tests/power

lint: test-venv ## style, types, layers, portability; the dashboard's too where its tools are there
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest tests/unit/test_portability.py
	@if [ tools/web/node_modules -nt tools/web/package-lock.json ]; then $(MAKE) --no-print-directory lint-web; \
	else echo "The dashboard's types and lint are left out: make lint-web fetches their tools from npm, once."; fi

bench: test-venv ## measurements; they assert nothing
	@sh tests/tools.sh nginx:nginx-light wrk:wrk
	@for name in $(BENCH); do echo "== $$name"; $(BIN)/python -m benchmarks.$$name || exit 1; done

bench-peers: test-venv $(VENV)/bench.stamp ## Taskyard beside other queues on PostgreSQL, with and without an old snapshot
	@sh tests/tools.sh nginx:nginx-light wrk:wrk initdb:postgresql
	@$(BIN)/python -m benchmarks.peers

bench-web: test-venv ## the dashboard against its budgets, in Chromium, with 0, 14 and 1,000 servers and 1,000,000 tasks
	@sh tests/tools.sh chromium:chromium
	@$(BIN)/python -m benchmarks.web

vendor: test-venv tools/web/node_modules ## the dashboard's vendored files, from tools/web/package-lock.json
	cd tools/web && $(abspath $(BIN))/node vendor.mjs

pictures: test-venv ## the pictures of the tour, of a real node at work, some 10 minutes
	@sh tests/tools.sh chromium:chromium fc-list:fontconfig
	$(BIN)/python -m tests.web.pictures

answers: test-venv ## the answers that the API documentation shows, of a real node at work
	$(BIN)/python -m tests.contract.openapi.answers

lint-web: test-venv tools/web/node_modules ## the dashboard's types and lint
	cd tools/web && $(abspath $(BIN))/node node_modules/typescript/bin/tsc -p tsconfig.json
	cd tools/web && $(abspath $(BIN))/node node_modules/@biomejs/biome/bin/biome lint --config-path=. ../../taskyard/web/static

tools/web/node_modules: tools/web/package-lock.json
	cd tools/web && PATH=$(abspath $(BIN)):$$PATH npm ci --ignore-scripts
	@touch $@

docs: venv ## the generated pages
	$(BIN)/python -m taskyard.settings.table > docs/configuration.md.new
	@mv docs/configuration.md.new docs/configuration.md

lock: ## compiles requirements/*.txt anew from pyproject.toml (UPGRADE=1: newer versions)
	@command -v $(UV) > /dev/null || { echo "uv is needed: $(BIN)/pip install uv" >&2; exit 1; }
	$(COMPILE) $(if $(UPGRADE),--upgrade) pyproject.toml --extra test -o requirements/test.txt
	$(COMPILE) $(if $(UPGRADE),--upgrade) pyproject.toml -c requirements/test.txt -o requirements/run.txt
	$(COMPILE) $(if $(UPGRADE),--upgrade) pyproject.toml --extra otel -c requirements/test.txt -o requirements/otel.txt
	$(COMPILE) $(if $(UPGRADE),--upgrade) requirements/build.in -c requirements/test.txt -o requirements/build.txt
	$(COMPILE) $(if $(UPGRADE),--upgrade) requirements/bench.in -c requirements/test.txt -o requirements/bench.txt

clean: ## removes the environment and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
