# make repro   the whole pipeline on the embedded sample corpus (sets everything up first)
# make test    the tests (sets everything up first)
# Both need Python 3.11 or 3.12 and nothing else; uv is used where it is installed.

VENV := .venv
READY := $(VENV)/ready
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.PHONY: setup repro test test-slow lint deps lock

repro: $(READY)
	@dvc repro
	@valaro scores

test: $(READY)
	@pytest -m "not slow and not gpu"

test-slow: $(READY)
	@pytest -m "slow"

lint: $(READY)
	@ruff check . && ruff format --check . && mypy

setup: $(READY)

deps: $(READY)
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
lock:
	uv pip compile --universal --fork-strategy fewest --generate-hashes --no-emit-index-url --no-header --python-version 3.11 \
	    --extra dev --extra cluster --extra spleeter pyproject.toml -o requirements.lock --upgrade
