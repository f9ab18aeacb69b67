# `make` lists the targets. They need Python 3.11 or 3.12 and nothing else; uv is used where it is installed.

VENV := .venv
READY := $(VENV)/ready
QUICK := not slow and not gpu and not long
# Whole files go to a process, so that no two make a file's fixtures; hypothesis tests nothing here, and imports slowly.
PARALLEL := -n auto --dist loadfile -p no:hypothesispytest
ORDINARY := not slow and not gpu
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
# Python keeps what it compiles: else each process of the tests would compile the same files again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup repro test test-slow unit coverage gpu-check lint docs deps lock
.DEFAULT_GOAL := help

help:
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 20

setup: $(READY)  ## install everything into .venv

repro: $(READY)  ## run the whole pipeline on the sample corpus
	@dvc repro
	@valaro scores

# The pipeline's tests share one finished run, which several processes would each make: they go one by one.
test: $(READY)  ## run all tests but the slow ones and those for a GPU
	@pytest $(PARALLEL) -m "$(ORDINARY)" tests/unit
	@pytest -m "$(ORDINARY)" --ignore tests/unit tests

unit: $(READY)  ## run the quick unit tests, in parallel
	@pytest $(PARALLEL) -m "$(QUICK)" tests/unit

test-slow: $(READY)  ## run the tests that take minutes
	@pytest -m "slow"

coverage: $(READY)  ## run the quick unit tests, and list the lines that none of them reaches
	@pytest $(PARALLEL) -m "$(QUICK)" --cov=stages --cov=valaro --cov-report=term-missing:skip-covered tests/unit

gpu-check:  ## check answers, speed and training on a CUDA device (needs no set-up: benchmarks/gpu.py)
	@python3 benchmarks/gpu.py

lint: $(READY)  ## check style and types
	@ruff check . && ruff format --check . && mypy

docs: $(READY)  ## build the documentation site in site/
	@DISABLE_MKDOCS_2_WARNING=true NO_MKDOCS_2_WARNING=true mkdocs build --strict --quiet

deps: $(READY)  ## write what dvc.yaml and .dvcignore repeat of the code
	@python -m stages.engine.dependencies

# The lock is complete, hence --no-deps: some packages name dependencies that we replace (pyproject.toml).
$(READY): requirements.lock pyproject.toml
	@set -e; \
	for python in python3.12 python3.11 python3 python; do \
	    if $$python -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' 2>/dev/null; \
	    then found=$$($$python -c 'import sys; print(sys._base_executable)'); break; fi; \
	done; \
	test -n "$$found" || { echo "error: no Python 3.11 or 3.12 on the PATH. Install one and run make again."; exit 1; }; \
	echo "setting up $(VENV) with $$found (some 6 GB, once) ..."; \
	if command -v uv >/dev/null 2>&1; then \
	    uv venv --quiet --clear --python "$$found" $(VENV); \
	    uv pip sync --quiet --require-hashes --python $(VENV)/bin/python requirements.lock; \
	    uv pip install --quiet --no-deps --no-build-isolation --python $(VENV)/bin/python -e .; \
	else \
	    "$$found" -m venv --clear $(VENV); \
	    $(VENV)/bin/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock; \
	    $(VENV)/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .; \
	fi
	@touch $@

# Solve the newest versions again; the lock carries versions and hashes, no index address.
lock:  ## solve the newest versions for requirements.lock
	uv pip compile --universal --fork-strategy fewest --generate-hashes --no-emit-index-url --no-header --python-version 3.11 \
	    --extra dev --extra cluster --extra spleeter pyproject.toml -o requirements.lock --upgrade
