# Everything sets itself up: `make demo` and `make test` work in a fresh clone.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet -c constraints.txt
SOURCES := src tests benchmarks examples

.PHONY: demo test lint format bench clean

demo: $(VENV)/.installed
	@mkdir -p demo
	$(BIN)/pullmatte image examples/coffee.png demo/coffee.png --prompts examples/coffee.json --side alpha
	$(BIN)/pullmatte image examples/coffee.png demo/coffee_white.jpg --prompts examples/coffee.json --bg white
	$(BIN)/pullmatte video examples/fuzzball.mp4 demo/fuzzball.mov --prompts examples/fuzzball.json
	$(BIN)/pullmatte video examples/fuzzball.mp4 demo/fuzzball_checker.mp4 --prompts examples/fuzzball.json --bg checker
	@echo "Look at demo/: coffee.png (cut-out), coffee_alpha.png, coffee_white.jpg,"
	@echo "fuzzball.mov (ProRes 4444 with alpha and sound), fuzzball_checker.mp4"

test: $(VENV)/.dev $(VENV)/.browser
	OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

lint: $(VENV)/.dev
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy

format: $(VENV)/.dev
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

bench: $(VENV)/.dev
	$(BIN)/python benchmarks/run_all.py

clean:
	rm -rf $(VENV) demo build dist

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "pullmatte needs Python 3.11 or newer; give one with: make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)

# The first import of pymatting compiles its kernels, once; it is part of setting up.
$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) -e .
	@echo "compiling the matting kernels, once: about half a minute"
	$(BIN)/python -c 'import pymatting'
	@touch $@

$(VENV)/.dev: $(VENV)/.installed
	$(PIP) -e '.[dev]'
	@touch $@

# Tests drive the studio's page in a real Chromium; where none can be installed they say so.
$(VENV)/.browser: | $(VENV)/bin/python
	@command -v chromium chromium-browser google-chrome google-chrome-stable > /dev/null \
	  || { [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null \
	       && apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core > /dev/null; } \
	  || echo "no Chromium here, and none can be installed: the tests of the page will be skipped"
	@touch $@
