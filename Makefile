# make demo    install into .venv, train Graph Mamba and a GCN on ring transfer, draw both
# make test    install into .venv, run the tests
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: demo test test-slow lint docs install clean

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
	$(BIN)/python -m pytest -q -n 2
	$(MAKE) docs

test-slow: $(INSTALLED)
	$(BIN)/python -m pytest -q -m slow

docs: $(INSTALLED)
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs docs/_build/html

clean:
	rm -rf build $(VENV) docs/_build
