# Everything a newcomer needs: `make demo`, then `make test`. All of it is installed into .venv, from pinned versions.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
OUT ?= build
CHART := charts/agentstop
IMAGE ?= agentstop:dev

LOCK := $(BIN)/pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras --no-header --no-emit-options \
	--no-emit-index-url --no-emit-find-links

# Tests wait for much of their time: three times as many processes as processors keep all of these busy.
WORKERS ?= $(shell $(PYTHON) -c 'import os; print(3 * (os.cpu_count() or 1))')

# How long `make hostile` and `make histories` go on. Bash has a variable of the same name, which does not count.
SECONDS = 600

# Bytecode is kept whatever the shell says: the tests start some hundreds of programs.
unexport PYTHONDONTWRITEBYTECODE

# Only a KUBECONFIG that was given to make itself counts: nobody's cluster is played on because a shell exports it.
CLUSTER := $(if $(filter command line,$(origin KUBECONFIG)),--kubeconfig "$(KUBECONFIG)")

.DEFAULT_GOAL := help
.PHONY: help setup demo test coverage hostile histories faults lint format crds podspec chart bench image lock clean

help: ## Show what there is to make.
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-9s %s\n", $$1, $$2}'

setup: $(READY) ## Install everything into .venv.

demo: $(READY) ## Play ten stops and two freezes on real processes; KUBECONFIG=FILE plays them on that cluster.
	@$(BIN)/agentstop demo $(CLUSTER)
	@echo
	@echo "To press Stop yourself, in the browser:"
	@echo "  $(BIN)/agentstop $(if $(CLUSTER),ui --kubeconfig $(KUBECONFIG),playground --with-operator --ui)"

test: $(READY) ## Run all tests; ARGS="-k name" selects, ARGS="--kubeconfig FILE" adds a whole cluster.
	@$(BIN)/pytest -n $(WORKERS) --dist loadgroup $(ARGS)

coverage: $(READY) ## Print how much of the operator and the gateway the unit tests run, in percent.
	@mkdir -p $(OUT)
	@COVERAGE_FILE=$(OUT)/coverage $(BIN)/coverage run -m pytest -q tests/unit
	@COVERAGE_FILE=$(OUT)/coverage $(BIN)/coverage report --skip-covered --sort cover

lint: $(READY) ## Check style, types, layers, YAML, and that what is generated is in step with its source.
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	PYTHONPATH=operator:playground $(BIN)/lint-imports
	$(BIN)/yamllint --strict .
	@mkdir -p $(OUT)/crds $(OUT)/templates \
		&& $(BIN)/agentstop crds --directory $(OUT)/crds --templates $(OUT)/templates \
		&& diff -r crds $(OUT)/crds && diff -r $(CHART)/templates/crds $(OUT)/templates \
		&& $(BIN)/agentstop crds --reference | diff docs/reference.md - \
		|| { echo "crds/, $(CHART)/templates/crds/ or docs/reference.md is not what the models say: run 'make crds'"; exit 1; }
	@$(BIN)/python -m tools.chart_values $(CHART)/values.yaml | diff docs/chart-values.md - \
		|| { echo "docs/chart-values.md is not what $(CHART)/values.yaml says: run 'make chart'"; exit 1; }

format: $(READY) ## Put the code into shape.
	$(BIN)/ruff check --fix-only
	$(BIN)/ruff format

crds: $(READY) ## Write the CRDs and the chart's templates of them anew from the models.
	$(BIN)/agentstop crds --directory crds --templates $(CHART)/templates/crds
	$(BIN)/agentstop crds --reference > docs/reference.md

podspec: $(READY) ## Take over a cluster's PodSpec for the CRD: KUBECONFIG=FILE, or OPENAPI=FILE.
	@test -n "$(OPENAPI)$(CLUSTER)" || { echo "say which cluster's: KUBECONFIG=FILE, or OPENAPI=FILE with what GET /openapi/v3/api/v1 answers"; exit 1; }
	@mkdir -p $(OUT)
	$(if $(OPENAPI),cat "$(OPENAPI)",kubectl $(CLUSTER) get --raw /openapi/v3/api/v1) > $(OUT)/openapi.json
	$(BIN)/python -m tools.podspec < $(OUT)/openapi.json > $(OUT)/podspec.json
	mv $(OUT)/podspec.json operator/agentstop/api/podspec.json
	@$(MAKE) --no-print-directory crds

chart: $(READY) ## Write docs/chart-values.md anew from the chart's values.yaml.
	@mkdir -p $(OUT)
	$(BIN)/python -m tools.chart_values $(CHART)/values.yaml > $(OUT)/chart-values.md
	mv $(OUT)/chart-values.md docs/chart-values.md

hostile: $(READY) ## Have an agent with random rights to write fight back; SECONDS=600 SEED=n, ARGS="--weight depth=0".
	@$(BIN)/python -m tests.hostile --seconds $(SECONDS) $(if $(SEED),--seed $(SEED)) $(ARGS)

histories: $(READY) ## Walk new random histories of the lifecycle for SECONDS=600; ARGS="--of NAME --seed N" walks one again.
	@$(BIN)/python -m tests.unit.lifecycle.world --seconds $(SECONDS) $(ARGS)

faults: $(READY) ## Break one thing after the other, at every place; ARGS="--scenario job --at 3b" does one again.
	@$(BIN)/python -m tests.faults $(ARGS)

bench: $(READY) ## Measure latency, throughput and memory; KUBECONFIG=FILE measures on that cluster.
	$(BIN)/python -m benchmarks --out $(OUT)/bench $(CLUSTER) $(ARGS)

image: ## Build the operator's image with Docker; IMAGE=NAME names it.
	docker build --tag $(IMAGE) .

lock: $(READY) ## Pin the newest versions that both pyproject.toml allow, with hashes.
	$(LOCK) --upgrade --extra cli --extra tracing --extra dev --output-file requirements-dev.txt pyproject.toml playground/pyproject.toml
	$(LOCK) --constraint requirements-dev.txt --extra tracing --output-file requirements.txt pyproject.toml
	$(LOCK) --constraint requirements-dev.txt --build-deps-for wheel --only-build-deps --output-file requirements-build.txt pyproject.toml

clean: ## Remove what was made.
	rm -rf $(VENV) $(OUT) .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(READY): requirements-dev.txt pyproject.toml playground/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
		|| { echo "agentstop needs Python 3.11 or newer as '$(PYTHON)'; give another one with PYTHON=..."; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null \
		|| { echo "Python's venv module is missing; on Debian and Ubuntu: apt install python3-venv"; exit 1; }
	@echo "installing into $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable . --editable playground
	@touch $@
