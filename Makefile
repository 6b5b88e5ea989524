# `make run` and `make test` are each enough on a fresh machine: they set up first, once.

PYTHON ?= python3
UV ?= uv
BIN := .venv/bin

# Packages are installed without bytecode and compiled when they are imported; a container that forbids Python to keep
# what it compiled would have every process compile 2,300 modules again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup run test test-slow test-extras lint lock clean FORCE

help:
	@echo "make run        from nothing to runs/<name>/report.html; after an interruption, goes on"
	@echo "make test       all tests but the slow ones; TESTS=tests/test_models.py for one file, JOBS=4 for more processors"
	@echo "make test-slow  the slow tests"
	@echo "make test-extras  the tests that need Keras, Apache Beam or Chromium; none may be skipped"
	@echo "make lint       style, types and import contracts"
	@echo "make setup      .venv with all that tests need, and the face model; PYTHON=python3.12 chooses the interpreter"
	@echo "make lock       resolve requirements.lock and .ci/*.lock again (needs uv)"
	@echo "make clean      remove the environments and caches; data/ and runs/ stay"

# The face model lies in the user's cache, outside this folder: so it is looked for every time.
setup: .venv/ready
	@$(BIN)/python -m mer_jax.vision.face_model

# Each stage ends by writing its stamp, so a set-up that was cut short is taken up at the stage that it was in.
# The first stage starts from an empty folder: packages that have left the lock do not linger. It installs what
# `make run` needs, and leaves it to Python to compile the modules that are imported: a third of all.
PIP = $(BIN)/python -m pip --disable-pip-version-check

.venv/packages: .ci/run.lock
	@command -v "$(PYTHON)" >/dev/null || { echo "error: no $(PYTHON) here; mer_jax needs Python 3.11, 3.12 or 3.13." >&2; exit 1; }
	@"$(PYTHON)" .ci/check_system.py
	@rm -f .venv/packages .venv/project .venv/ready
	"$(PYTHON)" -m venv --clear .venv
	$(PIP) install --no-compile --require-hashes -r .ci/run.lock
	@echo "$(PYTHON)" > $@

.venv/project: .venv/packages pyproject.toml
	$(PIP) install --quiet --no-build-isolation --no-deps --editable .
	@touch $@

# The rest: what tests and lint need.
.venv/ready: .venv/project requirements.lock
	$(PIP) install --quiet --no-compile --require-hashes -r requirements.lock
	@touch $@

# An interpreter that the user names, and that is not the one of .venv, replaces it.
ifneq ($(origin PYTHON),file)
ifneq ($(PYTHON),$(shell cat .venv/packages 2>/dev/null))
.venv/packages: FORCE
endif
endif

run: .venv/project
	@$(BIN)/python -m mer_jax.vision.face_model
	$(BIN)/python -m experiments.run --config smic_ha.py --resume

# jaxtyping and beartype check what the signatures of mer_jax state while the tests run: shapes, dtypes, types.
# An int passes for a float, as everywhere in Python's typing (PEP 484).
CHECKER := beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))
PYTEST := $(BIN)/python -m pytest "--jaxtyping-packages=mer_jax,$(CHECKER)"

# Two files at a time: most of a test is compilation, on one processor.
JOBS ?= 2

test: setup
	$(PYTEST) --numprocesses=$(JOBS) --dist=loadfile -m "not slow" $(TESTS)

test-slow: setup
	$(PYTEST) -m slow $(TESTS)

# Keras and Apache Beam conflict with requirements.lock, or are too heavy for it: each has an environment and a lock
# of its own. The project itself is imported from this folder.
test-extras: setup .venv-extras/keras/ready .venv-extras/beam/ready
	.venv-extras/keras/bin/python -m pytest --no-skips tests/test_keras.py
	.venv-extras/beam/bin/python -m pytest --no-skips tests/test_datasets_beam.py
	$(BIN)/python -m pytest --no-skips tests/test_browser.py

# .venv/packages changes with the interpreter.
.venv-extras/%/ready: .ci/%.lock .venv/packages
	@rm -f $@
	$(BIN)/python -m venv --clear $(@D)
	$(@D)/bin/python -m pip install --disable-pip-version-check --quiet --require-hashes -r $<
	@touch $@

# PYRIGHT_PYTHON_IGNORE_WARNINGS: without it pyright asks the package index for a newer release at every start.
lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(BIN)/pyright --pythonpath $(BIN)/python

# For Python 3.11 to 3.13 on Linux and macOS. `make lock UPGRADE=--upgrade` takes the newest releases.
COMPILE = "$(UV)" pip compile pyproject.toml --universal --python-version 3.11 \
  --generate-hashes --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" --quiet $(UPGRADE)

lock:
	@command -v "$(UV)" >/dev/null || { echo "error: no $(UV) here; \`pip install uv\`, or UV=<its path>." >&2; exit 1; }
	$(COMPILE) --extra dev --extra experiments --output-file requirements.lock
	$(COMPILE) --extra build --extra experiments --constraint requirements.lock --output-file .ci/run.lock
	$(COMPILE) --extra dev --extra keras --constraint requirements.lock --output-file .ci/keras.lock
	$(COMPILE) --extra dev --extra experiments --extra beam --output-file .ci/beam.lock

clean:
	rm -rf .venv .venv-extras .pytest_cache .ruff_cache .import_linter_cache build dist
	find . -name __pycache__ -type d -not -path "./data/*" -not -path "./runs/*" -prune -exec rm -rf {} +
