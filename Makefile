# Every target does all the set-up it needs by itself; done once, that costs no time.
#   make demo   five real guests, in order, up and down       make test   all the tests (ARGS="tests/conf -k order")
#   make check  ruff, mypy, the import contracts              make bench  the benchmarks: ratios, in one run
#   make docs   the documentation                             make setup  the set-up for all of these
#   make test-pythons  the tests without real guests and hosts, on each Python 3.11-3.14 that is found here
#   make interop  how near to libvirt documents, conversions and defaults are, over its own test data
#   make pins   write requirements/*.txt anew (ARGS=--upgrade for newer releases)

PYTHON ?= $(shell for python in /usr/bin/python3 python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$python"; exit; }; done; \
	echo python3)
SETUP := $(PYTHON) scripts/setup.py
BIN := .venv/bin

.PHONY: demo test test-pythons check bench docs interop setup pins

demo:
	@$(SETUP) demo
	@$(BIN)/python examples/demo.py $(ARGS)

test:
	@$(SETUP) test
	$(BIN)/python -m pytest $(or $(ARGS),-n auto)

test-pythons:
	@$(PYTHON) scripts/pythons.py $(ARGS)

check:
	@$(SETUP) check
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	MYPYPATH=tests:scripts $(BIN)/mypy --explicit-package-bases scripts tests/support tests/guests tests/hostbox tests/conftest.py
	$(BIN)/lint-imports

bench:
	@$(SETUP) bench
	$(BIN)/python -m benchmarks $(ARGS)

docs:
	@$(SETUP) docs
	$(BIN)/python scripts/docs.py $(ARGS)

interop:
	@$(SETUP) pure
	@for each in agreement vmx native complete addresses; do \
		PYTHONPATH=tests $(BIN)/python tests/interop/$$each.py || exit; done

setup:
	@$(SETUP) all

pins:
	$(PYTHON) scripts/pins.py $(ARGS)
