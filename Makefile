# From an empty clone: `make demo` or `make test`. Both need only Python >= 3.10 (with venv) and make.

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
STAMP := $(VENV)/.installed
# torch is installed before the rest, at its pinned version, so that nothing else chooses another build of it. On
# Linux without a GPU, PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu saves some gigabytes.
TORCH := $(shell sed -n 's/^\(torch==[^; ]*\).*/\1/p' constraints.txt)
NOTEBOOKS := $(wildcard notebooks/*.ipynb)
SANITIZE := $(addprefix --nbval-sanitize-with ,$(wildcard tests/nbval_sanitize.cfg))

.DEFAULT_GOAL := help
.PHONY: help demo test lab lint format samples bench clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 18

# The stamp is written last: an installation that was interrupted starts again.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "minivl needs Python 3.10 or newer: make PYTHON=python3.11 ...")'
	rm -f $(STAMP)
	test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --constraint constraints.txt $(TORCH)
	$(RUN) -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $(STAMP)

demo: $(STAMP) ## answer questions about the sample clips, without a GPU or a download of weights
	$(VENV)/bin/minivl demo

test: $(STAMP) ## run the tests, then every notebook
	$(RUN) -m pytest -q
	$(if $(NOTEBOOKS),$(RUN) -m pytest -q --nbval --nbval-current-env $(SANITIZE) $(NOTEBOOKS),@echo "no notebooks yet")

lab: $(STAMP) ## open the first notebook in JupyterLab
	$(RUN) -m jupyter lab notebooks/00_quick_start.ipynb

lint: $(STAMP) ## style, formatting and types
	$(RUN) -m ruff check
	$(RUN) -m ruff format --check
	$(RUN) -m mypy

format: $(STAMP) ## put the code into the house's format
	$(RUN) -m ruff check --fix
	$(RUN) -m ruff format

samples: $(STAMP) ## render data_samples/ again
	$(RUN) data_samples/make_samples.py

bench: $(STAMP) ## run the quick benchmarks (three_seeds.py trains for an hour: run it by hand)
	@set -e; for name in render mel ask components; do echo "== $$name"; $(RUN) benchmarks/$$name.py; done

clean: ## remove the environment and everything that was built
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
	find minivl tests benchmarks data_samples notebooks -name __pycache__ -type d -prune -exec rm -rf {} +
