# make run    a first run: builds, then a short connections and widget phase against the simulator
# make test   every test that needs no root: builds, installs what the tests need, runs them
# make test-unit   of these only those of single parts
# make test-interpreters   these on every other Python of this machine; says which it has not
# make test-debug, make test-sanitized   most tests again, on builds that catch what C lets pass
# make test-full   these two and the instructions; installs valgrind if it is missing, as root
# make bench  speed and memory, beside k6 in the same run
# make demo-omission  a server that stands still, in the figures of ghostcore and of k6
# make instructions  what a message and a connect cost, against benches/instructions/accepted.json
# make fuzz   ten million random frames (FRAMES=) against a reference, on the sanitized build
# make lint   ruff, mypy, and the stubs of the compiled modules against what was compiled
# make stubs  docstrings of the compiled modules, copied into their .pyi
# make wheel  the wheel, into dist/
#
# With PYTHON=, any of them uses that interpreter, in a virtual environment of its own: .venv-3.13

PYTHON ?= python3
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
VENV ?= $(if $(filter file,$(origin PYTHON)),.venv,.venv-$(VERSION))
BIN := $(VENV)/bin
FRAMES ?= 10000000
SEED ?= 1
SOURCES := setup.py pyproject.toml $(wildcard $(foreach kind,pyx pxi pxd,ghostcore/*.$(kind) ghostcore/*/*.$(kind)))
COMPILED := $(subst /,.,$(basename $(wildcard ghostcore/*.pyx ghostcore/*/*.pyx)))

.PHONY: build run test test-unit test-interpreters test-debug test-sanitized test-full valgrind \
	bench demo-omission instructions fuzz lint stubs wheel clean same-python
.DELETE_ON_ERROR:

build: $(VENV)/built

# A virtual environment that is there already must be of the interpreter asked for, not of another.
same-python: IDENTITY = import sys; print(sys.version, sys.base_prefix)
same-python:
	@test ! -x $(BIN)/python || test "$$($(BIN)/python -c '$(IDENTITY)')" = "$$($(PYTHON) -c '$(IDENTITY)')" \
		|| { echo "$(VENV) was made by another Python than $(PYTHON): remove it, or give VENV="; exit 1; }

$(VENV)/created: | same-python
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "ghostcore needs Python 3.11 or newer; PYTHON=$(PYTHON) is not"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	touch $@

# Build isolation would compile everything anew each time; the environment holds what building needs.
$(VENV)/built: $(VENV)/created $(SOURCES)
	$(BIN)/python -m pip install --quiet "setuptools>=77" wheel "cython>=3.1,<4" "picows==2.3.*"
	$(BIN)/python -m pip install --quiet --no-build-isolation --editable .
	touch $@

$(VENV)/test: $(VENV)/built
	$(BIN)/python -m pip install --quiet --no-build-isolation --editable ".[test,lint,bench]"
	touch $@

run: build
	$(BIN)/ghost-greeter run connections -u 50 -d 12s --session 2-5 --seed 1 --out out/connections
	$(BIN)/ghost-greeter run widget -u 50 -d 12s --session 2-5 --seed 1 --out out/widget
	@echo "results: out/connections/result.json out/widget/result.json"

# Three processes: most tests wait for a server or a deadline. A file stays in one process.
test: $(VENV)/test lint
	$(BIN)/python -m pytest tests -n 3 --dist loadfile

test-unit: $(VENV)/test
	$(BIN)/python -m pytest tests/unit tests/property -n 2 --dist loadfile

test-interpreters: $(VENV)/created
	$(BIN)/python -m tests.builds.interpreters

# Copies of the tree in build/debug and build/sanitized: see tests/builds.
test-debug: $(VENV)/test
	$(BIN)/python -m tests.builds debug

test-sanitized: $(VENV)/test
	$(BIN)/python -m tests.builds sanitized

test-full: valgrind
	$(MAKE) test-debug
	$(MAKE) test-sanitized
	$(MAKE) instructions

valgrind:
	@command -v valgrind > /dev/null || { \
		test "$$(id -u)" = 0 || { echo "valgrind is missing: install it, or run this as root"; exit 1; }; \
		command -v apt-get > /dev/null || { echo "valgrind is missing, and there is no apt-get"; exit 1; }; \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq valgrind; }

# Stubs leave out what Cython adds to each module, and that no class has two compiled bases (PEP 800).
lint: $(VENV)/test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/stubtest --concise --ignore-disjoint-bases --ignore-missing-stub \
		--allowlist tests/typing/stubtest_allowed.txt --mypy-config-file pyproject.toml $(COMPILED)

stubs: $(VENV)/test
	$(BIN)/python -m tests.stubs --write

bench: $(VENV)/test
	$(BIN)/python -m benches

demo-omission: $(VENV)/test
	$(BIN)/python -m benches.omission

instructions: $(VENV)/test
	$(BIN)/python -m benches.instructions

fuzz: $(VENV)/test
	$(BIN)/python -m tests.builds sanitized -m tests.fuzz.frames --frames $(FRAMES) --seed $(SEED)

wheel: $(VENV)/built
	$(BIN)/python -m pip wheel --quiet --no-build-isolation --no-deps --wheel-dir dist .

clean:
	rm -rf .venv .venv-* $(VENV) build dist out *.egg-info benches/out tests/node/node_modules
	rm -rf .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find ghostcore -name '*.so' -delete
