# make quickstart: train a small codec on real photographs, about 4 minutes on two CPU cores
# make test:       every check that CI makes
PYTHON ?= python3
BIN := .venv/bin
# The tested set exists for these versions of Python; others take the newest packages that fit pyproject.toml.
PINNED := $(shell $(PYTHON) -c "import sys; print('--constraint constraints.txt' if sys.version_info[:2] in ((3, 11), (3, 12)) else '')")

.PHONY: install quickstart test format clean

install: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet $(PINNED) --editable '.[dev]'
	touch $@

quickstart: install
	$(BIN)/python scripts/train.py experiment=quickstart hydra.run.dir=$(or $(RUN),runs/quickstart-$(shell date +%Y%m%d-%H%M%S))

test: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses 2 --dist loadfile

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
