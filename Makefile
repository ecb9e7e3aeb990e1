# make run    a first run: builds, then a short connections and widget phase against the simulator
# make test   every test that needs no root: builds, installs what the tests need, runs them
# make bench  speed and memory, beside k6 in the same run
# make instructions  what a message and a connect cost, against benches/instructions/accepted.json
# make fuzz   ten million random frames against a reference, in a sanitized copy of the tree
# make lint   ruff and mypy
# make wheel  the wheel, into dist/

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := setup.py pyproject.toml $(wildcard ghostcore/*.pyx ghostcore/*.pxi ghostcore/*.pxd)

.PHONY: build run test test-full bench instructions fuzz lint wheel clean
.DELETE_ON_ERROR:

build: $(VENV)/built

$(VENV)/created:
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

test-full: test

lint: $(VENV)/test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/test
	$(BIN)/python -m benches

instructions: $(VENV)/test
	$(BIN)/python -m benches.instructions

fuzz: $(VENV)/test
	rm -rf build/fuzz && mkdir -p build/fuzz
	tar -c --exclude='*.so' setup.py pyproject.toml README.md ghostcore python tests | tar -x -C build/fuzz
	cd build/fuzz && GHOSTCORE_SANITIZE=1 $(CURDIR)/$(BIN)/python setup.py -q build_ext --inplace
	cd build/fuzz && LD_PRELOAD=$$(gcc -print-file-name=libasan.so) ASAN_OPTIONS=detect_leaks=0 \
		UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 PYTHONPATH=.:python \
		$(CURDIR)/$(BIN)/python -m tests.fuzz.frames --frames 10000000 --seed 1

wheel: $(VENV)/built
	$(BIN)/python -m pip wheel --quiet --no-build-isolation --no-deps --wheel-dir dist .

clean:
	rm -rf $(VENV) build dist out *.egg-info
	find ghostcore -name '*.so' -delete
