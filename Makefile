# make demo    install into .venv, train Graph Mamba and a GCN on ring transfer, draw both
# make test    install into .venv, run the tests
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: demo test test-slow sanitize docs install clean

install: $(INSTALLED)

# Torch first and pinned: the extras below are then satisfied by it.
$(INSTALLED): pyproject.toml constraints.txt CMakeLists.txt $(wildcard graphseq/scan/native/*.cpp graphseq/scan/native/*.h)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --upgrade pip
	$(BIN)/python -m pip install -q -c constraints.txt torch
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[train,test,docs]'
	touch $@

demo: $(INSTALLED)
	$(BIN)/python examples/ring_transfer.py

test: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q -n 2 --durations 20
	$(MAKE) docs

test-slow: $(INSTALLED)
	$(BIN)/python -m pytest -q -m slow

# The kernels' tests under AddressSanitizer and UndefinedBehaviorSanitizer. Python itself leaks by design.
sanitize: $(INSTALLED)
	cmake -S . -B build/sanitize -DGRAPHSEQ_SANITIZE=ON
	cmake --build build/sanitize --parallel 2
	LD_PRELOAD="$$($(CXX) -print-file-name=libasan.so) $$($(CXX) -print-file-name=libubsan.so)" \
	ASAN_OPTIONS=detect_leaks=0 GRAPHSEQ_NATIVE_LIBRARY=$(CURDIR)/build/sanitize/_kernels.so \
	$(BIN)/python -m pytest -q tests/scan -k "native or backend" -p no:cacheprovider

docs: $(INSTALLED)
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs docs/_build/html

clean:
	rm -rf build $(VENV) docs/_build
