# The two commands: `make run` trains and evaluates the default policy, `make test` runs the tests.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed
INSTALLED_DOCS := .venv/installed-docs
OLDEST := .venv-oldest/bin
INSTALLED_OLDEST := .venv-oldest/installed
EXTRAS := dev,pusht,robotics,formats,deploy,cluster,remote
RUN := runs/avoid

# With CHECKED=1, as before a merge, long tests run too, and all compare the shapes and types of every call with its
# annotations. That takes twice as long and more.
CHECKED :=
MERGE := -m "not slow" --jaxtyping-packages=robolearn,beartype.beartype

# Each core takes half of what another has left, in order: files stay together, and so do their trainings.
ON_ALL_CORES := -m pytest -n auto --maxprocesses 8 --dist worksteal
PYTEST := $(BIN)/python $(ON_ALL_CORES) $(if $(CHECKED),$(MERGE))

.PHONY: run test test-all test-oldest mutants check format bench docs clean

# A collection that was stopped goes on; one that is complete takes a few seconds.
run: $(INSTALLED)
	$(BIN)/python -m robolearn collect envs:robolearn/Avoid-v0 --episodes 2000 --out datasets/avoid.zarr
	$(BIN)/python train.py --recipe avoid --out $(RUN) --overwrite
	$(BIN)/python eval.py $(RUN)

test: $(INSTALLED)
	$(PYTEST)

test-all: $(INSTALLED)
	$(PYTEST) -m ""

# With the oldest of every package that pyproject.toml takes. Beside what is newer they warn of what is no fault of ours.
test-oldest: $(INSTALLED_OLDEST)
	$(OLDEST)/python $(ON_ALL_CORES) -o filterwarnings=

mutants: $(INSTALLED)
	$(BIN)/python -m tests.mutants

check: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright

format: $(INSTALLED)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(INSTALLED)
	$(BIN)/python -m benchmarks.loader
	$(BIN)/python -m benchmarks.rollout

# What the site needs is installed once; building it asks nothing of the network.
docs: $(INSTALLED_DOCS)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict
	@echo "open site/index.html, or show it with: $(BIN)/python -m http.server --directory site"

$(INSTALLED_DOCS): $(INSTALLED)
	$(BIN)/python -m pip install --quiet --editable ".[docs]" --constraint constraints.txt
	touch $@

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable ".[$(EXTRAS)]" --constraint constraints.txt
	touch $@

$(INSTALLED_OLDEST): pyproject.toml constraints-oldest.txt
	$(PYTHON) -m venv .venv-oldest
	$(OLDEST)/python -m pip install --quiet --editable ".[$(EXTRAS)]" --constraint constraints-oldest.txt
	touch $@

clean:
	rm -rf .venv .venv-oldest build site *.egg-info .pytest_cache .ruff_cache .hypothesis
