# Commands for work on this repository.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
EXTRAS := .venv/.extras
DOCS := .venv/.docs
DISTRIBUTED := .venv/.distributed
BROWSER := .venv/.browser
BUILD := .venv/.build

.DEFAULT_GOAL := help
.PHONY: help demo test lint format bench ratios validate figures sheets paper test-faults test-figures test-fuzz test-extras test-distributed test-browser test-gpu test-install docs clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/\1\t\2/' | expand -t 16

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "recu-analysis needs Python 3.11 or later; try make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $(READY)

$(EXTRAS): $(READY)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev,accelerate,lightning,tensorboard,transformers,wandb]' 'triton; sys_platform == "linux"' torchao
	touch $(EXTRAS)

$(DISTRIBUTED): $(READY)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev,distributed,s3]'
	touch $(DISTRIBUTED)

$(DOCS): $(READY)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev,docs]'
	touch $(DOCS)

$(BROWSER): $(READY)
	$(BIN)/python -m pip install --quiet -c constraints.txt playwright
	touch $(BROWSER)

$(BUILD): $(READY)
	$(BIN)/python -m pip install --quiet -c constraints.txt hatchling
	touch $(BUILD)

demo: $(READY) ## Train two binary networks on digits, with tables, figures and a report in runs/demo
	$(BIN)/recu-analyze demo

test: lint ## Run ruff, mypy and the core tests
	CUDA_VISIBLE_DEVICES= $(BIN)/python -m pytest --numprocesses=2 --dist=worksteal

lint: $(READY) ## Run ruff, ruff-format and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY) ## Repair formatting, and what ruff can repair
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY) ## Measure the speed of recording, reading, fits and training, beside other tools
	$(BIN)/python -m benchmarks.kernel
	$(BIN)/python -m benchmarks.sampled
	$(BIN)/python -m benchmarks.sharded
	$(BIN)/python -m benchmarks.window
	$(BIN)/python -m benchmarks.files
	$(BIN)/python -m benchmarks.fits
	$(BIN)/python -m benchmarks.analysis
	$(BIN)/python -m benchmarks.workers
	$(BIN)/python -m benchmarks.report
	$(BIN)/python -m benchmarks.startup
	$(BIN)/python -m benchmarks.step
	$(BIN)/python -m benchmarks.training
	$(BIN)/python -m benchmarks.gpu

ratios: $(READY) ## Measure the ratios of benchmarks/ratios.toml, and warn where they are larger than in the last release
	$(BIN)/python -m benchmarks.ratios

validate: $(READY) ## Check statistics: coverage of intervals, bias of estimators, nulls of noise alone
	$(BIN)/python -m benchmarks.validate
	$(BIN)/python -m benchmarks.validate_ratios
	$(BIN)/python -m benchmarks.movement --short
	$(BIN)/python -m benchmarks.noise --short
	$(BIN)/python -m benchmarks.causes --short
	$(BIN)/python -m benchmarks.interventions

figures: $(READY) ## Draw every figure and table of figures/ from the runs in checkpoints/
	ANALYZE=$(BIN)/recu-analyze scripts/figures.sh

sheets: $(READY) ## Draw every figure at four widths into the contact sheets of figures/sheets/
	ANALYZE=$(BIN)/recu-analyze $(BIN)/python scripts/contact_sheets.py

paper: $(READY) ## Compute the numbers of the two-page note in paper/ and typeset it; needs LaTeX
	$(BIN)/python scripts/note_numbers.py > paper/.numbers && mv paper/.numbers paper/numbers.tex
	cd paper && for pass in 1 2; do \
		SOURCE_DATE_EPOCH=0 FORCE_SOURCE_DATE=1 pdflatex -interaction=batchmode -halt-on-error note.tex; done

test-faults: $(READY) ## Run long tests: kills at random moments, every shipped run thinned
test-figures: $(READY) ## Check every figure at every venue and width for overlapping texts and covered data
test-extras: $(EXTRAS) ## Run tests that need an extra or LaTeX; installs the extras first
test-distributed: $(DISTRIBUTED) ## Test sharded recording, analysis on a cluster, and runs in an object store; installs dask and obstore first
test-browser: $(BROWSER) ## Test the report in Chromium, which must be on the PATH
test-gpu: $(READY) ## Test kernels, recording and compiled training on a GPU; the other tests use no GPU
test-install: $(BUILD) ## Build the package and test it in clean environments, under each Python from 3.11 that is installed
test-faults test-figures test-extras test-distributed test-browser test-gpu test-install:
	$(BIN)/python -m pytest -rP -m $(@:test-%=%) || [ $$? -eq 5 ] # 5: no test has the mark

test-extras: $(DOCS)
# Kernels for a GPU are tested without one.
test-extras: export TRITON_INTERPRET := 1

test-fuzz: $(READY) ## Damage runs, checkpoints and command lines for MINUTES=5, with SEED=; corpus in .fuzz/
	CUDA_VISIBLE_DEVICES= $(BIN)/python -m tests.fuzz --minutes $(or $(MINUTES),5) $(if $(SEED),--seed $(SEED))

docs: $(DOCS) ## Build the documentation in site/; any warning is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

clean: ## Remove what the targets made, except runs/
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis site
