# From an empty clone: `make demo` or `make test`. Both need only Python >= 3.10 (with venv) and make.

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
STAMP := $(VENV)/.installed
# torch is installed before the rest, at its pinned version, so that nothing else chooses another build of it. On
# Linux without a GPU, PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu saves some gigabytes.
TORCH := $(shell sed -n 's/^\(torch==[^; ]*\).*/\1/p' constraints.txt)
NBVAL := -m pytest -q -p no:cacheprovider --nbval-current-env --nbval-sanitize-with tests/nbval_sanitize.cfg
# Notebooks that train: nbval runs all of their cells and compares the outputs of those that are tagged for it.
LAX := 06 07 08 10 12 A1 A2
TRAINING := $(foreach number,$(LAX),$(wildcard notebooks/$(number)_*.ipynb))
EXACT := $(filter-out $(TRAINING),$(wildcard notebooks/*.ipynb))

.DEFAULT_GOAL := help
.PHONY: help demo test lab app notebooks student colab course lint format samples bench clean

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
	$(RUN) $(NBVAL) --nbval $(EXACT)
	$(RUN) $(NBVAL) --nbval-lax $(TRAINING)

# In a container one is often root, which Jupyter has to be told to accept.
lab: $(STAMP) ## open the first notebook in JupyterLab
	$(RUN) -m jupyter lab notebooks/00_quick_start.ipynb --ServerApp.tornado_settings="{'websocket_max_message_size': 300000000}" $(if $(filter 0,$(shell id -u)),--allow-root)

app: $(STAMP) ## the chat window alone, as a web page that only this machine can open
	cd notebooks/app && $(abspath $(RUN)) -m voila chat.ipynb

notebooks: $(STAMP) ## run all notebooks again and write them with their outputs (ONLY="03 A1" for some)
	$(RUN) notebooks/build.py $(ONLY)

student: $(STAMP) ## write the students' and the solutions' notebooks again from their masters, without running them
	$(RUN) notebooks/build.py --no-run $(ONLY)

colab: $(STAMP) ## REPO=https://github.com/me/minivl: let badges and set-up cells use this repository
	$(RUN) notebooks/build.py --repo "$(REPO)"

course: $(STAMP) ## print the budget of every notebook, and what every exercise says to right and wrong answers
	$(RUN) notebooks/budget.py
	$(RUN) notebooks/exercises.py

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
