# Needs a Python from 3.11 to 3.13 and nothing else: `make serve` on a fresh clone works.
# Written for POSIX sh and make 3.81, so that macOS's own tools do.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:

# An interpreter of your own choice: make serve PYTHON=/opt/python3.12/bin/python3
PYTHON ?=
UV ?= .venv/bin/uv
IMAGE ?= latentserve
TARGET ?= service

# The light environment serves, the second trains, tests and checks, the third has the lowest
# versions that pyproject.toml allows, and the fourth generators of clients.
SERVICE_ENVIRONMENT := .venv-service
ENVIRONMENT := .venv
LOWEST_ENVIRONMENT := .venv-lowest
CLIENTS_ENVIRONMENT := .venv-clients
BIN := $(ENVIRONMENT)/bin

# Takes the interpreter that was asked for, or the first acceptable one on PATH, or says what is missing.
define find_python
	for candidate in $(or $(PYTHON),python3 python3.12 python3.13 python3.11 python); do \
	  if "$$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' >/dev/null 2>&1; then \
	    python=$$candidate; break; \
	  fi; \
	done; \
	if [ -z "$${python-}" ]; then \
	  echo "latentserve needs Python 3.11, 3.12 or 3.13, and none of these is one: $(or $(PYTHON),python3 python3.12 python3.13 python3.11 python)." >&2; \
	  echo "Install one, or name yours: make $(MAKECMDGOALS) PYTHON=/path/to/python3.12" >&2; \
	  exit 1; \
	fi; \
	if ! "$$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then \
	  echo "$$python cannot make virtual environments (on Debian and Ubuntu: apt install python3-venv)." >&2; \
	  exit 1; \
	fi
endef

# install FOLDER LOCK: makes FOLDER hold exactly what LOCK lists, then the project itself.
# Both steps are stamped with the content they came from, so a second call costs nothing. A changed
# lock or another PYTHON gives a fresh environment, a changed pyproject.toml only new entry points.
define install
	@lock=$$(grep -v '^ *#' $(2) | cksum)" $(CURDIR)"; \
	version=$$($(1)/bin/python --version 2>/dev/null) || version=none; \
	if [ "$$version" = none ] || [ "$$(cat $(1)/.lock-stamp 2>/dev/null)" != "$$lock" ]$(if $(PYTHON), || [ "$$version" != "$$("$(PYTHON)" --version 2>/dev/null)" ]); then \
	  $(find_python); \
	  echo "Installing $(2) into $(1) with $$("$$python" --version) ..." >&2; \
	  "$$python" -m venv --clear $(1) && \
	  $(1)/bin/python -m pip --disable-pip-version-check --no-input install -qq --require-hashes --only-binary :all: -r $(2) && \
	  printf '%s' "$$lock" >$(1)/.lock-stamp || exit 1; \
	fi; \
	project=$$(cat pyproject.toml service/__init__.py | cksum); \
	if [ "$$(cat $(1)/.project-stamp 2>/dev/null)" != "$$project" ]; then \
	  $(1)/bin/python -m pip --disable-pip-version-check --no-input install -qq --no-deps --no-build-isolation --no-index --editable . && \
	  printf '%s' "$$project" >$(1)/.project-stamp || exit 1; \
	fi
endef

.PHONY: help
help: ## Say what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: $(SERVICE_ENVIRONMENT)
$(SERVICE_ENVIRONMENT):
	$(call install,$@,requirements/service.txt)

.PHONY: $(ENVIRONMENT)
$(ENVIRONMENT):
	$(call install,$@,requirements/dev.txt)

# PINS are installed on top; without the stamp, the next call starts from the lock again.
.PHONY: $(LOWEST_ENVIRONMENT)
$(LOWEST_ENVIRONMENT):
	$(call install,$@,requirements/lowest.txt)
ifdef PINS
	@rm $@/.lock-stamp
	@$@/bin/python -m pip --disable-pip-version-check --no-input install -qq --only-binary :all: $(PINS)
endif

.PHONY: serve
serve: $(SERVICE_ENVIRONMENT) ## Serve models/ on http://127.0.0.1:8000 (PORT=8080, ARGS="--workers 2")
	@exec $(SERVICE_ENVIRONMENT)/bin/latentserve serve $(if $(PORT),--port $(PORT)) $(ARGS)

.PHONY: train
train: $(ENVIRONMENT) ## Train a recipe into models/ (RECIPE=mnist-stacked, ARGS="--set training.epochs=5")
	@if [ -z "$(RECIPE)" ]; then \
	  echo "Which recipe? make train RECIPE=NAME, where NAME is one of:" >&2; \
	  for file in training/recipes/*.toml; do echo "  $$(basename "$$file" .toml)" >&2; done; \
	  exit 1; \
	fi
	@exec $(BIN)/latentserve-train train $(RECIPE) $(ARGS)

# Tests that need the real data sets find them where this names them; without, they skip and say so.
ifndef LATENTSERVE_DATA_DIR
ifneq ($(wildcard ../shared/data),)
benchmark-training test test-fast: export LATENTSERVE_DATA_DIR := $(abspath ../shared/data)
endif
endif

# A process for each processor, up to four: each of them imports TensorFlow. Whichever is done first
# takes over tests of another.
IN_PARALLEL := -n auto --maxprocesses 4 --dist worksteal

.PHONY: test
test: $(ENVIRONMENT) ## Run every test (ARGS="tests/bundle -k digest", ARGS="-n 0" in one process)
	@$(BIN)/python -m pytest $(IN_PARALLEL) $(ARGS)

.PHONY: test-fast
test-fast: $(ENVIRONMENT) ## Run the tests that take less than a second
	@$(BIN)/python -m pytest $(IN_PARALLEL) -m "not slow" $(ARGS)

# Tests of training need TensorFlow, and those of the architecture and the site look at files only.
.PHONY: test-lowest
test-lowest: $(LOWEST_ENVIRONMENT) ## Run the service's tests with the lowest versions it allows (PINS="uvicorn==0.40.0")
	@$(LOWEST_ENVIRONMENT)/bin/python -m pytest $(IN_PARALLEL) tests $(addprefix --ignore=tests/,architecture benchmarks site training) $(ARGS)

# The generators' own dependencies stay away from those of the tests.
CLIENTS := tests/end_to_end/generated_clients
.PHONY: test-clients
test-clients: $(ENVIRONMENT) ## Generate clients in Python and TypeScript and make every call with them; needs npm
	@$(BIN)/python -m venv $(CLIENTS_ENVIRONMENT)
	@$(CLIENTS_ENVIRONMENT)/bin/python -m pip --disable-pip-version-check --no-input install -qq --require-hashes --only-binary :all: -r $(CLIENTS)/python/requirements.txt
	@cp $(CLIENTS)/typescript/package.json $(CLIENTS)/typescript/package-lock.json $(CLIENTS_ENVIRONMENT)
	@npm ci --prefix $(CLIENTS_ENVIRONMENT) --ignore-scripts --no-fund --no-audit --silent
	@GENERATORS=$(CLIENTS_ENVIRONMENT) $(BIN)/python -m pytest -n 0 tests/end_to_end/test_generated_clients.py $(ARGS)

.PHONY: benchmark
benchmark: $(ENVIRONMENT) ## Load the service beside plain FastAPI and raw onnxruntime; Linux, needs wrk (ARGS="--rounds 1")
	@$(BIN)/python -m benchmarks.serving $(ARGS)

.PHONY: benchmark-peers
benchmark-peers: $(ENVIRONMENT) ## The same beside Triton, MLServer, BentoML, LitServe, Ray Serve (ARGS="--subjects triton")
	@$(BIN)/python -m benchmarks.serving --peers $(ARGS)

.PHONY: benchmark-training
benchmark-training: export TF_CPP_MIN_LOG_LEVEL := 3
benchmark-training: $(ENVIRONMENT) ## Time an epoch beside keras.Model.fit (ARGS="--rounds 9")
	@$(BIN)/python -m benchmarks.training $(ARGS)

.PHONY: check
check: export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1
check: $(ENVIRONMENT) ## Lint, formatting, types, import directions, the documentation site
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/pyright
	@$(BIN)/lint-imports --no-logo
	@$(BUILD_SITE)

# From nothing each time: what is built already would not be warned of again.
BUILD_SITE = $(BIN)/sphinx-build --fail-on-warning --keep-going --fresh-env --quiet -c docs -d site/.doctrees . site

.PHONY: docs
docs: $(ENVIRONMENT) ## Build the documentation site into site/
	@$(BUILD_SITE)

.PHONY: format
format: $(ENVIRONMENT) ## Format the code and fix what can be fixed by itself
	@$(BIN)/ruff check --fix-only --quiet
	@$(BIN)/ruff format

.PHONY: image
image: ## Build the container image (TARGET=service, service-gpu or training; IMAGE=latentserve)
	docker build --target $(TARGET) --tag $(IMAGE)$(if $(filter-out service,$(TARGET)),:$(TARGET)) .

# One resolution for all but lowest.txt: they take their versions from dev.txt.
COMPILE = $(UV) pip compile pyproject.toml --group build --quiet --universal --python-version 3.11 \
	--fork-strategy fewest --generate-hashes --no-emit-index-url --custom-compile-command "make lock" $(if $(UPGRADE),--upgrade)

.PHONY: lock
lock: $(ENVIRONMENT) ## Lock the dependencies again (UPGRADE=1 takes the newest versions)
	$(COMPILE) --extra train --extra test --extra dev --output-file requirements/dev.txt
	$(COMPILE) --constraint requirements/dev.txt --output-file requirements/service.txt
	$(COMPILE) --constraint requirements/dev.txt --extra train --output-file requirements/train.txt
	$(COMPILE) --constraint requirements/dev.txt --extra gpu --override requirements/gpu-overrides.txt --output-file requirements/gpu.txt
	$(COMPILE) --extra test --resolution lowest-direct --output-file requirements/lowest.txt

.PHONY: lock-clients
lock-clients: $(ENVIRONMENT) ## Lock the generators of clients again (UPGRADE=1)
	$(UV) pip compile $(CLIENTS)/python/requirements.in --quiet --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --custom-compile-command "make lock-clients" --output-file $(CLIENTS)/python/requirements.txt $(if $(UPGRADE),--upgrade)
	npm install --prefix $(CLIENTS)/typescript --package-lock-only --omit-lockfile-registry-resolved --no-fund --no-audit

# Peers run the onnxruntime that we run, whatever else they bring.
.PHONY: lock-peers
lock-peers: $(ENVIRONMENT) ## Lock what the other model servers of benchmark-peers need (UPGRADE=1)
	@set -e; for wanted in benchmarks/peers/*.in; do \
	  sed -n 's/^\(onnxruntime==[^ ]*\).*/\1/p' requirements/dev.txt | $(UV) pip compile "$$wanted" - --quiet --universal \
	    --python-version 3.11 --fork-strategy fewest --generate-hashes --no-emit-index-url \
	    --custom-compile-command "make lock-peers" --output-file "$${wanted%.in}.txt" $(if $(UPGRADE),--upgrade); \
	done

.PHONY: clean
clean: ## Remove the environments and caches
	rm -rf $(ENVIRONMENT) $(SERVICE_ENVIRONMENT) $(LOWEST_ENVIRONMENT) $(CLIENTS_ENVIRONMENT) build dist site *.egg-info .pytest_cache .ruff_cache .hypothesis .import_linter_cache
