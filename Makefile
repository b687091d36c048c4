# make demo   edits a clip with the bundled model, writes out/demo
# make test   lint, types and the quick tests: what must be green before every commit
# make lint   ruff, mypy, the layers that imports keep to (pyproject.toml), and buf for the contract only
# make test-slow   the tests that take longer than five seconds
# make soak   the tests that take minutes and are not part of CI; writes docs/measurements/soak.md
# make docs        the generated parts of docs/
# make proto       the contract's Python code, built from proto/ (the others call it)
# make proto-baseline   records the contract as it is now: what later versions must stay compatible with

PYTHON ?= python3
WORKERS ?= 2

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check --quiet -c constraints.txt
PYTEST := $(BIN)/python -m pytest -n $(WORKERS)

.DEFAULT_GOAL := test
.PHONY: demo test lint test-slow docs proto proto-baseline clean soak

demo: $(VENV)/server.stamp
	$(BIN)/mive demo --out out/demo

test: lint
	$(PYTEST) -m "not slow and not soak"

lint: $(VENV)/proto.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/buf lint proto
	$(BIN)/buf breaking proto --against proto/baseline.binpb || \
	  { echo "Clients of the recorded contract would break. If that is meant: make proto-baseline" >&2; exit 1; }

test-slow: $(VENV)/proto.stamp
	$(PYTEST) -m "slow and not soak" --durations=15

soak: $(VENV)/dev.stamp $(VENV)/proto.stamp
	$(BIN)/python tests/soak_report.py docs/measurements/soak.md

docs: $(VENV)/proto.stamp
	$(BIN)/python docs/generate.py

proto: $(VENV)/proto.stamp

proto-baseline: $(VENV)/proto.stamp
	$(BIN)/buf build proto --exclude-source-info --output proto/baseline.binpb

clean:
	rm -rf $(VENV) out backend/mive/v1

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "MIVE needs Python 3.11 or newer: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "Python's venv module is missing: sudo apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# A half-made environment has no stamp, so the next run installs again.
$(VENV)/server.stamp: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -e ".[server]"
	@touch $@

$(VENV)/dev.stamp: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -e ".[server,dev]"
	@touch $@ $(VENV)/server.stamp

# Installing builds the contract too; this is for a .proto that changed since.
$(VENV)/proto.stamp: $(wildcard proto/mive/v1/*.proto) proto/generate.py $(VENV)/dev.stamp
	$(BIN)/python proto/generate.py
	@touch $@
